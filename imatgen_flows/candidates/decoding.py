"""Examination of decoded structures: repair, checks of validity, the standard cell and its space group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from imatgen_flows.candidates.candidate import Candidate, DecodeRecord, Origin, Rejection
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.validity import check_validity
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import standardise, structure_id

if TYPE_CHECKING:
    from imatgen_flows.representation import DecodeQuality


@dataclass(frozen=True)
class Examined:
    """A decoded structure after its examination, before a sample's name and origin are added.

    Attributes
    ----------
    quality : how far the structure explains its images
    structure : repaired, in its standard cell where it is valid (pymatgen dictionary); None where nothing was decoded
    id : hash of the standard cell; empty where it is not valid
    spacegroup : symbol and number of the standard cell
    repaired : atoms that the repair dropped
    rejection : why it is not valid; None where it is
    """

    quality: DecodeRecord
    structure: dict[str, Any] | None = None
    id: str = ""
    spacegroup: tuple[str, int] = ("", 0)
    repaired: tuple[str, ...] = ()
    rejection: Rejection | None = None

    @property
    def is_clean(self) -> bool:
        """Whether it is valid, with matching atom counts, a small residual and no repair."""
        return self.rejection is None and self.quality.is_clear and not self.repaired

    def candidate(self, sample: str, origin: Origin, round_number: int) -> Candidate:
        """Build the record of a sample that decoded to this structure."""
        return Candidate(
            sample=sample,
            id=self.id,
            round=round_number,
            origin=origin,
            decode_quality=self.quality,
            repaired=list(self.repaired),
            structure=self.structure,
            spacegroup=self.spacegroup,
            state=State.VALID if self.rejection is None else State.REJECTED,
            rejection=self.rejection,
        )


def examine(
    structure: Structure | None,
    quality: DecodeQuality,
    elements: Sequence[str],
    max_sites: int = 20,
    max_edge: float = 10.0,
) -> Examined:
    """Repair a decoded structure, check that it is valid, and bring it to its standard cell.

    Parameters
    ----------
    structure : as decoded; None where the images hold no readable cell
    quality : of the decode
    elements : each of them must occur in a valid structure
    max_sites, max_edge : limits on sites and on the longest edge, A
    """
    record = DecodeRecord.model_validate(quality.to_dict())
    if structure is None or len(structure) == 0:
        reason = "no_cell" if structure is None else "no_atoms"
        detail = "the image holds no readable " + reason.removeprefix("no_")
        return Examined(record, rejection=Rejection(stage=Stage.DECODE, reason=reason, detail=detail))
    result = repair(structure)
    crystal, dropped = result.structure, tuple(result.dropped)

    def invalid(reason: str, detail: str) -> Examined:
        rejection = Rejection(stage=Stage.VALIDITY, reason=reason, detail=detail)
        return Examined(record, crystal.as_dict(), repaired=dropped, rejection=rejection)

    fault = check_validity(crystal, elements, max_sites, max_edge)
    if fault is not None:
        return invalid(*fault)
    try:
        standard = standardise(crystal)
    except ValueError as error:
        return invalid("no_standard_cell", str(error))
    return Examined(record, standard.as_dict(), structure_id(standard), spacegroup_of(standard), dropped)


def spacegroup_of(structure: Structure) -> tuple[str, int]:
    """Find symbol and number of the space group to 0.1 A; P1 where the search gives up for numerical reasons."""
    try:
        symbol, number = structure.get_space_group_info(symprec=0.1)
    except ValueError:
        return "P1", 1
    return symbol, number
