"""Checks: what `imatgen check` reports, one line each, and what keeps a campaign from starting."""

from __future__ import annotations

from dataclasses import dataclass

from imatgen_flows.errors import InputError


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes
    ----------
    name : what was checked
    ok : whether it passed
    detail : what was found
    limiting : whether it passed, but limits what the result will say
    """

    name: str
    ok: bool
    detail: str
    limiting: bool = False

    @property
    def mark(self) -> str:
        """What stands before its line."""
        return "FAIL" if not self.ok else "note" if self.limiting else "ok  "


def refuse_faults(checks: list[Check]) -> None:
    """Raise InputError where a check failed; the message names all failed ones.

    Examples
    --------
    >>> refuse_faults([Check("disk", True, "40 GB free")])
    """
    faults = [check for check in checks if not check.ok]
    if faults:
        raise InputError("; ".join(f"{check.name}: {check.detail}" for check in faults))
