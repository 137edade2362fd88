"""From a name that a person gives to one crystal of the candidate table."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.crystals.arguments import describe_value
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    import pandas

NEAREST = 3  # names that are suggested for one that does not exist
LIKENESS = 0.5  # of a name that is suggested: share of its characters in common, as `difflib` counts them
SHORTEST_PREFIX = 4  # characters; fewer are rather a mistake


def check_name(name: Any) -> str:
    """Return the name of a crystal.

    Raises
    ------
    InputError
        Where it is no text, or empty.

    Examples
    --------
    >>> check_name(" 76da20b099df")
    '76da20b099df'
    """
    if isinstance(name, str) and name.strip():
        return name.strip()
    raise InputError(
        f"give a sample or an id, as texts; this is {describe_value(name)}. Of a row of the table, `row.name` is the sample."
    )


def is_candidate(table: pandas.DataFrame, name: str) -> bool:
    """Test whether a name is that of a candidate, or an id of one of its crystals."""
    return name in table.index or any((table[one.id_column] == name).any() for one in Geometry)


def find_crystal(table: pandas.DataFrame, name: str, geometry: Geometry | None) -> tuple[str, Geometry]:
    """Find the sample and the geometry that a name belongs to.

    Parameters
    ----------
    table : of the candidates, indexed by sample
    name : a sample, an id of one of its crystals, or the beginning of one of these alone; capitals are as good
    geometry : that is asked for; by default that of the id, and as relaxed for a sample

    Returns
    -------
    the sample, of several with this crystal the first; and the geometry

    Raises
    ------
    InputError
        Where there is no such name (the nearest are given), it begins several, or it is the id of another geometry.
    """
    if name in table.index:
        return name, geometry or Geometry.RELAXED
    samples = {one: table.index[table[one.id_column] == name] for one in Geometry}
    owners = {one: str(found[0]) for one, found in samples.items() if len(found)}
    if geometry in owners:
        return owners[geometry], geometry
    if owners:
        # crystals that a CIF file of the run holds stand last
        own, sample = list(owners.items())[-1]
        if geometry is None:
            return sample, own
        raise InputError(
            f"`{name}` is the id of {sample} as {own.value}, not as {geometry.value}: leave out the stage, or give the "
            "sample."
        )
    return find_crystal(table, _whole_name(table, name.lower()), geometry)


def _whole_name(table: pandas.DataFrame, name: str) -> str:
    """Return the only name that begins as given."""
    known = dict.fromkeys([*table.index, *(value for one in Geometry for value in table[one.id_column] if value)])
    begun = [other for other in known if other.startswith(name)] if len(name) >= SHORTEST_PREFIX else []
    if len(begun) == 1:
        return begun[0]
    if begun:
        shown = ", ".join(begun[:NEAREST])
        raise InputError(f"`{name}` begins {len(begun)} names of candidates: {shown} ... Give more of it.")
    near = difflib.get_close_matches(name, known, NEAREST, LIKENESS)
    nearest = (
        f"Nearest: {', '.join(near)}." if near else f"Samples are named as {next(iter(known), 'r0-slerp-000000')}."
    )
    raise InputError(f"no candidate `{name}`. {nearest}")
