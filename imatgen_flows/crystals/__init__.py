"""What a crystal is, before any image."""

from imatgen_flows.crystals.standard import extent, retell, standardise, structure_id
from imatgen_flows.crystals.substitution import Substituted, iter_substitute, substitute
from imatgen_flows.crystals.templates import LeftOut, Template, load_known, load_templates

__all__ = [
    "LeftOut",
    "Substituted",
    "Template",
    "extent",
    "iter_substitute",
    "load_known",
    "load_templates",
    "retell",
    "standardise",
    "structure_id",
    "substitute",
]
