"""Checks: what `imatgen check` reports, one line each, and what keeps a campaign from starting."""

from __future__ import annotations

from dataclasses import dataclass

from imatgen_flows.errors import InputError


@dataclass(frozen=True)
class Check:
    """The outcome of one check: whether it passed, and what was found."""

    name: str
    ok: bool
    detail: str


def refuse_faults(checks: list[Check]) -> None:
    """Raise InputError where a check failed; the message names all failed ones.

    Examples
    --------
    >>> refuse_faults([Check("disk", True, "40 GB free")])
    """
    faults = [check for check in checks if not check.ok]
    if faults:
        raise InputError("; ".join(f"{check.name}: {check.detail}" for check in faults))
