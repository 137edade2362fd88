"""The candidate table: one row a sample, with the columns of `candidates.schema`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.schema import COLUMNS, Value, arrow_schema
from imatgen_flows.candidates.view import CandidateView
from imatgen_flows.io.files import writing

Row = dict[str, Value]


def candidate_row(record: Candidate) -> Row:
    """Read every column from a candidate."""
    view = CandidateView(record)
    return {column.name: column.value(view) for column in COLUMNS}


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as parquet, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    with writing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=arrow_schema()), temporary)
