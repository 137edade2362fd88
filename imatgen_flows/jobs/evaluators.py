"""Relax and price structures by name for an evaluation, as the campaign did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from imatgen_flows.artifacts import ArtifactStore, content_key
from imatgen_flows.config import Screen
from imatgen_flows.jobs.pricing import price_named, relax_named
from imatgen_flows.jobs.stage import DECIDING, versions_of

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.evaluation.vacancies import Evaluate


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
