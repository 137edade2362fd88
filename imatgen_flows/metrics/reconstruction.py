"""Reconstruction errors: how far decoded crystals are from the originals, through the images alone or through networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from imatgen_flows.crystals.box import BOX
from imatgen_flows.metrics.assignment import linear_assignment
from imatgen_flows.metrics.reconstruction_summary import ReconstructionSummary
from imatgen_flows.representation import CrystalCodec, PackedCrystals, pack
from imatgen_flows.representation.cell import cell_parameters

if TYPE_CHECKING:
    from pymatgen.core import Structure

    ComparedCrystals = PackedCrystals | Sequence[Structure | None]

# a crystal within these is reconstructed (cell: Noh et al., Matter 1, 1370 (2019); atoms: our choice, a tenth of a V-O bond)
LENGTH_TOLERANCE = 0.1  # A
ANGLE_TOLERANCE = 2.0  # degrees
ATOM_TOLERANCE = 0.2  # A
BATCH = 16  # crystals rendered at once


@dataclass(frozen=True)
class ReconstructionError:
    """Differences of a decoded crystal from the original.

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
        """Whether the cell is within 0.1 A and 2 degrees, the paper's limits."""
        lengths, angles = np.abs(self.length).max(), np.abs(self.angle).max()
        return bool(lengths <= LENGTH_TOLERANCE and angles <= ANGLE_TOLERANCE)

    @property
    def fully_reconstructed(self) -> bool:
        """Whether the cell is reconstructed, the numbers of atoms are right, and each atom is within 0.2 A."""
        return self.cell_reconstructed and self.counts_match and self.atom_max <= ATOM_TOLERANCE


def compare(reference: ComparedCrystals, decoded: ComparedCrystals, box: float = BOX) -> list[ReconstructionError]:
    """Compare decoded crystals with the originals, one by one.

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


def summarise(errors: Sequence[ReconstructionError]) -> ReconstructionSummary:
    """Summarise the errors of single crystals."""
    n = len(errors)
    columns = {
        name: np.array([getattr(error, kind)[i] for error in errors])
        for kind, names in (("length", ("a", "b", "c")), ("angle", ("alpha", "beta", "gamma")))
        for i, name in enumerate(names)
    }
    columns["atoms"] = np.array([error.atom_rmse for error in errors])
    finite = {name: column[np.isfinite(column)] for name, column in columns.items()}
    whole = sum(error.fully_reconstructed for error in errors)
    return ReconstructionSummary(
        n=n,
        rmse={name: float(np.sqrt((column**2).mean())) if len(column) else None for name, column in finite.items()},
        median={name: float(np.median(np.abs(column))) if len(column) else None for name, column in finite.items()},
        cells=sum(math.isfinite(error.length[0]) for error in errors),
        cells_reconstructed=sum(error.cell_reconstructed for error in errors),
        counts_match=sum(error.counts_match for error in errors),
        fully_reconstructed=whole,
        fraction_fully_reconstructed=whole / n if n else None,
    )


@dataclass(frozen=True)
class IntrinsicError:
    """Errors of one way to read images, without any network; None where nothing was read.

    Attributes
    ----------
    read_out : ``ours`` or ``published``
    crystals : that were rendered
    no_cell : crystals whose cell could not be read; they are not in the errors
    length_rmse, length_max : A
    angle_rmse, angle_max : degrees
    atom_rmse, atom_max : A, over the atoms that were found
    atoms : that were found
    wrong_counts : images with too many or too few atoms
    """

    read_out: str
    crystals: int
    no_cell: int
    length_rmse: float | None
    length_max: float | None
    angle_rmse: float | None
    angle_max: float | None
    atom_rmse: float | None
    atom_max: float | None
    atoms: int
    wrong_counts: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)


def intrinsic_of_prototypes(elements: Sequence[str]) -> list[IntrinsicError]:
    """Measure the error of the images on the prototypes that ship with the program, with some elements substituted."""
    from imatgen_flows.crystals.substitution import substitute
    from imatgen_flows.crystals.templates import load_templates

    made, _ = substitute(load_templates(n_elements=len(elements))[0], list(elements))
    return intrinsic([item.structure for item in made], sorted(elements))


def intrinsic(
    structures: Sequence[Structure], elements: Sequence[str], codec: CrystalCodec | None = None
) -> list[IntrinsicError]:
    """Measure the error of the images themselves: render crystals, read the images, and compare.

    Parameters
    ----------
    structures : standardised
    elements : symbols, in the order of the image channels
    codec : the images; those of the paper (64 voxels, sigma 0.26 A) if None

    Returns
    -------
    errors of our read-out, and of the published one
    """
    codec = codec or CrystalCodec(elements)
    ours, published = _ReadOut("ours"), _ReadOut("published")
    for start in range(0, len(structures), BATCH):
        crystals = pack(structures[start : start + BATCH], codec.elements, codec.basis.box)
        images = codec.encode(crystals)
        wanted_cells = _parameters(crystals).numpy()
        wanted_atoms = [places for crystal in _atoms(crystals) for places in crystal]
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
    return [ours.errors(), published.errors()]


class _ReadOut:
    """Errors of one way to read images, as they are collected."""

    def __init__(self, name: str) -> None:
        self.name = name
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

    def errors(self) -> IntrinsicError:
        cells = np.array(self.cells).reshape(-1, 6)
        known = cells[np.isfinite(cells).all(axis=1)]
        lengths, angles, distances = known[:, :3], known[:, 3:], np.array(self.distances)
        return IntrinsicError(
            read_out=self.name,
            crystals=len(cells),
            no_cell=len(cells) - len(known),
            length_rmse=_root_mean_square(lengths),
            length_max=_largest(lengths),
            angle_rmse=_root_mean_square(angles),
            angle_max=_largest(angles),
            atom_rmse=_root_mean_square(distances),
            atom_max=_largest(distances),
            atoms=len(distances),
            wrong_counts=self.wrong_counts,
        )


def _root_mean_square(errors: NDArray[np.float64]) -> float | None:
    return float(np.sqrt((errors**2).mean())) if errors.size else None


def _largest(errors: NDArray[np.float64]) -> float | None:
    return float(np.abs(errors).max()) if errors.size else None


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
    """Return the min(n, m) distances in A of atoms (n, 3) and (m, 3) after the best assignment; the box is periodic."""
    apart = wanted[:, None] - found
    squares = ((apart - box * np.round(apart / box)) ** 2).sum(axis=-1)
    return np.sqrt(squares[linear_assignment(squares)])


def _atoms(crystals: PackedCrystals) -> list[list[NDArray[np.float64]]]:
    """Return the positions (n, 3) of each element of each crystal."""
    positions, mask = crystals.positions.double().cpu().numpy(), crystals.mask.cpu().numpy()
    return [[positions[b, e][mask[b, e]] for e in range(mask.shape[1])] for b in range(len(crystals))]


def _parameters(crystals: PackedCrystals) -> torch.Tensor:
    return cell_parameters(crystals.lattices.double().cpu())


def _elements(reference: ComparedCrystals, decoded: ComparedCrystals) -> tuple[str, ...]:
    if isinstance(reference, PackedCrystals):
        return reference.elements
    if isinstance(decoded, PackedCrystals):
        return decoded.elements
    structures = [structure for structure in (*reference, *decoded) if structure is not None]
    return tuple(sorted({site.specie.symbol for structure in structures for site in structure}))


def _packed(crystals: ComparedCrystals, elements: Sequence[str], box: float) -> PackedCrystals:
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
