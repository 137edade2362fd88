"""Evaluators of a finished run: relaxation and single points of structures by name, as the campaign computed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Screen
from imatgen_flows.energetics.pressure import scale_at
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, potential_versions, versions_of
from imatgen_flows.jobs.documents import ReferenceDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.result_cache import relax_cached, relaxation_of, single_points_cached
from imatgen_flows.jobs.search_space import pressure_input, relax_inputs

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.energetics.relax import Evaluator, Relaxation


def hull_of(references: ReferenceDocument, screen: Screen, run: Path, pressure: float = 0.0) -> Hull:
    """Read the hull of a finished run, for energies that are computed now, at the pressure of its campaign (GPa).

    Raises
    ------
    InputError
        Where the potential that is installed gives energies of another scale.
    """
    hull, scale = load_hull(references), scale_at(installed_potential(screen.potential).scale, pressure)
    if scale != hull.potential:
        raise InputError(f"{run} has energies of {hull.potential}, installed is {scale}: they do not compare.")
    return hull


def evaluators(store: ArtifactStore, screen: Screen, pressure: float = 0.0) -> tuple[Evaluator, Evaluator]:
    """Return functions that relax and compute single points with the settings of a campaign's screening.

    Results are cached in the store by the structure itself, for all evaluations of the run: one that was interrupted or is
    asked for more computes the missing results only. A cached result keeps the number of evaluations that it took.

    Parameters
    ----------
    store : of the run
    screen : section of its campaign
    pressure : of its campaign, GPa; above zero, energies are enthalpies
    """
    settings = relax_inputs(screen, pressure)
    versions = versions_of(CACHE_KEY_PACKAGES) | potential_versions(screen.potential)
    scale = installed_potential(screen.potential).scale

    def evaluate(
        how: Callable[..., list[dict[str, Any]]], structures: Mapping[str, Structure], **options: Any
    ) -> Mapping[str, Relaxation]:
        contents = {name: structure_key(structure) for name, structure in structures.items()}
        different = {contents[name]: structure for name, structure in structures.items()}
        scratch = store.scratch(f"evaluations-{content_key(how.__name__, options, scale, versions)}")
        rows = how(scratch, list(different), list(different.values()), **options)
        found = dict(zip(different, rows, strict=True))
        return {name: relaxation_of(found[content]) for name, content in contents.items()}

    def relax(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(relax_cached, structures, relax=settings)

    def single_point(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(single_points_cached, structures, potential=screen.potential, **pressure_input(pressure))

    return relax, single_point


def structure_key(structure: Structure) -> str:
    """Hash all that the energy of a structure depends on, to the last digit: lattice, elements and coordinates."""
    species = [site.species_string for site in structure]
    return content_key(structure.lattice.matrix.tolist(), species, structure.frac_coords.tolist())
