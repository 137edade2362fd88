"""What a crystal costs: potentials, relaxation, reference phases and the hull."""

from imatgen_flows.energetics.potentials import Potential, get_potential, register_potential
from imatgen_flows.energetics.relax import Relaxation, relax_many, single_points

__all__ = ["Potential", "Relaxation", "get_potential", "register_potential", "relax_many", "single_points"]
