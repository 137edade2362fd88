"""Which candidates of a run are shown or exported."""

from __future__ import annotations

from itertools import islice

from imatgen_flows.candidates.classes import Selection
from imatgen_flows.errors import InputError
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.run_directory import RunDirectory


def choose_candidates(
    run: RunDirectory, only: str = "new", max_e_hull: float | None = None, top: int | None = None
) -> list[RelaxedRow]:
    """Choose relaxed candidates, lowest E_hull first.

    Parameters
    ----------
    run : whose candidates
    only : `new` for the new ones; of these `shortlist` for those within the threshold of the hull, `agreed` for those that
        the committee agrees on, `stable` for the dynamically stable ones, `agreed-stable` for both; `all` for every one
    max_e_hull : largest E_hull, eV/atom; any where None
    top : so many at most; all where None

    Raises
    ------
    InputError
        Where the choice is none of these, or `top` is below one.
    """
    if only not in list(Selection):
        raise InputError(f"`{only}` is not a choice of candidates. Known: {', '.join(Selection)}.")
    if top is not None and top < 1:
        raise InputError(f"the best {top} candidates are none: give a number from 1 on.")
    chosen = (
        row
        for row in run.relaxed
        if Selection(only).takes(row) and (max_e_hull is None or row["e_above_hull"] <= max_e_hull)
    )
    return list(islice(chosen, top))
