"""The candidate table: one row a sample, with the columns of `candidates.schema`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.candidate import Candidate
from imatgen_flows.candidates.schema import COLUMNS, arrow_schema
from imatgen_flows.io.files import writing

if TYPE_CHECKING:
    from pymatgen.core import Structure


class CandidateView:
    """A candidate with its latest structure parsed once, as the columns read it.

    Parameters
    ----------
    record : the candidate
    """

    def __init__(self, record: Candidate) -> None:
        self.record = record

    @cached_property
    def latest(self) -> Structure | None:
        """As DFT left it, else as relaxed, else as decoded; None where nothing was decoded."""
        from pymatgen.core import Structure

        latest = self.record.validated or self.record.relaxed or self.record.structure
        return Structure.from_dict(latest) if latest else None

    @property
    def formula(self) -> str:
        """Reduced formula; empty without a structure."""
        return self.latest.composition.reduced_formula if self.latest else ""

    @property
    def n_sites(self) -> int:
        """Number of sites; 0 without a structure."""
        return len(self.latest) if self.latest else 0

    @property
    def volume_per_atom(self) -> float | None:
        """Volume per atom, Å³."""
        return self.latest.volume / len(self.latest) if self.latest else None

    @property
    def cif(self) -> str:
        """CIF of the latest structure; empty without one."""
        return self.latest.to(fmt="cif") if self.latest else ""


def candidate_row(record: Candidate) -> dict[str, Any]:
    """Read every column from a candidate."""
    view = CandidateView(record)
    return {column.name: column.value(view) for column in COLUMNS}


def write_table(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as parquet, whole or not at all."""
    import pyarrow
    from pyarrow import parquet

    with writing(path) as temporary:
        parquet.write_table(pyarrow.Table.from_pylist(list(rows), schema=arrow_schema()), temporary)
