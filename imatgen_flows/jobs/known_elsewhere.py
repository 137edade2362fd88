"""The job that says what is already known of relaxed candidates, and of their magnetic order."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from imatgen_flows.candidates.ledger import SPENT
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.config import Elsewhere, Known
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.campaign_inputs import read_section, source_options
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    candidates_fields,
    extend_table,
    known_structures,
    novelty_classifier,
    samples_in,
)
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.candidates.known_elsewhere import KnownCrystals

MOMENTS = SPENT["moment_evaluations"]  # purpose of the evaluations that magnetic moments take

logger = logging.getLogger(__name__)


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="search other databases")
def known_elsewhere(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    data: CampaignData,
    system: list[str],
    known: dict[str, Any],
    elsewhere: dict[str, Any],
    potential: str,
) -> dict[str, Any]:
    """Say what is known of candidates, here and elsewhere, and of their magnetic order. Their state and novelty stay.

    Of `data` it takes the dataset and the references. A provider that does not answer costs its own word on each candidate,
    and nothing else.
    """
    from imatgen_flows.candidates.known_elsewhere import TIGHT, classify_followed, classify_tightly, describe_known

    dataset, references = data["dataset"], data["references"]
    samples = samples_in(candidates.candidates, State.SCREENED, State.SHORTLISTED)
    rows_of_them = candidate_rows(candidates.candidates, ["state", "e_above_hull"], samples)
    states = {str(row["sample"]): row for row in rows_of_them}
    found = candidate_structures(candidates.candidates, Geometry.RELAXED, states)
    lowest_first = sorted(found, key=lambda sample: cast("float", states[sample]["e_above_hull"]))
    relaxed = {sample: found[sample] for sample in lowest_first}
    tightly = classify_tightly(relaxed, novelty_classifier(dataset, references, tolerances=TIGHT))
    rows: dict[str, Row] = {str(row["sample"]): row for row in tightly}
    if followed := candidate_structures(candidates.candidates, Geometry.FOLLOWED, samples):
        for row in classify_followed(followed, novelty_classifier(dataset, references, found=relaxed)):
            rows[str(row["sample"])] |= row
    shortlist = {name: one for name, one in relaxed.items() if states[name]["state"] == State.SHORTLISTED.value}
    spent = 0
    if shortlist:
        held = known_structures(dataset, references)
        crystals = _known_crystals(system, read_section(Known, known), Elsewhere.model_validate(elsewhere), held)
        moments = _describe_moments(shortlist, potential)
        spent = sum(cast("int", row["moment_evaluations"]) for row in moments)
        for row in (*describe_known(shortlist, crystals), *moments):
            rows[str(row["sample"])] |= row
    table = candidates.candidates
    if rows:
        table = extend_table(store, table, list(rows.values()))
    evaluations = candidates.evaluations | ({MOMENTS: spent} if spent else {})
    return candidates_fields(table, candidates) | {"evaluations": evaluations}


def _known_crystals(
    system: list[str], known: Known, elsewhere: Elsewhere, held: tuple[dict[str, Structure], dict[str, Structure]]
) -> KnownCrystals:
    """Gather what a shortlist is compared with: phases, prototypes, and what the providers answer.

    Parameters
    ----------
    system : element symbols
    known, elsewhere : sections of the campaign
    held : published phases, and substituted structures, of the round
    """
    from imatgen_flows.candidates.known_elsewhere import KnownCrystals
    from imatgen_flows.crystals.elsewhere import ask_provider
    from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
    from imatgen_flows.models.pretrained import shipped_model

    options = source_options(known)
    answers = [ask_provider(provider, system, options) for provider in elsewhere.providers]
    try:
        index = PrototypeIndex.read(index_path(shipped_model()))
    except InputError as error:  # an installation without the model runs campaigns too
        logger.warning("whether a protostructure is a published one cannot be said: %s", error)
        index = None
    return KnownCrystals(*held, _disordered_phases(system, known), index, answers)


def _disordered_phases(system: list[str], known: Known) -> dict[str, Structure]:
    """Read the disordered phases of the source of known phases, which stand on no hull; none where it cannot be read."""
    from imatgen_flows.crystals.elsewhere import sort_crystals
    from imatgen_flows.crystals.query import SystemQuery
    from imatgen_flows.crystals.registry import KNOWN_SOURCES

    try:
        read = list(KNOWN_SOURCES[known.source].read(source_options(known), SystemQuery.of(system)))
    except InputError as error:
        logger.warning("disordered phases cannot be looked up, so that none is a parent: %s", error)
        return {}
    return sort_crystals(read, system)[1]


def _describe_moments(structures: Mapping[str, Structure], potential: str) -> list[Row]:
    """Write the magnetic order of candidates where the potential has moments; a candidate on which it fails has none."""
    from imatgen_flows.energetics.moments import magnetic_order, site_moments
    from imatgen_flows.jobs.potentials import installed_potential

    if not installed_potential(potential).has_moments:
        return []
    # on the CPU, where the other light jobs run: it is one evaluation a candidate
    moments, spent = site_moments(list(structures.values()), potential, get_settings().n_workers)
    rows: list[Row] = []
    for sample, found, evaluations in zip(structures, moments, spent, strict=True):
        row: Row = {"sample": sample, "moment_evaluations": evaluations}
        if found is not None:
            row |= {"magnetic_order": magnetic_order(found).value, "mean_moment": float(abs(found).mean())}
        rows.append(row)
    return rows
