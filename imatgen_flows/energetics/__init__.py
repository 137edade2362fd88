"""What a crystal costs: potentials, relaxation, reference phases and the hull."""

from imatgen_flows.energetics.hull import Hull, HullEntry, formation_energy, hull_distance
from imatgen_flows.energetics.potentials import Potential, get_potential, register_potential
from imatgen_flows.energetics.references import (
    ReferencePhase,
    elemental_fallback,
    reference_phases,
)
from imatgen_flows.energetics.relax import Relaxation, relax_many, single_points

__all__ = [
    "Hull",
    "HullEntry",
    "Potential",
    "ReferencePhase",
    "Relaxation",
    "elemental_fallback",
    "formation_energy",
    "get_potential",
    "hull_distance",
    "reference_phases",
    "register_potential",
    "relax_many",
    "single_points",
]
