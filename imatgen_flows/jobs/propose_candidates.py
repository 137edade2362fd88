"""The job that decides which candidates of which source are relaxed next: the allocation, the proposals, and the gate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, Stage, State
from imatgen_flows.config import CampaignConfig
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidate_scores import score_candidates
from imatgen_flows.jobs.candidate_table import (
    candidate_rows,
    candidate_structures,
    count_states,
    extend_table,
    novelty_classifier,
    read_candidates,
    samples_in,
)
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument, CandidateTable, InputFile, RoundDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.search_space import search_space
from imatgen_flows.profiles import Profile
from imatgen_flows.sources.allocation import Yield, allocate_adaptive, allocate_fixed
from imatgen_flows.sources.registry import ADAPTIVE, FILES, GENERATOR

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import NoveltyClassifier
    from imatgen_flows.sources.batch import Allocate, Batch
    from imatgen_flows.sources.search import RelaxedCrystal, SearchContext

# columns that tell what each source was given and what it found
RECORD = ("source", "round", "parents", "state", "rejected_stage", "novelty", "e_above_hull", "evaluations")
SEED_STEP = 1000  # between the seeds of two rounds, as `sample_candidates` has it
# sections of a campaign that decide what is proposed
SECTIONS = ("system", "limits", "validity", "labels", "search", "screen", "sources", "model")


@cached_job(CandidatesDocument, profile=Profile.LIGHT, label="propose candidates")
def propose_candidates(
    store: ArtifactStore,
    scratch: Path,
    *,
    data: CampaignData,
    campaign: dict[str, Any],
    candidates: CandidatesDocument | None,
    previous: RoundDocument | None,
    files: InputFile | None,
    batch: int,
) -> dict[str, Any]:
    """Choose what is relaxed next: share a batch of relaxations among the sources, and let each fill its part.

    Of `data` it takes the dataset, the labels and the references. `candidates` are those of this round so far: the samples
    of the generator, and what earlier batches relaxed; `previous` is the document of the round before.
    """
    from imatgen_flows.sources.batch import Batch, fill_batch

    config = CampaignConfig.model_validate(campaign)
    here = candidates.candidates if candidates else CandidateTable()
    number = previous.round + 1 if previous else 0
    tables = [previous.candidates, here] if previous else [here]
    records = [row for table in tables for row in _records(table)]
    found = {row["id"]: structure_of(row) for row in read_lines(data["dataset"].found)} if data["dataset"].found else {}
    found |= candidate_structures(here, Geometry.RELAXED)
    filled = Batch(
        number=(number, batch),
        space=search_space(config),
        classifier=novelty_classifier(data["dataset"], data["references"], found),
        seed=config.model.seed + SEED_STEP * number,
        resemblance=_resemblance(data, found) if config.screen.distinct else None,
        samples=_counts(row for row in records if row["round"] == number),
    )
    _restore_deferred(filled, here)
    before = read_json(candidates.extra["allocation"]) if candidates and "allocation" in candidates.extra else []
    # what the sources could not fill of an earlier batch is asked for again
    given = sum(row["given"] for row in before)
    wanted = config.screen.at_most * (batch + 1) // config.sources.number_of_batches - given
    ask = _ask(filled, data, config, candidates, tables, records, files)
    first = fill_batch(filled, wanted, config.sources.competing, _allocate(config, records, filled), ask)
    crystals = _arrays(filled.crystals)
    table = extend_table(store, here, filled.rows, crystals) if filled.rows or not here.parts else here
    chosen = [sample for samples in filled.chosen.values() for sample in samples]
    shared = [
        {
            "round": number,
            "batch": batch,
            "source": source,
            "planned": first.get(source, 0),
            "given": len(filled.chosen.get(source, ())),
            "made": filled.made.get(source, 0),
        }
        for source in config.sources.competing
    ]
    extra = dict(candidates.extra) if candidates else {}
    extra |= {"chosen": store.put_json("chosen", chosen), "allocation": store.put_json("allocation", before + shared)}
    return {
        "candidates": table,
        "counts": count_states(table),
        "seed": filled.seed,
        "extra": extra,
        "to_relax": len(chosen),
        "evaluations": candidates.evaluations if candidates else {},
    }


def _restore_deferred(batch: Batch, here: CandidateTable) -> None:
    """Take over what sources put off in earlier batches of the round; the generator's samples are chosen anew."""
    rows = candidate_rows(here, ["id", "source"], samples_in(here, State.UNIQUE))
    waiting = [row for row in rows if row["source"] != GENERATOR]
    structures = candidate_structures(here, Geometry.DECODED, [str(row["sample"]) for row in waiting])
    for source in dict.fromkeys(str(row["source"]) for row in waiting):
        names = [(str(row["sample"]), str(row["id"])) for row in waiting if row["source"] == source]
        batch.restore(source, names, structures)


def _resemblance(data: CampaignData, found: Mapping[str, Structure]) -> NoveltyClassifier:
    from imatgen_flows.candidates.novelty import RESEMBLANCE

    return novelty_classifier(data["dataset"], data["references"], found, RESEMBLANCE)


def yields_of(records: Iterable[Mapping[str, Any]], sources: Sequence[str], threshold: float) -> dict[str, Yield]:
    """Sum up what each source was given and what it found: new structures within the threshold (eV/atom) of the hull."""
    from imatgen_flows.candidates.classes import Novelty

    found = dict.fromkeys(sources, Yield())
    for row in records:
        tried = row["e_above_hull"] is not None or row["rejected_stage"] == Stage.SCREEN.value
        if row["source"] in found and tried:
            before = found[row["source"]]
            near = row["e_above_hull"] is not None and row["e_above_hull"] <= threshold
            is_find = near and row["novelty"] == Novelty.NEW.value
            found[row["source"]] = Yield(
                before.relaxations + 1, before.evaluations + row["evaluations"], before.finds + is_find
            )
    return found


def _records(table: CandidateTable) -> list[Row]:
    """Read what is known of the proposals of a table, without the samples of the generator that were not relaxed."""
    import pyarrow.compute as pc

    rows = read_candidates(table, RECORD)
    tried = (pc.field("source") != GENERATOR) | (pc.field("evaluations") > 0)
    tried |= (pc.field("rejected_stage") == Stage.SCREEN.value) | pc.field("e_above_hull").is_valid()
    found: list[Row] = rows.filter(tried).to_pylist()
    return found


def _counts(records: Iterable[Row]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in records:
        counts[str(row["source"])] = counts.get(str(row["source"]), 0) + 1
    return counts


def _allocate(config: CampaignConfig, records: Sequence[Row], batch: Batch) -> Allocate:
    """Make the function that shares relaxations: by fixed shares, or, once something was relaxed, by what was found."""
    yields = yields_of(records, config.sources.competing, config.screen.threshold)
    tried = any(one.relaxations for one in yields.values())
    turns = itertools.count()

    def allocate(sources: Sequence[str], number: int) -> dict[str, int]:
        if config.sources.allocation == ADAPTIVE and tried:
            seed = batch.seed_of_allocation(next(turns))
            return allocate_adaptive({source: yields[source] for source in sources}, number, seed)
        shares = {source: config.sources.shares[source] for source in sources}
        given = {source: yields[source].relaxations + len(batch.chosen.get(source, ())) for source in sources}
        return allocate_fixed(shares, given, number)

    return allocate


def _ask(
    batch: Batch,
    data: CampaignData,
    config: CampaignConfig,
    candidates: CandidatesDocument | None,
    tables: Sequence[CandidateTable],
    records: Sequence[Row],
    files: InputFile | None,
) -> Callable[[str, int, int], list[str]]:
    """Make the function by which the batch asks a source for candidates."""
    from imatgen_flows.candidates.given import read_given
    from imatgen_flows.sources.batch import ask_source

    others = [source for source in config.sources.competing if source != GENERATOR]
    given, faults = read_given(Path(files.path)) if files else ({}, [])
    if any(row["source"] == FILES for row in records):
        faults = []  # counted when the source was asked for the first time
    context = _context(batch, data, tables, records, given) if others else None
    ask_other = ask_source(batch, context) if context else None
    ask_generator = _from_pool(batch, candidates, data, config.rounds.kappa)

    def ask(source: str, number: int, call: int) -> list[str]:
        if source == GENERATOR:
            return ask_generator(number)
        if source == FILES and faults:
            batch.reject(FILES, faults)
            faults.clear()
        assert ask_other is not None
        return ask_other(source, number, call)

    return ask


def _from_pool(
    batch: Batch, candidates: CandidatesDocument | None, data: CampaignData, kappa: float
) -> Callable[[int], list[str]]:
    """Make the function that chooses among the generator's samples of this round: those that promise most come first."""
    from imatgen_flows.candidates.selection import SELECTION_COLUMNS, select_candidates

    if candidates is None:
        return lambda number: []
    table = candidates.candidates
    unique = candidate_rows(table, (*SELECTION_COLUMNS, "id", "source"), samples_in(table, State.UNIQUE))
    waiting = [row for row in unique if row["source"] == GENERATOR]  # others were put off in an earlier batch
    ordered = select_candidates(waiting, len(waiting), score_candidates(waiting, candidates, data, kappa))

    def ask(number: int) -> list[str]:
        chosen: list[str] = []
        while ordered and len(chosen) < number:
            taken, ordered[:] = ordered[: number - len(chosen)], ordered[number - len(chosen) :]
            structures = candidate_structures(table, Geometry.DECODED, [str(row["sample"]) for row in taken])
            chosen += batch.admit(GENERATOR, [(str(row["sample"]), str(row["id"])) for row in taken], structures)
        return chosen

    return ask


def _context(
    batch: Batch,
    data: CampaignData,
    tables: Sequence[CandidateTable],
    records: Sequence[Row],
    given: Mapping[str, Structure],
) -> SearchContext:
    """Gather what sources propose from."""
    from imatgen_flows.sources.search import SearchContext

    hull = load_hull(data["references"])
    rows = [row for row in read_lines(data["dataset"].crystals) if not row["known"] and not row.get("round_find")]
    dataset = {row["id"]: structure_of(row) for row in rows}
    labels = {row["id"]: row["energy_per_atom"] for row in read_lines(data["labels"].labels)}
    energies = {
        name: hull.e_above_hull(structure.composition, labels[name])
        for name, structure in dataset.items()
        if labels.get(name) is not None
    }
    taken: dict[str, set[str]] = {}
    for row in records:
        if row["state"] == State.UNIQUE.value and row["round"] != batch.number[0]:
            continue  # put off in an earlier round, and never relaxed: it may be proposed again
        taken.setdefault(str(row["source"]), set()).update(row["parents"] or ())  # type: ignore[arg-type]
    # what was relaxed as a reference needs no second relaxation
    references = [row for row in read_lines(data["references"].phases) if row["state"] == "relaxed"]
    names = {row["name"] for row in references}
    return SearchContext(
        space=batch.space,
        dataset=dataset,
        energies={name: energy for name, energy in energies.items() if name not in names},
        relaxed=[*_phases(references, hull), *(crystal for table in tables for crystal in _relaxed(table))],
        given=given,
        taken_by={source: frozenset(used) for source, used in taken.items()},
    )


def _phases(references: Iterable[Mapping[str, Any]], hull: Any) -> list[RelaxedCrystal]:
    from imatgen_flows.sources.search import RelaxedCrystal

    structures = [(row["name"], structure_of(row), row["energy_per_atom"]) for row in references]
    return [
        RelaxedCrystal(name, structure, hull.e_above_hull(structure.composition, energy))
        for name, structure, energy in structures
    ]


def _relaxed(table: CandidateTable) -> list[RelaxedCrystal]:
    from imatgen_flows.sources.search import RelaxedCrystal

    structures = candidate_structures(table, Geometry.RELAXED)
    energies = {row["sample"]: row["e_above_hull"] for row in candidate_rows(table, ["e_above_hull"], structures)}
    return [
        RelaxedCrystal(sample, structure, energy)
        for sample, structure in structures.items()
        if isinstance(energy := energies[sample], float)
    ]


def _arrays(crystals: Mapping[str, Structure]) -> list[tuple[str, Any]] | None:
    from imatgen_flows.crystals.arrays import CrystalArrays

    return [(sample, CrystalArrays.of(structure)) for sample, structure in crystals.items()] or None
