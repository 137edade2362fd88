"""What is asked of a source of crystals: those of a number of elements, or those of a chemical system."""

from __future__ import annotations

import itertools
from dataclasses import dataclass


@dataclass(frozen=True)
class TemplateQuery:
    """Crystals of a number of elements, whichever these are: templates.

    Attributes
    ----------
    n_elements : how many
    max_sites : largest number of sites
    """

    n_elements: int
    max_sites: int
    section = "templates"  # of the campaign file, to begin error messages with
    instead = "Or use `templates: {source: prototypes}`, which needs neither key nor network."

    @property
    def label(self) -> str:
        """Part of the name of a file that holds the answer."""
        return f"{self.n_elements}-elements_{self.max_sites}-sites"

    def __str__(self) -> str:
        return f"with {self.n_elements} elements"


@dataclass(frozen=True)
class SystemQuery:
    """Crystals of a chemical system and of every part of it, the elements among them: known phases.

    Attributes
    ----------
    elements : symbols, in alphabetical order

    Examples
    --------
    >>> query = SystemQuery.of(["V", "O"])
    >>> query.label, query.parts
    ('O-V', (('O',), ('V',), ('O', 'V')))
    """

    elements: tuple[str, ...]
    section = "known"
    instead = "Or give `known` a `path`: a file or folder of published phases."

    @classmethod
    def of(cls, elements: list[str]) -> SystemQuery:
        """Make the query of a system that is written in any order."""
        return cls(tuple(sorted(elements)))

    @property
    def label(self) -> str:
        """Part of the name of a file that holds the answer; also the name of the system."""
        return "-".join(self.elements)

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Every chemical system within, from the elements to the whole."""
        sizes = range(1, len(self.elements) + 1)
        return tuple(part for size in sizes for part in itertools.combinations(self.elements, size))

    def __str__(self) -> str:
        return f"of {self.label}"


Query = TemplateQuery | SystemQuery
