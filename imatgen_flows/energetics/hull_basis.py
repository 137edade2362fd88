"""What a hull rests on: how many published compounds, and from where. Without any, it can bear no discovery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

SHIPPED = "shipped with the program"  # an origin
SUBSTITUTED = "substituted"  # kind of a phase that substitution made
COMPOUND = "compound"  # kind of a phase that is published and holds two elements or more


@dataclass(frozen=True)
class HullBasis:
    """The published compounds among the phases of a hull; see `count`.

    Attributes
    ----------
    elements : of the system
    published : compounds of the system and of its parts by their origin; where that is not on record, it is empty
    complete : those of them that hold every element of the system, as candidates do
    substituted : whether substituted structures compete on the hull too

    Examples
    --------
    >>> basis = HullBasis.count(["Fe", "S"], [("element", 1, ""), ("compound", 2, "known.jsonl"), ("substituted", 2, "")])
    >>> basis.sentence()
    'The hull rests on 1 published compound (1 from known.jsonl).'
    >>> HullBasis.count(["N", "Zr"], []).is_published
    False
    """

    elements: tuple[str, ...]
    published: Mapping[str, int]
    complete: int
    substituted: bool = True

    @classmethod
    def count(
        cls, elements: Sequence[str], phases: Iterable[tuple[str, int, str]], substituted: bool | None = None
    ) -> HullBasis:
        """Count the compounds among phases.

        Parameters
        ----------
        elements : of the system
        phases : of each its kind, its number of elements and its origin
        substituted : whether substituted structures compete too; by default, whether one is among the phases
        """
        phases = list(phases)
        if substituted is None:
            substituted = any(kind == SUBSTITUTED for kind, _, _ in phases)
        compounds = [(number, origin) for kind, number, origin in phases if kind == COMPOUND and number > 1]
        complete = sum(number == len(elements) for number, _ in compounds)
        return cls(tuple(elements), Counter(origin for _, origin in compounds), complete, substituted)

    @property
    def total(self) -> int:
        """Published compounds from everywhere."""
        return sum(self.published.values())

    @property
    def is_published(self) -> bool:
        """Whether a published compound holds every element, so that a candidate may be said to lie below the hull."""
        return self.complete > 0

    def words(self) -> str:
        """Count the compounds in a few words, each origin with its number."""
        origins = ", ".join(
            f"{number} {origin if origin == SHIPPED else f'from {origin}'}"
            for origin, number in self.published.items()
            if origin
        )
        number = f"{self.total or 'no'} published compound{'' if self.total == 1 else 's'}"
        return f"{number} ({origins})" if origins else number

    def sentence(self, pressure: float = 0.0) -> str:
        """Say what the hull rests on, and, where that is no published compound of all elements, what follows from it.

        Parameters
        ----------
        pressure : of the hull, GPa; above zero, it is one of enthalpies
        """
        hull, energies = (f"hull at {pressure:g} GPa", "enthalpies") if pressure else ("hull", "energies")
        if self.is_published:
            return f"The {hull} rests on {self.words()}."
        beside = " and to substituted structures" if self.substituted else ""
        if not self.total:
            return (
                f"No published compound is on the {hull}: {energies} above it are relative to the elements{beside}, and "
                "nothing can be said to lie below it."
            )
        return (
            f"The {hull} rests on {self.words()}, and none of them holds all of {', '.join(self.elements)}: {energies} "
            f"above it are relative to smaller systems{beside}, and nothing can be said to lie below it."
        )
