"""New candidates: draw latent vectors, decode, repair, and keep what is valid, unique and not known."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import Candidate, Origin
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.documents import (
    CandidatesDocument,
    DatasetDocument,
    LabelDocument,
    ModelDocument,
    ReferenceDocument,
)
from imatgen_flows.jobs.models import load_generator, training_rows
from imatgen_flows.jobs.samples import StartingPoints, draw_samples, energies_of
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.sampling import Samples

WORTH_SHARING = 1000  # samples; fewer are done before another process has started
SEED_STEP = 1000  # between the seeds of rounds
COMPOSITION_PENALTY = 0.02  # eV/atom by which each candidate of a composition makes the next one of it less promising


@cached_job(CandidatesDocument)
def sample_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    references: ReferenceDocument,
    cell: ModelDocument,
    basis: ModelDocument,
    vae: ModelDocument,
    generator: dict[str, Any],
    sampling: dict[str, int],
    limits: dict[str, Any],
    round_number: int,
) -> dict[str, Any]:
    """Draw samples by each method and decode them; a sample that gives no valid crystal is rejected with its reason."""
    import numpy as np
    import torch

    from imatgen_flows.representation import PackedCrystals
    from imatgen_flows.studies.latent_classifier import principal_components

    model = load_generator(dataset, cell, basis, vae, generator)
    rows = read_lines(dataset.crystals)
    crystals = PackedCrystals.load(dataset.packed.path())
    data = model.encode(crystals)
    seed = generator["seed"] + SEED_STEP * round_number
    start = StartingPoints(
        crystals, data, rows, energies_of(rows, labels, references), training_rows(dataset, generator)
    )
    drawn = draw_samples(model, start, sampling, seed)

    components = principal_components(data)
    candidates: list[Candidate] = []
    latents: list[Tensor] = []
    for method, samples in drawn.items():
        latent, made = _make(model, samples, limits, get_settings().n_workers)
        latents.append(latent)
        places = components.transform(latent)
        stability = model.stability(latent)
        for index, (candidate, parents) in enumerate(zip(made, samples.parents, strict=True)):
            candidate.sample = f"r{round_number}-{method}-{index:06d}"
            candidate.round = round_number
            candidate.origin = Origin(
                method=method,
                seed=samples.seed,
                row=len(candidates),
                parents=[rows[parent]["id"] for parent in parents],
                x=float(places[index, 0]),
                y=float(places[index, 1]),
                stability=round(float(stability[index]), 4),
            )
            candidates.append(candidate)
    with store.new("latents", ".npz") as pending:
        np.savez(pending.path, samples=torch.cat(latents).numpy(), training=data.numpy())
    return candidates_document(
        store, candidates, seed=seed, latents=pending.ref, latent_map=_latent_map(store, components, data, rows, labels)
    )


@cached_job(CandidatesDocument)
def filter_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    candidates: CandidatesDocument,
    dataset: DatasetDocument,
    references: ReferenceDocument,
) -> dict[str, Any]:
    """Keep one of each structure, and of these what is neither known nor a substituted structure."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import Novelty
    from imatgen_flows.matching.grouping import group_duplicates, primitive_cells

    records = load_candidates(candidates)
    workers = get_settings().n_workers
    valid = [record for record in records if record.state is State.VALID]
    cells = primitive_cells([Structure.from_dict(record.structure or {}) for record in valid], workers)
    first_of = group_duplicates(cells, workers=workers)
    firsts = [index for index, first in enumerate(first_of) if first == index]
    judge = novelty_classifier(dataset, references)
    verdicts = dict(zip(firsts, judge.classify_all([cells[index] for index in firsts], workers), strict=True))
    for index, record in enumerate(valid):
        if index not in verdicts:
            first = valid[first_of[index]]
            record.novelty, record.novelty_match = Novelty.DUPLICATE.value, first.id
            record.reject(Stage.UNIQUENESS, "duplicate", f"same as {first.sample}")
            continue
        novelty, match, rms = verdicts[index]
        record.novelty, record.novelty_match = novelty.value, match
        if novelty is Novelty.NEW:
            record.state = State.UNIQUE
        else:
            record.reject(Stage.UNIQUENESS, novelty.value, f"matches {match} (rms {rms:.3f})")
    return candidates_document(store, records, seed=candidates.seed, **candidates.extra)


def novelty_classifier(dataset: DatasetDocument, references: ReferenceDocument) -> Any:
    """Know all published phases, and the substituted structures, as made and, where relaxed, as relaxed."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import NoveltyClassifier

    known: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    for row in (*read_lines(dataset.crystals), *(read_lines(dataset.held_out) if dataset.held_out else ())):
        (known if row["known"] else substituted)[row["id"]] = Structure.from_dict(row["structure"])
    for row in read_lines(references.phases):
        where = substituted if row["kind"] == "substituted" else known
        where[f"{row['name']} (relaxed)"] = Structure.from_dict(row["structure"])
    found = (
        {row["id"]: Structure.from_dict(row["structure"]) for row in read_lines(dataset.found)} if dataset.found else {}
    )
    return NoveltyClassifier(known=known, substituted=substituted, found=found)


def load_candidates(document: CandidatesDocument) -> list[Candidate]:
    """Read the candidates of a document."""
    return [Candidate(**row) for row in read_lines(document.candidates)]


def candidates_document(
    store: ArtifactStore, records: list[Candidate], seed: int | None, **extra: Any
) -> dict[str, Any]:
    """Build the fields of a `CandidatesDocument`."""
    return {
        "candidates": store.put_lines("candidates", [record.model_dump(mode="json") for record in records]),
        "counts": dict(Counter(record.state.value for record in records)),
        "seed": seed,
        "extra": extra,
    }


def _make(
    model: CrystalModel, samples: Samples, limits: dict[str, Any], workers: int
) -> tuple[Tensor, list[Candidate]]:
    """Project samples and decode them, in several processes where there are many; in the same batches all the same."""
    import torch

    from imatgen_flows.models.crystal_model import BATCH
    from imatgen_flows.parallel import share

    parts = samples.latent.split(BATCH)
    asked = [None] * len(parts) if samples.contents is None else samples.contents.split(BATCH)
    tasks = list(zip(parts, asked, strict=True))
    several = workers if len(samples.latent) >= WORTH_SHARING else 1
    made = share(_make_part, tasks, several, "decoding samples", (model, limits))
    return torch.cat([latent for latent, _ in made]), [record for _, records in made for record in records]


def _make_part(
    model: CrystalModel, limits: dict[str, Any], latent: Tensor, contents: Tensor | None
) -> tuple[Tensor, list[Candidate]]:
    latent = model.project(latent, contents)
    structures, decode_qualities = model.compressor.codec.decode(model.decode(latent))
    pairs = zip(structures, decode_qualities, strict=True)
    return latent, [_examine(*pair, model.compressor.elements, limits) for pair in pairs]


def _examine(structure: Any, decode_quality: Any, elements: tuple[str, ...], limits: dict[str, Any]) -> Candidate:
    """Repair a decoded structure, and say whether it is valid."""
    from imatgen_flows.candidates.validity import check_validity
    from imatgen_flows.crystals.repair import repair
    from imatgen_flows.crystals.standard import standardise, structure_id

    record = Candidate(
        sample="",
        origin=Origin(method="", seed=0, row=0, x=0, y=0),
        decode_quality=decode_quality.to_dict(),
        state=State.SAMPLED,
    )
    if structure is None or len(structure) == 0:
        reason = "no_cell" if structure is None else "no_atoms"
        record.reject(Stage.DECODE, reason, "the image holds no readable " + reason[3:])
        return record
    mended = repair(structure)
    record.repaired = list(mended.dropped)
    fault = check_validity(mended.structure, elements, limits["max_sites"], limits["max_edge"])
    record.structure = mended.structure.as_dict()
    if fault is not None:
        record.reject(Stage.VALIDITY, *fault)
        return record
    try:
        standard = standardise(mended.structure)
    except ValueError as error:
        record.reject(Stage.VALIDITY, "no_standard_cell", str(error))
        return record
    record.structure, record.id = standard.as_dict(), structure_id(standard)
    record.spacegroup = spacegroup_of(standard)
    record.state = State.VALID
    return record


def spacegroup_of(structure: Any) -> tuple[str, int]:
    """Find symbol and number of the space group to 0.1 A; P1 where the search gives up for numerical reasons."""
    try:
        symbol, number = structure.get_space_group_info(symprec=0.1)
    except ValueError:
        return "P1", 1
    return symbol, number


def _latent_map(store: ArtifactStore, components: Any, data: Tensor, rows: list[dict], labels: LabelDocument) -> Any:
    """Where the training structures lie on the first two principal components."""
    places = components.transform(data)
    training = [
        {
            "id": row["id"],
            "x": float(place[0]),
            "y": float(place[1]),
            "stable": label["stable"],
            "formation_energy": label["formation_energy"],
            "formula": row["formula"],
            "known": row["known"],
        }
        for row, label, place in zip(rows, read_lines(labels.labels), places, strict=True)
    ]
    return store.put_json("latent-map", {"explained": components.explained, "training": training})


def spread(records: list[Candidate], at_most: int, scores: dict[str, float] | None = None) -> list[Candidate]:
    """Choose candidates for relaxation: the most promising, each further one of a composition counting as less so.

    Unrelaxed energies hardly rank relaxed ones, so the choice is by scores (eV/atom, by sample, the lowest first) where
    something has been learnt. Where nothing has, the compositions take turns, and in each turn clean decodes come first.
    """
    from pymatgen.core import Structure

    worth = scores or {}
    before: Counter[str] = Counter()
    ranked = []
    for record in sorted(records, key=lambda record: (worth.get(record.sample, 0.0), _doubt(record), record.sample)):
        formula = Structure.from_dict(record.structure or {}).composition.reduced_formula
        ranked.append(
            (
                worth.get(record.sample, 0.0) + COMPOSITION_PENALTY * before[formula],
                _doubt(record),
                record.sample,
                record,
            )
        )
        before[formula] += 1
    return [record for *_, record in sorted(ranked, key=lambda item: item[:3])][:at_most]


def _doubt(record: Candidate) -> tuple[bool, float]:
    decode_quality = record.decode_quality
    return (not decode_quality["count_matches"] or bool(record.repaired), decode_quality["residual"])
