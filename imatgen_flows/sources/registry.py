"""The sources of candidates, by name."""

from __future__ import annotations

from dataclasses import dataclass

from imatgen_flows.registry import Entry, Registry


@dataclass(frozen=True)
class Source(Entry):
    """A source of candidates.

    Parameters
    ----------
    package : distribution on PyPI that it needs beside ours; empty where it needs none
    extra : of `pip install 'imatgen-flows[extra]'`, which brings that package
    """

    package: str = ""
    extra: str = ""


GENERATOR, SUBSTITUTION, RATTLED, RANDOM_SEARCH = "generator", "substitution", "rattled", "random_search"

SOURCES = Registry(
    "source",
    Source(GENERATOR, "Generator", "Samples of the trained networks."),
    Source(SUBSTITUTION, "Substitution", "Structures of the dataset, as substitution made them."),
    Source(RATTLED, "Rattled substitution", "The same with random strain and displacements."),
    Source(RANDOM_SEARCH, "Random search", "Random symmetric crystals in the manner of AIRSS.", "pyxtal", "search"),
)
