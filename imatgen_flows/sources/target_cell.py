"""What every source is asked for: cells of given contents, and the strata by which their answers are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pymatgen.core import Composition, Element, Structure

RATIOS = (1.5, 2.0)  # anions to cations, where one composition class ends and the next begins
SIZES = (10, 15, 21)  # sites; the same
ANSWERS = 20  # of a source to one target, until one is new
SEED_STEP = 100_000  # between the seeds of these answers

Asked = TypeVar("Asked")


@dataclass(frozen=True)
class TargetCell:
    """A cell that each source fills once: so many atoms of each element."""

    atoms: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, structure: Structure) -> TargetCell:
        """Ask for a cell like this one."""
        return cls(tuple(sorted((symbol, round(n)) for symbol, n in structure.composition.get_el_amt_dict().items())))

    @property
    def composition(self) -> Composition:
        """What the cell holds."""
        return Composition(dict(self.atoms))

    @property
    def formula(self) -> str:
        """Formula of the cell, not reduced: ``V4O8``."""
        return str(self.composition.formula).replace(" ", "")

    @property
    def n_sites(self) -> int:
        """Atoms of the cell."""
        return sum(n for _, n in self.atoms)

    @property
    def ratio_class(self) -> str:
        """Composition class, by anions to cations."""
        low, high = RATIOS
        ratio = anion_ratio(self.composition)
        return f"under {low:g}" if ratio < low else f"{low:g} to {high:g}" if ratio < high else f"{high:g} and over"

    @property
    def size_class(self) -> str:
        """Class by number of sites."""
        small, middle, large = SIZES
        if self.n_sites < small:
            return f"under {small}"
        if self.n_sites < middle:
            return f"{small}-{middle - 1}"
        return f"{middle}-{large - 1}" if self.n_sites < large else f"{large} and over"


@dataclass(frozen=True)
class Proposal:
    """A source's answer to one target.

    Attributes
    ----------
    name : what it was made from
    structure : to be relaxed
    as_asked : the cell holds what the target asks for
    """

    name: str
    structure: Structure
    as_asked: bool = True


def propose_unknown(
    propose: Callable[[Sequence[Asked], int], list[Proposal | None]],
    asked: Sequence[Asked],
    seed: int,
    is_new: Callable[[Structure], bool],
) -> list[Proposal | None]:
    """Let a source answer until each answer is new as it stands: to relax what equals something known finds nothing.

    Parameters
    ----------
    propose : the source
    asked : what it is asked for
    seed : of its first answers
    is_new : tells a structure from all that is known

    Returns
    -------
    one proposal for each that is asked for; None where the source gave none, or none that is new in 20 answers
    """
    found: dict[int, Proposal | None] = {}
    waiting = list(range(len(asked)))
    for attempt in range(ANSWERS):
        answers = propose([asked[index] for index in waiting], seed + SEED_STEP * attempt)
        found |= {
            index: answer
            for index, answer in zip(waiting, answers, strict=True)
            if answer is None or is_new(answer.structure)
        }
        waiting = [index for index in waiting if index not in found]
        if not waiting:
            break
    return [found.get(index) for index in range(len(asked))]


@dataclass(frozen=True)
class Limits:
    """Which cells are compared: number of sites from `low` to `high`, and `ratio` anions to a cation at least."""

    low: int = 10
    high: int = 20
    ratio: float = 1.33

    def admit(self, structure: Structure) -> bool:
        """Whether a cell is within the limits."""
        return self.low <= len(structure) <= self.high and anion_ratio(structure.composition) >= self.ratio


def anion_ratio(composition: Composition) -> float:
    """Atoms of the most electronegative element to those of all others; infinite where there are none."""
    amounts = composition.get_el_amt_dict()
    anion = max(amounts, key=lambda symbol: Element(symbol).X)
    others = sum(amounts.values()) - amounts[anion]
    return amounts[anion] / others if others else float("inf")
