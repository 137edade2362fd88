"""A crystal as a source gives it, before it is checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pymatgen.core import Structure

from imatgen_flows.crystals.exclusion import Exclusion

MAX_BYTES = 200_000_000  # of what is read at once, uncompressed, be it a file or a line of one: beyond any crystals


@dataclass(frozen=True)
class RawCrystal:
    """A crystal as it was read: a structure, or the reason why there is none."""

    id: str
    source: str
    crystal: Structure | Exclusion


# what a reader of a format finds in one file: the name of each crystal within it, empty where it holds one alone
Found = Iterable[tuple[str, Structure | Exclusion]]


def unreadable(problem: str | Exception) -> Exclusion:
    """Make the exclusion of a crystal that cannot be read, in one line; whoever knows its id sets it."""
    if isinstance(problem, KeyError) and problem.args:
        problem = f"no `{problem.args[0]}`"
    elif isinstance(problem, RecursionError):
        problem = "it is nested too deeply"
    elif isinstance(problem, ValueError | OSError) and str(problem):
        problem = str(problem)
    elif isinstance(problem, Exception):  # in the words of a reader that did not expect this
        problem = f"its reader fails ({type(problem).__name__}: {problem})"
    problem = problem.removeprefix("No structure parsed for section 1 in CIF. ")  # by pymatgen, of each block alone
    return Exclusion("", "unreadable", " ".join(problem.split())[:500])
