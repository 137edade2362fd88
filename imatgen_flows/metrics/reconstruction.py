"""How well crystals come back: from their images alone, or through networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from imatgen_flows.metrics.assignment import cheapest_pairs
from imatgen_flows.representation import CrystalCodec, PackedCrystals, pack
from imatgen_flows.representation.cell import cell_parameters

if TYPE_CHECKING:
    from pymatgen.core import Structure

    Crystals = PackedCrystals | Sequence[Structure | None]

LENGTH_TOLERANCE = 0.1  # A
ANGLE_TOLERANCE = 2.0  # degrees
ATOM_TOLERANCE = 0.2  # A
BATCH = 16  # crystals rendered at once


@dataclass(frozen=True)
class ReconstructionError:
    """How far a decoded crystal is from the one it should be.

    Attributes
    ----------
    length, angle : decoded minus reference, of a, b, c in A and of alpha, beta, gamma in degrees; NaN without a cell
    counts_match : whether each element has the right number of atoms
    atom_rmse, atom_max : root mean square and largest distance of matched atoms in A, in the box's frame; NaN where the
        counts differ
    """

    length: tuple[float, float, float]
    angle: tuple[float, float, float]
    counts_match: bool
    atom_rmse: float
    atom_max: float

    @property
    def cell_reconstructed(self) -> bool:
        """Cell within 0.1 A and 2 degrees, the paper's limits."""
        lengths, angles = np.abs(self.length).max(), np.abs(self.angle).max()
        return bool(lengths <= LENGTH_TOLERANCE and angles <= ANGLE_TOLERANCE)

    @property
    def fully_reconstructed(self) -> bool:
        """Cell within 0.1 A and 2 degrees, the right atoms, and each of them within 0.2 A."""
        return self.cell_reconstructed and self.counts_match and self.atom_max <= ATOM_TOLERANCE


def compare(reference: Crystals, decoded: Crystals, box: float = 15.0) -> list[ReconstructionError]:
    """Compare decoded crystals with those they should be, one by one.

    Atoms are matched within each element so that the sum of their squared distances is smallest, in the frame of the
    box. Packed crystals are compared where they lie in it; structures are put there by their centroid first.

    Parameters
    ----------
    reference, decoded : packed crystals, or structures in standard orientation with unwrapped atoms; None where nothing
        was decoded
    box : edge in A that structures are packed into

    Raises
    ------
    ValueError
        Where the two differ in number or in elements.
    """
    elements = _elements(reference, decoded)
    reference, decoded = _packed(reference, elements, box), _packed(decoded, elements, box)
    for crystals in (reference, decoded):
        if crystals.elements != elements or len(crystals) != len(reference):
            raise ValueError(
                f"{len(reference)} crystals of {elements} cannot be compared with {len(decoded)} of {decoded.elements}"
            )
    differences = (_parameters(decoded) - _parameters(reference)).tolist()
    pairs = zip(differences, _atoms(reference), _atoms(decoded), strict=True)
    return [_error(difference, wanted, found, reference.box) for difference, wanted, found in pairs]


def summarise(errors: Sequence[ReconstructionError]) -> dict[str, Any]:
    """Put errors into numbers for a table.

    Lengths and atoms in A, angles in degrees. `rmse` is over all crystals with a cell, for atoms over all crystals with
    the right counts; `median` is of absolute errors. Numbers that would be over nothing are None. Counts and fractions
    are over all crystals.
    """
    n = len(errors)
    columns = {
        name: np.array([getattr(error, kind)[i] for error in errors])
        for kind, names in (("length", ("a", "b", "c")), ("angle", ("alpha", "beta", "gamma")))
        for i, name in enumerate(names)
    }
    columns["atoms"] = np.array([error.atom_rmse for error in errors])
    numbers = {name: column[np.isfinite(column)] for name, column in columns.items()}
    counts = {
        "cells": sum(math.isfinite(error.length[0]) for error in errors),
        "cells_reconstructed": sum(error.cell_reconstructed for error in errors),
        "counts_match": sum(error.counts_match for error in errors),
        "fully_reconstructed": sum(error.fully_reconstructed for error in errors),
    }
    return {
        "n": n,
        "rmse": {name: float(np.sqrt((column**2).mean())) if len(column) else None for name, column in numbers.items()},
        "median": {name: float(np.median(np.abs(column))) if len(column) else None for name, column in numbers.items()},
        **counts,
        "fraction_fully_reconstructed": counts["fully_reconstructed"] / n if n else None,
    }


def intrinsic(
    structures: Sequence[Structure], elements: Sequence[str], codec: CrystalCodec | None = None
) -> list[dict[str, Any]]:
    """Error of the images themselves: render crystals, read them, and compare; ours beside the published read-out.

    Parameters
    ----------
    structures : standardised
    elements : symbols, in the order of the image channels
    codec : the images; those of the paper (64 voxels, sigma 0.26 A) if None

    Returns
    -------
    two rows with `read_out`, `crystals`, `length_rmse` and `length_max` (A), `angle_rmse` and `angle_max` (degrees),
    `no_cell` (crystals whose cell could not be read; they are not in the errors), `atoms`, `atom_rmse` and `atom_max`
    (A, over the atoms that were found), and `wrong_counts` (images with too many or too few atoms)
    """
    codec = codec or CrystalCodec(elements)
    ours, published = _Intrinsic("ours"), _Intrinsic("published")
    for start in range(0, len(structures), BATCH):
        crystals = pack(structures[start : start + BATCH], codec.elements, codec.basis.box)
        images = codec.encode(crystals)
        wanted_cells, wanted_atoms = (
            _parameters(crystals).numpy(),
            [places for crystal in _atoms(crystals) for places in crystal],
        )
        basis = images.basis.flatten(0, 1)
        ours.add(
            codec.cell.try_decode(images.cell)[0].numpy() - wanted_cells,
            wanted_atoms,
            codec.basis.decode(basis),
            codec.basis.box,
        )
        published.add(
            np.array([codec.cell.published_read_out(image) for image in images.cell]) - wanted_cells,
            wanted_atoms,
            [codec.basis.published_read_out(image) for image in basis],
            codec.basis.box,
        )
    return [ours.row(), published.row()]


class _Intrinsic:
    """Errors of one way to read images."""

    def __init__(self, read_out: str) -> None:
        self.read_out = read_out
        self.cells: list[NDArray[np.float64]] = []
        self.distances: list[float] = []
        self.wrong_counts = 0

    def add(
        self,
        cells: NDArray[np.float64],
        wanted: list[NDArray[np.float64]],
        found: list[NDArray[np.float64]],
        box: float,
    ) -> None:
        self.cells += list(cells)
        for here, there in zip(wanted, found, strict=True):
            self.distances += _matched_distances(here, there, box).tolist()
            self.wrong_counts += len(here) != len(there)

    def row(self) -> dict[str, Any]:
        cells = np.array(self.cells).reshape(-1, 6)
        known = cells[np.isfinite(cells).all(axis=1)]
        lengths, angles, distances = known[:, :3], known[:, 3:], np.array(self.distances)
        row: dict[str, Any] = {"read_out": self.read_out, "crystals": len(cells), "no_cell": len(cells) - len(known)}
        for name, errors in (("length", lengths), ("angle", angles), ("atom", distances)):
            row[f"{name}_rmse"] = float(np.sqrt((errors**2).mean())) if errors.size else None
            row[f"{name}_max"] = float(np.abs(errors).max()) if errors.size else None
        return {**row, "atoms": len(distances), "wrong_counts": self.wrong_counts}


def _error(
    difference: list[float], wanted: list[NDArray[np.float64]], found: list[NDArray[np.float64]], box: float
) -> ReconstructionError:
    counts_match = all(len(here) == len(there) for here, there in zip(wanted, found, strict=True))
    rmse = largest = math.nan
    if counts_match:
        distances = np.concatenate([_matched_distances(*pair, box) for pair in zip(wanted, found, strict=True)])
        rmse, largest = float(np.sqrt((distances**2).mean())), float(distances.max())
    a, b, c, alpha, beta, gamma = difference
    return ReconstructionError((a, b, c), (alpha, beta, gamma), counts_match, rmse, largest)


def _matched_distances(wanted: NDArray[np.float64], found: NDArray[np.float64], box: float) -> NDArray[np.float64]:
    """Distances in A of atoms (n, 3) and (m, 3) after the best matching, min(n, m) of them; the box is periodic."""
    apart = wanted[:, None] - found
    squares = ((apart - box * np.round(apart / box)) ** 2).sum(axis=-1)
    return np.sqrt(squares[cheapest_pairs(squares)])


def _atoms(crystals: PackedCrystals) -> list[list[NDArray[np.float64]]]:
    """Positions (n, 3) of each element of each crystal."""
    positions, mask = crystals.positions.double().cpu().numpy(), crystals.mask.cpu().numpy()
    return [[positions[b, e][mask[b, e]] for e in range(mask.shape[1])] for b in range(len(crystals))]


def _parameters(crystals: PackedCrystals) -> torch.Tensor:
    return cell_parameters(crystals.lattices.double().cpu())


def _elements(reference: Crystals, decoded: Crystals) -> tuple[str, ...]:
    if isinstance(reference, PackedCrystals):
        return reference.elements
    if isinstance(decoded, PackedCrystals):
        return decoded.elements
    structures = [structure for structure in (*reference, *decoded) if structure is not None]
    return tuple(sorted({site.specie.symbol for structure in structures for site in structure}))


def _packed(crystals: Crystals, elements: Sequence[str], box: float) -> PackedCrystals:
    if isinstance(crystals, PackedCrystals):
        return crystals
    there = torch.tensor([structure is not None for structure in crystals], dtype=torch.bool)
    found = pack([structure for structure in crystals if structure is not None], elements, box)
    n, shape = len(crystals), found.positions.shape[1:]
    packed = PackedCrystals(
        torch.full((n, 3, 3), math.nan),
        torch.zeros(n, *shape),
        torch.zeros(n, *shape[:2], dtype=torch.bool),
        found.elements,
        box,
    )
    packed.lattices[there], packed.positions[there], packed.mask[there] = found.lattices, found.positions, found.mask
    return packed
