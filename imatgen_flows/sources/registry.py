"""The sources of candidates, by name: choices, help texts and the functions that propose structures derive from here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from imatgen_flows.errors import InputError
from imatgen_flows.registry import Entry, Registry, load_object

if TYPE_CHECKING:
    from imatgen_flows.sources.proposal import Propose


@dataclass(frozen=True)
class Source(Entry):
    """A source of candidates.

    Parameters
    ----------
    proposer : ``module:function``; the function is a `sources.proposal.Propose`
    package : distribution on PyPI that it needs beside ours; empty where it needs none
    extra : of ``pip install 'imatgen-flows[extra]'``, which brings that package
    """

    proposer: str
    package: str = ""
    extra: str = ""

    def load(self) -> Propose:
        """Import the function that proposes structures."""
        return cast("Propose", load_object(self.proposer))

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
                f"{self.label.lower()} needs {self.package}: {cure}. "
                f"To compare without it, leave `{self.name}` out of --sources."
            )


GENERATOR, SUBSTITUTION, RATTLED, RANDOM_SEARCH = "generator", "substitution", "rattled", "random_search"
_HERE = "imatgen_flows.sources"

SOURCES = Registry(
    "source",
    Source(GENERATOR, "Generator", "Samples of the trained networks.", f"{_HERE}.generator:propose_generated"),
    Source(
        SUBSTITUTION,
        "Substitution",
        "Structures of the dataset, as substitution made them.",
        f"{_HERE}.substitution:propose_substituted",
    ),
    Source(
        RATTLED,
        "Rattled substitution",
        "Substituted structures with random strain and displacements.",
        f"{_HERE}.rattled:propose_rattled",
    ),
    Source(
        RANDOM_SEARCH,
        "Random search",
        "Random symmetric crystals in the manner of AIRSS.",
        f"{_HERE}.random_search:propose_random",
        "PyXtal",
        "search",
    ),
)
