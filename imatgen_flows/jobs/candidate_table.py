"""The candidate table between jobs: what each writes of it, and what it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.candidates.structure_table import read_structures, write_structures
from imatgen_flows.candidates.table import KEY, count_by, read_table, rows_of, table_part, write_part
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, DatasetDocument, ReferenceDocument

if TYPE_CHECKING:
    import pyarrow
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import NoveltyClassifier
    from imatgen_flows.crystals.arrays import CrystalArrays


def read_candidates(
    table: CandidateTable, names: Iterable[str] | None = None, samples: Collection[str] | None = None
) -> pyarrow.Table:
    """Join the parts of a table, or of it some columns of some samples."""
    return read_table([part.path() for part in table.parts], names, samples)


def candidate_rows(
    table: CandidateTable, names: Iterable[str] | None = None, samples: Collection[str] | None = None
) -> list[Row]:
    """Read rows of a table, with some columns, of some samples."""
    return rows_of(read_candidates(table, names, samples))


def samples_in(table: CandidateTable, *states: State) -> list[str]:
    """List the samples that are in one of some states."""
    import pyarrow
    import pyarrow.compute as pc

    found = read_candidates(table, ["state"])
    wanted = pyarrow.array([state.value for state in states], pyarrow.string())
    names: list[str] = found.filter(pc.is_in(found["state"], value_set=wanted))[KEY].to_pylist()
    return names


def candidate_structures(
    table: CandidateTable, geometry: Geometry, samples: Collection[str] | None = None
) -> dict[str, Structure]:
    """Read structures by sample; those that have none at this point of their way are left out."""
    return read_structures((ref.path() for ref in table.structures.get(geometry.value, [])), samples)


def extend_table(
    store: ArtifactStore,
    table: CandidateTable,
    rows: Sequence[Mapping[str, object]],
    crystals: Iterable[tuple[str, CrystalArrays]] | None = None,
    geometry: Geometry = Geometry.DECODED,
) -> CandidateTable:
    """Store what a job writes of the candidates, behind what is there.

    Parameters
    ----------
    store : of the run
    table : what earlier jobs wrote
    rows : each with `sample` and the columns that the job fills
    crystals : structures by sample; None where the job makes none
    geometry : what they are
    """
    with store.new("candidates", ".parquet") as columns:
        write_part(columns.path, table_part(rows))
    structures = {}
    if crystals is not None:
        with store.new(f"{geometry.value}-structures", ".parquet") as pending:
            write_structures(pending.path, crystals)
        structures = {geometry.value: [pending.ref]}
    return table + CandidateTable(parts=[columns.ref], structures=structures)


def candidates_fields(table: CandidateTable, like: CandidatesDocument) -> dict[str, Any]:
    """Return the fields of a document that goes on from another one, with the number of candidates in each state."""
    return {"candidates": table, "counts": count_states(table), "seed": like.seed, "extra": like.extra}


def count_states(table: CandidateTable) -> dict[str, int]:
    """Count the candidates in each state."""
    return {state: number for (state,), number in count_by(read_candidates(table, ["state"]), "state").items()}


def novelty_classifier(
    dataset: DatasetDocument,
    references: ReferenceDocument,
    found: Mapping[str, Structure] | None = None,
    tolerances: Mapping[str, Any] | None = None,
) -> NoveltyClassifier:
    """Build a classifier from all published phases and all substituted structures, as made and as relaxed.

    Parameters
    ----------
    dataset, references : of a round
    found : structures by name that count as found before; by default those of the dataset, of the rounds before it
    tolerances : of the matcher; by default those of `NoveltyClassifier`
    """
    from imatgen_flows.candidates.novelty import NoveltyClassifier

    known, substituted = known_structures(dataset, references)
    if found is None:
        found = {row["id"]: structure_of(row) for row in read_lines(dataset.found)} if dataset.found else {}
    return NoveltyClassifier(known, substituted, found=found, **(tolerances or {}))


def known_structures(
    dataset: DatasetDocument, references: ReferenceDocument
) -> tuple[dict[str, Structure], dict[str, Structure]]:
    """Read the published phases of a round, and its substituted structures, both by id, as made and as relaxed."""
    known: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    for row in (*read_lines(dataset.crystals), *(read_lines(dataset.held_out) if dataset.held_out else ())):
        if not row.get("round_find"):  # what an earlier round found is no published phase
            (known if row["known"] else substituted)[row["id"]] = structure_of(row)
    published, others = relaxed_phases(read_lines(references.phases))
    return known | published, substituted | others


def relaxed_phases(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Structure], dict[str, Structure]]:
    """Name the structures of reference phases, as relaxed: the published ones, and the substituted ones."""
    published: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    for row in rows:
        where = substituted if row["kind"] == "substituted" else published
        where[f"{row['name']} (relaxed)"] = structure_of(row)
    return published, substituted
