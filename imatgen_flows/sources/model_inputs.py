"""What a person hands to a trained model: crystals that it can encode, and vectors of its latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from imatgen_flows.candidates.validity import SHORTEST
from imatgen_flows.crystals.arguments import structure_list
from imatgen_flows.crystals.box import BOX
from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.crystals.standard import extent, standardise
from imatgen_flows.crystals.system import system_name
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure


def standard_structures(structures: Iterable[Structure], elements: Sequence[str], model: str) -> list[Structure]:
    """Bring crystals to the standard cells that a model encodes.

    Parameters
    ----------
    structures : a list
    elements : of the model
    model : its name, for messages

    Raises
    ------
    InputError
        Where one is no ordered crystal of these elements, with finite numbers, apart atoms and room in the box of the
        images; it names the place in the list, and says what to do.
    """
    return [
        _standard(
            structure, f"structure {place} of the list ({structure.composition.reduced_formula})", elements, model
        )
        for place, structure in enumerate(structure_list(structures))
    ]


def _standard(structure: Structure, name: str, elements: Sequence[str], model: str) -> Structure:
    """Bring one crystal to its standard cell."""
    if not len(structure):
        raise InputError(f"{name} has no atoms: leave it out.")
    if not structure.is_ordered:
        raise InputError(f"{name} has disordered sites, which images cannot show: order it first, or leave it out.")
    if foreign := sorted({element.symbol for element in structure.composition} - set(elements)):
        raise InputError(
            f"{name} has {', '.join(foreign)}; {model} is a model of {system_name(elements)}. Take a model of its system."
        )
    if not (np.isfinite(structure.lattice.matrix).all() and np.isfinite(structure.frac_coords).all()):
        raise InputError(f"{name} has a cell or coordinates that are not finite numbers: leave it out.")
    try:
        standard = standardise(structure)
    except ValueError as error:
        raise InputError(f"{name} has no standard cell ({error}): leave it out.") from error
    if (distance := shortest_distance(standard)) < SHORTEST:
        raise InputError(
            f"{name} has two atoms at {distance:.2f} A, the limit is {SHORTEST} A: remove one of them, for example with "
            "`structure.merge_sites(mode='delete')`."
        )
    if (room := extent(standard)) >= BOX:
        raise InputError(
            f"{name} needs a box of {room:.2f} A in its standard cell, and the images of {model} have {BOX:g} A: take its "
            "primitive cell (`structure.get_primitive_structure()`), or leave it out."
        )
    return standard


def latent_vectors(given: ArrayLike | Tensor, width: int) -> Tensor:
    """Return latent vectors as a tensor (n, width).

    Raises
    ------
    InputError
        Where they have another shape or numbers that are not finite; it names the row.
    """
    try:
        vectors = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"latent vectors are numbers of shape (n, {width}), as `encode` gives them: {str(error).rstrip('.')}."
        ) from error
    if vectors.shape[:1] == (0,):
        return torch.zeros(0, width)
    if vectors.ndim != 2 or vectors.shape[1] != width:
        hint = " For one vector, decode([vector])." if vectors.shape == (width,) else ""
        raise InputError(
            f"latent vectors are of shape (n, {width}), as `encode` gives them; these are of shape {vectors.shape}.{hint}"
        )
    if not np.isfinite(vectors).all():
        row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
        raise InputError(f"latent vector {row} has numbers that are not finite: leave it out.")
    return torch.from_numpy(vectors.copy())
