"""Two runs beside each other: what differs in their settings, in what they found, and in what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymatgen.core import Structure

Pair = tuple[Any, Any]  # a value of the first run, and that of the other; None where it has none


@dataclass(frozen=True)
class Find:
    """A new structure of a run.

    Attributes
    ----------
    sample, id : of the candidate, and of the crystal as relaxed
    formula, spacegroup : of it
    e_above_hull : eV/atom, on the hull of its run
    """

    sample: str
    id: str
    formula: str
    spacegroup: str
    e_above_hull: float


@dataclass(frozen=True)
class RunFacts:
    """What is compared of a run.

    Attributes
    ----------
    name : of the run, for people
    settings : of its campaign by key, as ``screen.fmax``
    versions : of the packages that it ran with
    scale : of its energies
    phases : names of the phases of its hull
    counts : how many samples came how far
    evaluations : energy evaluations by purpose
    seconds : wall time by job
    finds : its new structures, lowest E_hull first
    structures : of these, as relaxed, by sample
    """

    name: str
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    scale: str
    phases: frozenset[str]
    counts: Mapping[str, int]
    evaluations: Mapping[str, int]
    seconds: Mapping[str, float]
    finds: tuple[Find, ...]
    structures: Mapping[str, Structure] = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class RunDifferences:
    """Two runs beside each other; see `metrics.run_comparison.compare_facts`.

    Attributes
    ----------
    names : of both runs
    settings, versions : those that differ, by key
    found : samples that came so far, and new structures near the hull
    evaluations, seconds : by purpose and by job, with the sum
    common : new structures of both that are equal by the matcher, with their E_hull in each, lowest first
    alone : new structures that the other run has not, for each run, lowest first
    notes : why numbers of the two do not compare
    """

    names: tuple[str, str]
    settings: dict[str, Pair]
    versions: dict[str, Pair]
    found: dict[str, Pair]
    evaluations: dict[str, Pair]
    seconds: dict[str, Pair]
    common: tuple[tuple[Find, Find], ...]
    alone: tuple[tuple[Find, ...], tuple[Find, ...]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)
