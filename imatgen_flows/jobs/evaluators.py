"""Relax and price structures by name for an evaluation, as the campaign did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.artifacts import ArtifactStore, content_key
from imatgen_flows.config import Screen
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.errors import InputError
from imatgen_flows.jobs.energies import load_hull
from imatgen_flows.jobs.pricing import price_named, relax_named
from imatgen_flows.jobs.stage import DECIDING, versions_of
from imatgen_flows.schemas import ReferenceDocument

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.evaluation.vacancies import Evaluate


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


def evaluators(store: ArtifactStore, screen: Screen, purpose: str) -> tuple[Evaluate, Evaluate]:
    """Return functions that relax and price with the settings of a campaign's screening.

    What is computed is kept in the store: an interrupted call continues with what is missing, and one that is repeated
    costs nothing.

    Parameters
    ----------
    store : of the run
    screen : section of its campaign
    purpose : names the scratch directory
    """
    from pymatgen.core import Structure

    from imatgen_flows.energetics.relax import Relaxation

    settings = screen.model_dump(include={"potential", "fmax", "max_steps"})

    def evaluate(how: Callable[..., list[dict]], structures: Mapping[str, Structure], **options: Any) -> Any:
        names = [content_key(structure.as_dict()) for structure in structures.values()]
        scratch = store.scratch(f"{purpose}-{content_key(how.__name__, versions_of(DECIDING), options, names)}")
        rows = how(scratch, names, list(structures.values()), **options)
        return {
            name: Relaxation(**row | {"structure": Structure.from_dict(row["structure"]) if row["structure"] else None})
            for name, row in zip(structures, rows, strict=True)
        }

    def relax(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(relax_named, structures, **settings)

    def price(structures: Mapping[str, Structure]) -> Mapping[str, Relaxation]:
        return evaluate(price_named, structures, potential=screen.potential)

    return relax, price
