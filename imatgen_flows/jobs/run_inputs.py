"""Inputs of metrics and studies, gathered from the documents of a finished run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.states import Geometry, Stage, State
from imatgen_flows.config import CampaignConfig, Screen
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, content_key, read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.dataset_rows import load_crystals, structure_of, training_rows
from imatgen_flows.jobs.documents import (
    CampaignData,
    CandidatesDocument,
    DatasetDocument,
    LabelDocument,
    ReferenceDocument,
    RoundDocument,
)
from imatgen_flows.jobs.evaluators import evaluators, hull_of
from imatgen_flows.jobs.extend_dataset import extend_dataset, extend_labels
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.model_export import networks_of
from imatgen_flows.jobs.networks import load_model
from imatgen_flows.jobs.propose_candidates import propose_candidates
from imatgen_flows.jobs.provenance import finished_round, first_round, parent, parents, ranked_candidates
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.references import extend_hull
from imatgen_flows.models.registry import ANEW

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.energetics.relax import Evaluator
    from imatgen_flows.metrics.trials import KnownStructures
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.presets import VAESettings
    from imatgen_flows.sources.proposal import Generated
    from imatgen_flows.studies.latent_space import LatentDataset
    from imatgen_flows.studies.vacancies import Compound, RelaxedCandidate

RELAXED = (State.SCREENED, State.SHORTLISTED, State.VALIDATED)


def training_structure(run: Path, name: str) -> Structure:
    """Read a structure that the networks of the last round were trained on.

    Parameters
    ----------
    run : the directory of a finished run
    name : its id

    Raises
    ------
    InputError
        Where artifacts of the run are missing or damaged, or there is no such structure.
    """
    store = ArtifactStore(run / "artifacts")
    dataset = parent(store, finished_round(run), DatasetDocument, build_dataset, extend_dataset)
    for row in read_lines(dataset.crystals):
        if row["id"] == name:
            return structure_of(row)
    raise InputError(f"{run}: the dataset of the last round has no structure `{name}`.")


@dataclass(frozen=True)
class BaselineInputs:
    """Inputs of the baseline benchmark; see `metrics.baselines.run_benchmark`."""

    candidates: list[Generated]
    known: KnownStructures
    hull: Hull
    relax: Evaluator
    screen: Screen
    volume_ratio: float


@dataclass(frozen=True)
class VacancyInputs:
    """Inputs of the vacancy study; see `studies.vacancies.study_vacancies`."""

    candidates: list[RelaxedCandidate]
    compounds: list[Compound]
    hull: Hull
    relax: Evaluator
    single_point: Evaluator
    screen: Screen
    volume_ratio: float


@dataclass(frozen=True)
class LatentInputs:
    """Inputs of the latent study; see `studies.latent_space.study_latent`, and the preset and epochs of the VAE."""

    model: CrystalModel
    trained_with: VAESettings
    dataset: LatentDataset
    seed: int
    scratch: Path
    preset: str
    epochs: int


def screen_inputs(run: Path) -> tuple[str, CandidatesDocument, CampaignData]:
    """Gather the inputs of the screening of the first batch of a run: the artifact store, the candidates, and the data."""
    store = ArtifactStore(run / "artifacts")
    first = first_round(store, finished_round(run))
    # a document names those that it was made from: from the round back to its filtered candidates
    ranked = ranked_candidates(store, first)
    labels = parent(store, first, LabelDocument, label_dataset)
    data = CampaignData(
        dataset=parent(store, first, DatasetDocument, build_dataset),
        labels=labels,
        evaluated=labels,
        references=parent(store, first, ReferenceDocument, extend_hull),
    )
    proposed = parent(store, ranked, CandidatesDocument, propose_candidates)
    while earlier := parents(store, proposed, CandidatesDocument, rank_candidates):  # of batches before the last
        proposed = parent(store, earlier[0], CandidatesDocument, propose_candidates)
    return str(store.root), proposed, data


def baseline_inputs(run: Path, round_number: int, samplers: Sequence[str], fmax: float | None) -> BaselineInputs:
    """Gather the inputs of the baseline benchmark from a run directory.

    Parameters
    ----------
    run : the run directory
    round_number, samplers : of the generator's candidates
    fmax : force up to which structures are relaxed, eV/A; None for that of the campaign

    Raises
    ------
    InputError
        Where there is no such round, or artifacts of the run are missing.
    """
    config = CampaignConfig.from_file(run / "campaign.yaml")
    screen, pressure = config.screen, config.search.pressure
    if fmax:
        screen = screen.model_copy(update={"fmax": fmax})
    store, finished = ArtifactStore(run / "artifacts"), finished_round(run)
    if round_number > finished.round:
        raise InputError(f"{run} has rounds 0 to {finished.round}, none of number {round_number}.")
    references = parent(store, finished, ReferenceDocument, extend_hull)
    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    labels = parent(store, finished, LabelDocument, label_dataset, extend_labels)
    relax, _ = evaluators(store, screen, pressure)
    return BaselineInputs(
        candidates=_generated(finished, round_number, samplers),
        known=_known_structures(dataset, labels, references),
        hull=hull_of(references, screen, run, pressure),
        relax=relax,
        screen=screen,
        volume_ratio=_volume_ratio(references, config),
    )


def vacancy_inputs(run: Path, pair: tuple[str, str]) -> VacancyInputs:
    """Gather the inputs of the vacancy study from a run directory; `pair` is the cation and the anion."""
    config = CampaignConfig.from_file(run / "campaign.yaml")
    screen, pressure = config.screen, config.search.pressure
    store, finished = ArtifactStore(run / "artifacts"), finished_round(run)
    references = parent(store, finished, ReferenceDocument, extend_hull)
    dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
    relax, single_point = evaluators(store, screen, pressure)
    return VacancyInputs(
        candidates=_relaxed_new(finished),
        compounds=_compounds(dataset, references, pair),
        hull=hull_of(references, screen, run, pressure),
        relax=relax,
        single_point=single_point,
        screen=screen,
        volume_ratio=_volume_ratio(references, config),
    )


def latent_inputs(run: Path) -> LatentInputs:
    """Gather the inputs of the latent study from the first round of a run: later ones continue from its networks.

    Raises
    ------
    InputError
        Where the networks were imported: they were trained with a classifier before.
    """
    from imatgen_flows.models.presets import VAESettings
    from imatgen_flows.studies.latent_space import LatentDataset

    config = CampaignConfig.from_file(run / "campaign.yaml")
    if config.model.start != ANEW:
        raise InputError(
            f"{run}: its networks began as those of {config.model.start}, which were trained with a classifier, so that none "
            "without it can be trained beside them. Run the campaign without `model.start`."
        )
    store = ArtifactStore(run / "artifacts")
    first = first_round(store, finished_round(run))
    dataset = parent(store, first, DatasetDocument, build_dataset)
    labels = parent(store, first, LabelDocument, label_dataset)
    networks, rows = networks_of(store, first), read_lines(dataset.crystals)
    vae = networks["vae"]
    # the settings that the network was trained with, which those of the preset may differ from by now
    settings = VAESettings(**vae.settings)
    plain = asdict(replace(settings, classifier_weight=0.0))
    return LatentInputs(
        model=load_model(dataset, networks, config.model),
        trained_with=settings,
        dataset=LatentDataset(
            crystals=load_crystals(dataset),
            structures=[structure_of(row) for row in rows],
            ids=[row["id"] for row in rows],
            templates=[row["template"] or row["id"] for row in rows],
            known=[row["known"] for row in rows],
            stable=[row["stable"] for row in read_lines(labels.labels)],
            seen=training_rows(dataset, config.model).tolist(),
            elements=config.system,
            stable_below=config.labels.stable_below,
        ),
        seed=config.model.seed,
        scratch=store.scratch(f"latent-{content_key(plain, vae.key, versions_of(CACHE_KEY_PACKAGES))}"),
        preset=vae.preset,
        epochs=vae.epochs,
    )


def _generated(finished: RoundDocument, round_number: int, samplers: Sequence[str]) -> list[Generated]:
    """Gather the candidates of a round that are valid and new, unrelaxed, to the campaign at that time."""
    from imatgen_flows.sources.proposal import Generated

    rows = [
        row
        for row in candidate_rows(finished.candidates, ["id", "round", "sampler", "clean", "rejected_stage"])
        if row["id"]  # those that are not valid have none
        and row["round"] == round_number
        and row["sampler"] in samplers
        and row["rejected_stage"] != Stage.UNIQUENESS
    ]
    wanted = [str(row["sample"]) for row in rows]
    structures = candidate_structures(finished.candidates, Geometry.DECODED, wanted)
    return [
        Generated(sample, str(row["sampler"]), structures[sample], bool(row["clean"]))
        for sample, row in zip(wanted, rows, strict=True)
    ]


def _known_structures(
    dataset: DatasetDocument, labels: LabelDocument, references: ReferenceDocument
) -> KnownStructures:
    """Gather the structures that a new one must differ from, without the finds of the campaign itself."""
    from imatgen_flows.metrics.trials import KnownStructures

    known: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    relaxed: dict[str, Structure] = {}
    for row in (*read_lines(dataset.crystals), *(read_lines(dataset.held_out) if dataset.held_out else ())):
        if not row.get("round_find"):
            (known if row["known"] else substituted)[row["id"]] = structure_of(row)
    for row in read_lines(references.phases):
        if row["kind"] != "substituted":
            known[f"{row['name']} (relaxed)"] = structure_of(row)
        elif row["state"] == "relaxed":
            relaxed[row["name"]] = structure_of(row)
    energies = {
        row["id"]: row["energy_per_atom"] for row in read_lines(labels.labels) if row["energy_per_atom"] is not None
    }
    return KnownStructures(known, substituted, energies, relaxed)


def _volume_ratio(references: ReferenceDocument, config: CampaignConfig) -> float:
    """Estimate the volume of crystals at the pressure of a campaign over that expected at zero pressure."""
    from imatgen_flows.sources.random_search import volume_ratio

    relaxed = (structure_of(row) for row in read_lines(references.phases) if row["state"] == "relaxed")
    return volume_ratio(config.search.pressure, config.system, relaxed)


def _relaxed_new(finished: RoundDocument) -> list[RelaxedCandidate]:
    """Gather the new candidates that were relaxed, with the energies of the potential."""
    from imatgen_flows.studies.vacancies import RelaxedCandidate

    structures = candidate_structures(finished.candidates, Geometry.RELAXED)
    columns = ["id", "state", "novelty", "energy_per_atom", "e_above_hull"]
    return [
        RelaxedCandidate(
            str(row["id"]),
            structures[str(row["sample"])],
            cast("float", row["energy_per_atom"]),
            cast("float", row["e_above_hull"]),
        )
        for row in candidate_rows(finished.candidates, columns, structures)
        if row["state"] in RELAXED and row["novelty"] == Novelty.NEW
    ]


def _compounds(dataset: DatasetDocument, references: ReferenceDocument, pair: tuple[str, str]) -> list[Compound]:
    """Gather the crystals AB, of the dataset as made and of the hull as relaxed, without the finds of the campaign."""
    from pymatgen.core import Composition

    from imatgen_flows.studies.vacancies import Compound

    wanted = Composition(dict.fromkeys(pair, 1)).reduced_formula
    found = {
        row["id"]: Compound(row["id"], row["known"], structure_of(row))
        for row in read_lines(dataset.crystals)
        if row["formula"] == wanted and not row.get("round_find")
    }
    for row in read_lines(references.phases):
        structure = structure_of(row)
        if row["state"] != "relaxed" or structure.composition.reduced_formula != wanted:
            continue
        known = row["kind"] != "substituted"
        name = f"known:{row['name']}" if known else row["name"]
        made = found[name].made if name in found else None
        found[name] = Compound(name, known, made, structure, row["energy_per_atom"])
    return list(found.values())
