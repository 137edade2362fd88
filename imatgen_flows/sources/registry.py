"""The sources of candidates, and the ways to share the relaxations among them: choices and help texts derive from here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.registry import Entry, Registry, load_object


@dataclass(frozen=True)
class Source(Entry):
    """A source of candidates.

    Parameters
    ----------
    proposer : ``module:function``, a `sources.search.Propose`, which a campaign calls; empty for the generator, whose samples
        are drawn before
    filler : ``module:function``, a `sources.proposal.FillCells`, for comparisons on the same cells; empty for a source that
        chooses its cells itself
    repeats_dataset : whether it proposes structures of the dataset as they are, so that to match them is no reason to reject
    package : distribution on PyPI that it needs beside ours; empty where it needs none
    extra : of ``pip install 'imatgen-flows[extra]'``, which brings that package
    """

    proposer: str = ""
    filler: str = ""
    repeats_dataset: bool = False
    package: str = ""
    extra: str = ""

    def load(self) -> Any:
        """Import the function that proposes structures in a campaign, a `Propose`."""
        return load_object(self.proposer)

    def load_filler(self) -> Any:
        """Import the function that fills given cells, a `FillCells`."""
        return load_object(self.filler)

    def check(self) -> None:
        """Check that the package which the source needs is installed.

        Raises
        ------
        InputError
            Where it is not; the message says how to install it.
        """
        if self.package and find_spec(self.package.lower().replace("-", "_")) is None:
            cure = f"`pip install 'imatgen-flows[{self.extra}]'`" if self.extra else f"`pip install {self.package}`"
            raise InputError(
                f"{self.label.lower()} needs {self.package}: {cure}. To go on without it, leave the source `{self.name}` out."
            )


GENERATOR, SUBSTITUTION, RATTLED, RANDOM_SEARCH = "generator", "substitution", "rattled", "random_search"
GENETIC, FILES = "genetic", "files"
_HERE = "imatgen_flows.sources"

SOURCES = Registry(
    "source",
    Source(
        GENERATOR,
        "Generator",
        "Samples of the trained networks.",
        filler=f"{_HERE}.generator:propose_generated",
    ),
    Source(
        SUBSTITUTION,
        "Substitution",
        "Structures of the dataset as substitution made them, lowest single points first.",
        proposer=f"{_HERE}.substitution:propose_lowest",
        filler=f"{_HERE}.substitution:propose_substituted",
        repeats_dataset=True,
    ),
    Source(
        RATTLED,
        "Rattled substitution",
        "The same with random strain and displacements.",
        proposer=f"{_HERE}.rattled:propose_lowest_rattled",
        filler=f"{_HERE}.rattled:propose_rattled",
    ),
    Source(
        RANDOM_SEARCH,
        "Random search",
        "Random symmetric crystals in the manner of AIRSS.",
        proposer=f"{_HERE}.random_search:propose_random_cells",
        filler=f"{_HERE}.random_search:propose_random",
        package="PyXtal",
        extra="search",
    ),
    Source(
        GENETIC,
        "Genetic algorithm",
        "Offspring of the lowest of all that was relaxed, whatever source proposed it.",
        proposer=f"{_HERE}.genetic:propose_offspring",
        package="ase-ga",
        extra="search",
    ),
    Source(
        FILES,
        "Files",
        "Structures of any other program, in the order of their files.",
        proposer=f"{_HERE}.files:propose_given",
    ),
)


def fillers() -> Registry[Source]:
    """Return the sources that fill given cells, so that they can be compared over the same."""
    return Registry("source", *(source for source in SOURCES if source.filler))


FIXED, ADAPTIVE = "fixed", "adaptive"
ALLOCATIONS = Registry(
    "allocation",
    Entry(FIXED, "Fixed", "Each source gets its share."),
    Entry(
        ADAPTIVE,
        "Adaptive",
        "Thompson sampling on what each source has found for its evaluations; the shares are those of the first batch.",
    ),
)

EQUAL = "equal"
MIXED = (
    Entry(EQUAL, "Equal shares", "All the sources that are compared, each with the same share."),
    Entry(ADAPTIVE, "Adaptive", "All the sources that are compared, by Thompson sampling on what each has found."),
)


def arms() -> Registry[Entry]:
    """Return the arms of a comparison: each source alone, and those that share their relaxations among sources."""
    return Registry("arm", *(Entry(source.name, source.label, source.description) for source in SOURCES), *MIXED)
