"""Relax and price structures by name for an evaluation, as the campaign did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Screen
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of
from imatgen_flows.jobs.documents import ReferenceDocument
from imatgen_flows.jobs.energies import load_hull
from imatgen_flows.jobs.result_cache import relax_cached, single_points_cached

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.studies.vacancies import Evaluate


def hull_of(references: ReferenceDocument, screen: Screen, run: Path) -> Hull:
    """Read the hull of a finished run, on which what is relaxed now shall stand.

    Raises
    ------
    InputError
        Where the potential that is installed gives energies of another scale.
    """
    hull, scale = load_hull(references), get_potential(screen.potential).scale
    if scale != hull.potential:
        raise InputError(f"{run} has energies of {hull.potential}, installed is {scale}: they do not compare.")
    return hull


def evaluators(store: ArtifactStore, screen: Screen) -> tuple[Evaluate, Evaluate]:
    """Return functions that relax and price with the settings of a campaign's screening.

    What is computed is kept in the store by the structure itself, for every evaluation of the run: one that was interrupted
    or is asked for more computes what is missing. A result that is found again says what it has cost.

    Parameters
    ----------
    store : of the run
    screen : section of its campaign
    """
    from pymatgen.core import Structure

    from imatgen_flows.energetics.relax import Relaxation

    settings = screen.model_dump(include={"potential", "fmax", "max_steps"})
    scale = get_potential(screen.potential).scale

    def evaluate(how: Callable[..., list[dict]], structures: Mapping[str, Structure], **options: Any) -> Any:
        contents = {name: structure_key(structure) for name, structure in structures.items()}
        different = {contents[name]: structure for name, structure in structures.items()}
        scratch = store.scratch(
            f"evaluations-{content_key(how.__name__, options, scale, versions_of(CACHE_KEY_PACKAGES))}"
        )
        rows = how(scratch, list(different), list(different.values()), **options)
        found = dict(zip(different, rows, strict=True))
        return {
            name: Relaxation(**row | {"structure": Structure.from_dict(row["structure"]) if row["structure"] else None})
            for name, row in ((name, found[content]) for name, content in contents.items())
        }

    def relax(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(relax_cached, structures, **settings)

    def price(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(single_points_cached, structures, potential=screen.potential)

    return relax, price


def structure_key(structure: Structure) -> str:
    """Name a structure by all that its energy depends on, to the last digit: lattice, elements and coordinates."""
    species = [site.species_string for site in structure]
    return content_key(structure.lattice.matrix.tolist(), species, structure.frac_coords.tolist())
