"""A view of a candidate with its latest structure, from which the columns of the candidate table are read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from imatgen_flows.candidates.candidate import Candidate

if TYPE_CHECKING:
    from pymatgen.core import Structure


class CandidateView:
    """A candidate with its latest structure, which is parsed once.

    Parameters
    ----------
    record : the candidate
    """

    def __init__(self, record: Candidate) -> None:
        self.record = record

    @cached_property
    def latest(self) -> Structure | None:
        """Structure as DFT left it, else as relaxed, else as decoded; None where nothing was decoded."""
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
        """Volume per atom, Å³; None without a structure."""
        return self.latest.volume / len(self.latest) if self.latest else None

    @property
    def cif(self) -> str:
        """CIF of the latest structure; empty without one."""
        return self.latest.to(fmt="cif") if self.latest else ""
