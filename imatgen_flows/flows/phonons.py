"""The flow of phonons: what the section `phonons` of a campaign asks for, as the job takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Phonons
from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL
from imatgen_flows.jobs.cached_job import versions_of
from imatgen_flows.jobs.documents import PhononInputs
from imatgen_flows.jobs.phonons import compute_phonons
from imatgen_flows.jobs.search_space import pressure_input


@dataclass
class PhononMaker(Maker):
    """Compute the phonons of the best shortlisted candidates of a round."""

    name: str = "phonons"
    phonons: Phonons = field(default_factory=Phonons)
    screened_by: str = DEFAULT_POTENTIAL  # potential of the screening, which computes the phonons where none is named
    pressure: float = 0.0  # GPa

    def make(self, root: str, candidates: Any) -> Flow:
        """Build the flow; `candidates` is the document of a shortlist, or a reference to it."""
        computed = compute_phonons(root, candidates=candidates, at_most=self.phonons.at_most, phonons=self.inputs())
        return Flow([computed], output=computed.output, name=self.name)

    def inputs(self) -> PhononInputs:
        """Return what decides the phonons of a structure."""
        section = self.phonons
        inputs = PhononInputs(
            potential=section.potential or self.screened_by,
            supercell=section.supercell,
            fmax=section.fmax,
            max_atoms=section.max_atoms,
            phonopy=versions_of(("phonopy",)).get("phonopy", ""),
        )
        follow = {"follow": True} if section.follow else {}
        return PhononInputs(**inputs, **follow, **pressure_input(self.pressure))  # type: ignore[typeddict-item]  # mypy#9408
