"""Rediscovery over finished runs: the inputs of the search, gathered from the documents of a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.candidates.candidate import decode_order
from imatgen_flows.candidates.states import Geometry, Stage
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import DatasetDocument, ReferenceDocument, RoundDocument
from imatgen_flows.jobs.evaluators import evaluators
from imatgen_flows.jobs.model_export import trained_model
from imatgen_flows.jobs.provenance import finished_round, first_round, parent
from imatgen_flows.jobs.references import extend_hull

if TYPE_CHECKING:
    from imatgen_flows.metrics.rediscovery import KnownPhase, Sample, Substitution
    from imatgen_flows.metrics.rediscovery_tables import RunFindings

logger = logging.getLogger(__name__)

SEED_OFFSET = 500  # from the campaign's seed, so that T1 draws no sample that the campaign drew


@dataclass(frozen=True)
class FinishedRun:
    """A finished run that held known phases out.

    Attributes
    ----------
    path, config, store : the run directory, its campaign and its artifacts
    finished, first : its last and its first round
    dataset : the training set of the first round
    knowns : the held-out phases
    """

    path: Path
    config: CampaignConfig
    store: ArtifactStore
    finished: RoundDocument
    first: RoundDocument
    dataset: DatasetDocument
    knowns: list[KnownPhase]

    @classmethod
    def open(cls, path: Path) -> FinishedRun:
        """Read the documents of a run directory.

        Raises
        ------
        InputError
            Where the campaign held nothing out, or artifacts of the run are missing.
        """
        config = CampaignConfig.from_file(path / "campaign.yaml")
        if config.known.held_out == "none":
            raise InputError(
                f"{path}: its networks saw the known phases, so that finding these again means nothing. Set "
                "`known.held_out: structures`, or `prototypes`, in the campaign and run it anew."
            )
        store, finished = ArtifactStore(path / "artifacts"), finished_round(path)
        first = first_round(store, finished)
        dataset = parent(store, first, DatasetDocument, build_dataset)
        return cls(path, config, store, finished, first, dataset, _known_phases(path, dataset))


def refuse_unlike(runs: Sequence[FinishedRun]) -> None:
    """Refuse runs that cannot be averaged.

    Raises
    ------
    InputError
        Where two of them held out different phases, or are the same run.
    """
    first = runs[0]
    for number, run in enumerate(runs):
        if any(run.path.resolve() == other.path.resolve() for other in runs[:number]):
            raise InputError(f"{run.path} is given twice; one run counts once.")
        if run.knowns != first.knowns:
            raise InputError(
                f"{run.path} held out other phases ({len(run.knowns)}) than {first.path} ({len(first.knowns)}). Give runs "
                "of one campaign that differ in `model.seed`, or in `known.held_out`."
            )


def rediscover(run: FinishedRun, each: int, relax_at_most: int) -> RunFindings:
    """Search for the phases that a finished run held out.

    Parameters
    ----------
    run : the run
    each : samples drawn around the latent vector of each phase
    relax_at_most : known phases for which, in each tier, a sample is relaxed
    """
    from imatgen_flows.metrics.rediscovery import BLIND, search
    from imatgen_flows.metrics.rediscovery_tables import RunFindings

    held_out = run.config.known.held_out
    logger.info("%s: %d known phases held out (%s)", run.path, len(run.knowns), held_out)
    own, samples = _sample_around_own(run, each), _samples(run.finished)
    logger.info(
        "searching %d samples around their own latent vectors, %d of the campaign",
        sum(map(len, own.values())),
        len(samples),
    )
    relax, _ = evaluators(run.store, run.config.screen, run.config.search.pressure)
    return RunFindings(
        run=str(run.path),
        seed=run.config.model.seed,
        held_out=held_out,
        knowns=run.knowns,
        tiers={
            "T1": search(run.knowns, own, relax, relax_at_most),
            BLIND[held_out]: search(run.knowns, dict.fromkeys(own, samples), relax, relax_at_most),
        },
        substitution=_substitution(run),
    )


def _known_phases(path: Path, dataset: DatasetDocument) -> list[KnownPhase]:
    from imatgen_flows.metrics.rediscovery import KnownPhase

    rows = read_lines(dataset.held_out) if dataset.held_out else []
    if not rows:
        raise InputError(
            f"{path}: no known phase fits the limits of its images, so that none was held out. Give `known` a source "
            "of published phases, or widen `limits`."
        )
    return [KnownPhase(row["id"], structure_of(row)) for row in rows]


def _sample_around_own(run: FinishedRun, each: int) -> dict[str, list[Sample]]:
    """Draw samples around the latent vectors of phases that the networks of the first round never saw."""
    from imatgen_flows.metrics.rediscovery import sample_around_own

    trained = trained_model(run.config, run.store, run.first)
    return sample_around_own(trained, run.knowns, run.config.model.seed + SEED_OFFSET, each)


def _samples(finished: RoundDocument) -> list[Sample]:
    """Read every sample of the campaign that was decoded to a structure."""
    from imatgen_flows.metrics.rediscovery import Sample

    structures = candidate_structures(finished.candidates, Geometry.DECODED)
    relaxed = candidate_structures(finished.candidates, Geometry.RELAXED)
    columns = ["sampler", "rejected_stage", "residual", "count_matches", "repaired"]
    return [
        Sample(
            name=str(row["sample"]),
            sampler=str(row["sampler"]),
            structure=structures[str(row["sample"])],
            relaxed=relaxed.get(str(row["sample"])),
            valid=row["rejected_stage"] != Stage.VALIDITY,
            decode_order=decode_order(row),
        )
        for row in candidate_rows(finished.candidates, columns, structures)
    ]


def _substitution(run: FinishedRun) -> dict[str, Substitution]:
    """Search the training set, and the substituted structures that were relaxed for the hull, for the known phases."""
    from imatgen_flows.metrics.rediscovery import find_by_substitution

    phases = read_lines(parent(run.store, run.first, ReferenceDocument, extend_hull).phases)
    relaxed = [row for row in phases if row["kind"] == "substituted" and row["state"] == "relaxed"]
    return {
        name: find_by_substitution(run.knowns, [structure_of(row) for row in rows])
        for name, rows in (("as made", read_lines(run.dataset.crystals)), ("relaxed", relaxed))
    }
