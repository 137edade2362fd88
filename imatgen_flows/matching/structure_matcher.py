"""Batched form of pymatgen's `StructureMatcher`, for many pairs of crystals of one formula at a time.

The steps are those of the matcher, in its order and with its numbers, as arrays over pairs. The matcher itself takes
milliseconds a pair, most of it for pairs that do not match.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Structure
from scipy.optimize import linear_sum_assignment

SLACK = 1e-6  # added to each tolerance, so that rounding loses no match
IMAGES = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
MAX_NEIGHBOUR = 1.5  # edges: as far as IMAGES reach from a wrapped vector
MIN_SIZE = 1e-3  # (volume per atom)^(1/3) of a mean cell, where each cell has volume 1; a flat mean cell is below

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Tolerances:
    """Tolerances within which two crystals are equal, as in pymatgen's `StructureMatcher`.

    Attributes
    ----------
    ltol : relative, of the edges
    stol : largest displacement of an atom, in units of (volume per atom)^(1/3)
    angle_tol : degrees
    """

    ltol: float = 0.2
    stol: float = 0.3
    angle_tol: float = 5


@dataclass(frozen=True)
class PrimitiveCell:
    """Reduced form of a crystal for comparisons: Niggli-reduced, then primitive, of plain elements.

    Attributes
    ----------
    matrix : (3, 3), rows are vectors, in A
    symbols : the rarest element comes first, and atoms of one element stand together
    coords : (N, 3), fractional
    """

    matrix: Array
    symbols: tuple[str, ...]
    coords: Array

    @classmethod
    def of(cls, crystal: Structure) -> PrimitiveCell:
        """Reduce an ordered crystal as the matcher does."""
        plain = Structure(crystal.lattice, [site.specie.symbol for site in crystal], crystal.frac_coords)
        cell = plain.get_reduced_structure().get_primitive_structure()
        symbols = [site.specie.symbol for site in cell]
        order = sorted(range(len(symbols)), key=lambda i: (symbols.count(symbols[i]), symbols[i]))
        return cls(cell.lattice.matrix, tuple(symbols[i] for i in order), cell.frac_coords[order])

    @property
    def structure(self) -> Structure:
        """The cell as a structure, for the matcher."""
        return Structure(self.matrix, self.symbols, self.coords)

    @cached_property
    def axes(self) -> Array:
        """Cell vectors (3, 3), rows, scaled to a volume of 1."""
        return np.asarray(self.matrix / np.cbrt(abs(np.linalg.det(self.matrix))))

    def vectors_within(self, reach: float) -> tuple[NDArray[np.int64], Array]:
        """List the lattice vectors up to a length, the shortest first; longer ones may follow.

        Returns
        -------
        (V, 3) in terms of the axes, and (V,) lengths for a volume of 1
        """
        known = self.__dict__.get("_vectors")
        if known is None or known[0] < reach:
            known = (reach, *_vectors(self.axes, reach))
            self.__dict__["_vectors"] = known
        return known[1], known[2]


class BatchedMatcher:
    """Superposes pairs of primitive cells of one formula as pymatgen's matcher does.

    For each ordered pair of a reference and another, the matcher looks for bases of the reference's lattice whose edges and
    angles are those of the other's cell within `ltol` and `angle_tol`. In the mean of both cells it shifts the other so that
    its first atom falls on each atom of the element in the reference. If every atom then has a partner nearby, it pairs the
    atoms at the least sum of squares and takes the mean displacement away; the largest that is left must not exceed `stol`.

    Parameters
    ----------
    cells : of one formula
    tolerances : of the comparison
    """

    def __init__(self, cells: Sequence[PrimitiveCell], tolerances: Tolerances) -> None:
        self.tolerances = tolerances
        self._axes = np.array([cell.axes for cell in cells])
        self._coords = np.array([cell.coords for cell in cells])
        self._edges = np.linalg.norm(self._axes, axis=-1)
        self._angles = np.degrees(np.arccos(_cosines(self._axes)))
        self._blocks = _blocks(cells[0].symbols)
        reach = (1 + tolerances.ltol) * (1 + SLACK) * self._edges.max()
        vectors, lengths = zip(*(cell.vectors_within(reach) for cell in cells), strict=True)
        number = np.repeat(np.arange(len(cells)), [len(own) for own in lengths])
        self._vectors, self._lengths = np.concatenate(vectors), np.concatenate(lengths)
        self._places = (self._vectors[:, None] @ self._axes[number])[:, 0]
        self._step = self._lengths.max() + 2 * reach  # between cells, so that one sequence rises over all their lengths
        self._rising = self._lengths + self._step * number

    def displacements(self, references: Indices, others: Indices) -> tuple[Array, Array]:
        """Superpose pairs in all ways that the matcher tries, and return the smallest displacements of the atoms.

        Parameters
        ----------
        references, others : (P,) indices of cells

        Returns
        -------
        (P,) least largest displacement and (P,) least root mean square displacement of the atoms, each over all ways, in
        units of (volume per atom)^(1/3); infinite where there is no way, NaN where the mean cell is too flat to tell
        """
        largest, mean_square = np.full(len(references), np.inf), np.full(len(references), np.inf)
        pair, bases, metrics = self._common_lattices(references, others)
        size = np.cbrt(
            np.sqrt(np.maximum(np.linalg.det(metrics), 0)) / self._coords.shape[1]
        )  # (volume per atom)^(1/3)
        flat = size < MIN_SIZE
        metrics[flat] = np.eye(3)
        twice = 2 * (self.tolerances.stol + SLACK)  # as the first atom sits still
        near = twice * size * np.sqrt(np.diagonal(np.linalg.inv(metrics), axis1=1, axis2=2)).T  # fractional
        flat |= (near > MAX_NEIGHBOUR).any(axis=0)
        largest[pair[flat]] = mean_square[pair[flat]] = np.nan
        pair, bases, metrics, size, near = pair[~flat], bases[~flat], metrics[~flat], size[~flat], near[:, ~flat]
        root = np.moveaxis(np.linalg.cholesky(metrics), 0, 2) / size
        x = np.moveaxis(self._coords[references[pair]] @ np.linalg.inv(bases), 0, 2)
        y = np.moveaxis(self._coords[others[pair]], 0, 2)
        row, anchor = self._near_everywhere(x, y, near + SLACK)
        row, steps = self._pair_up(x, y, row, anchor, root, near, twice**2)
        steps -= steps.mean(axis=1, keepdims=True)
        squares = (steps**2).sum(axis=0)
        np.minimum.at(largest, pair[row], np.sqrt(squares.max(axis=0)))
        np.minimum.at(mean_square, pair[row], squares.mean(axis=0))
        return largest, np.sqrt(mean_square)

    def _common_lattices(self, references: Indices, others: Indices) -> tuple[Indices, Array, Array]:
        """Find the bases of each reference's lattice that match the other's cell.

        Returns
        -------
        (K,) pair, (K, 3, 3) basis in terms of the reference's axes, (K, 3, 3) metric tensor of the mean cell
        """
        count = len(references)
        limit = 1 + self.tolerances.ltol + SLACK
        edges = self._edges[others]
        first = np.searchsorted(self._rising, self._step * references + edges.min(axis=1) / limit)
        many = np.searchsorted(self._rising, self._step * references + edges.max(axis=1) * limit) - first
        pair, vector = np.repeat(np.arange(count), many), _ranges(first, many)
        ratio = self._lengths[vector, None] / edges[pair]
        like = (ratio < limit) & (ratio > 1 / limit)
        like[:, 0] &= _upper(self._vectors)[vector]  # of a basis and its inverse one is enough to look for
        (pair_a, a), (pair_b, b), (pair_c, c) = ((pair[fits], vector[fits]) for fits in like.T)
        turn = self.tolerances.angle_tol + SLACK
        low = np.cos(np.radians(np.minimum(self._angles[others] + turn, 180)))
        high = np.cos(np.radians(np.maximum(self._angles[others] - turn, 0)))

        def open_as(first: Indices, second: Indices, which: Indices, angle: int) -> NDArray[np.bool_]:
            cosine = np.einsum("vi,vi->v", self._places[first], self._places[second])
            cosine /= self._lengths[first] * self._lengths[second]
            return (cosine >= low[which, angle]) & (cosine <= high[which, angle])

        left, right = _join(pair_a, pair_b, count)
        keep = open_as(a[left], b[right], pair_a[left], 2)
        pair_ab, a, b = pair_a[left[keep]], a[left[keep]], b[right[keep]]
        left, right = _join(pair_ab, pair_c, count)
        keep = open_as(b[left], c[right], pair_ab[left], 0)
        left, right = left[keep], right[keep]
        keep = open_as(a[left], c[right], pair_ab[left], 1)
        left, right = left[keep], right[keep]
        pair, triple = pair_ab[left], np.stack([a[left], b[left], c[right]], axis=1)
        bases, axes = self._vectors[triple].astype(float), self._places[triple]
        keep = np.abs(np.abs(np.linalg.det(axes)) - 1) < 0.5
        pair, bases, axes = pair[keep], bases[keep], axes[keep]
        edges = (np.linalg.norm(axes, axis=-1) + self._edges[others[pair]]) / 2
        angles = (np.degrees(np.arccos(_cosines(axes))) + self._angles[others[pair]]) / 2
        metrics = _metrics(edges, angles)
        return np.tile(pair, 2), np.concatenate([bases, -bases]), np.tile(metrics, (2, 1, 1))

    def _near_everywhere(self, x: Array, y: Array, near: Array) -> tuple[Indices, Indices]:
        """Shift y by its first atom to each atom of that element in x; keep the shifts where every atom has a neighbour.

        Parameters
        ----------
        x, y : (N, 3, K), fractional
        near : (3, K), largest distance of a neighbour along each axis, fractional

        Returns
        -------
        (S,) row and (S,) atom of x
        """
        rows, size = x.shape[2], self._blocks[0].stop
        row, anchor = np.tile(np.arange(rows), size), np.repeat(np.arange(size), rows)
        for block in self._blocks:
            for atom in range(max(block.start, 1), block.stop):
                step = x[block][:, :, row] - (x[anchor, :, row].T + y[atom][:, row] - y[0][:, row])
                step -= np.rint(step)
                fits = np.abs(step) <= near[:, row]
                keep = (fits[:, 0] & fits[:, 1] & fits[:, 2]).any(axis=0)
                row, anchor = row[keep], anchor[keep]
        return row, anchor

    def _pair_up(
        self, x: Array, y: Array, row: Indices, anchor: Indices, root: Array, near: Array, reach: float
    ) -> tuple[Indices, Array]:
        """Pair the atoms of each element at the least sum of squares, where each has a partner in reach.

        Returns
        -------
        (S,) row and (3, N, S) steps from the other's atoms to the reference's, in units of (volume per atom)^(1/3)
        """
        wide = np.asarray((near >= 0.5).any(axis=0))  # where another image may be nearer than the wrapped one
        done: list[Array] = []
        for block in self._blocks:
            from_first = x[block][:, :, row] - x[anchor, :, row].T
            step = from_first[None] - (y[block][:, :, row] - y[0][:, row])[:, None]  # (other's, reference's, 3, S)
            step, square = _shortest(step - np.rint(step), root[:, :, row], wide[row])
            keep = (square.min(axis=1) <= reach).all(axis=0)
            row, anchor, done = row[keep], anchor[keep], [part[..., keep] for part in done]
            step, square = step[..., keep], square[..., keep]
            partner = square.argmin(axis=1)
            for s in np.flatnonzero((np.sort(partner, axis=0) != np.arange(len(partner))[:, None]).any(axis=0)):
                partner[:, s] = linear_sum_assignment(square[:, :, s])[1]
            done.append(np.take_along_axis(step, partner[None, :, None], axis=2)[:, :, 0])
        return row, np.concatenate(done, axis=1)


def _shortest(step: Array, root: Array, wide: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Convert wrapped fractional steps to Cartesian ones; in small cells, take the shortest periodic image.

    Parameters
    ----------
    step : (A, B, 3, S), fractional
    root : (3, 3, S), lower triangles whose rows are the axes
    wide : (S,)

    Returns
    -------
    (3, A, B, S) step and (A, B, S) its square
    """
    found = np.stack([sum(step[:, :, i] * root[i, j] for i in range(j, 3)) for j in range(3)])
    square = found[0] ** 2 + found[1] ** 2 + found[2] ** 2
    if wide.any():
        wrapped, best, least = found[..., wide], found[..., wide], square[..., wide]
        for image in np.einsum("ki,ijs->kjs", IMAGES, root[:, :, wide]):
            moved = wrapped + image[:, None, None]
            length = moved[0] ** 2 + moved[1] ** 2 + moved[2] ** 2
            nearer = length < least
            best, least = np.where(nearer, moved, best), np.where(nearer, length, least)
        found[..., wide], square[..., wide] = best, least
    return found, square


def _vectors(axes: Array, reach: float) -> tuple[NDArray[np.int64], Array]:
    most = np.floor(reach * np.linalg.norm(np.linalg.inv(axes), axis=0)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in most), indexing="ij"), axis=-1).reshape(-1, 3)
    lengths = np.linalg.norm(grid @ axes, axis=1)
    order = np.argsort(lengths, kind="stable")
    order = order[(lengths[order] > 0) & (lengths[order] <= reach)]
    return grid[order], lengths[order]


def _upper(vectors: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Test whether a vector, and not its inverse, lies in the upper half of space."""
    x, y, z = vectors.T
    return (z > 0) | ((z == 0) & ((y > 0) | ((y == 0) & (x > 0))))


def _cosines(axes: Array) -> Array:
    """Compute the cosines of alpha, beta and gamma of (..., 3, 3) axes."""
    unit = axes / np.linalg.norm(axes, axis=-1, keepdims=True)
    return np.stack([(unit[..., i, :] * unit[..., j, :]).sum(-1) for i, j in ((1, 2), (0, 2), (0, 1))], axis=-1)


def _metrics(edges: Array, angles: Array) -> Array:
    """Compute the metric tensors (K, 3, 3) of cells."""
    alpha, beta, gamma = np.cos(np.radians(angles)).T
    one = np.ones_like(alpha)
    cosines = np.stack([one, gamma, beta, gamma, one, alpha, beta, alpha, one], axis=-1).reshape(-1, 3, 3)
    return edges[:, :, None] * edges[:, None, :] * cosines


def _blocks(symbols: Sequence[str]) -> list[slice]:
    """Find the range of the atoms of each element."""
    starts = [i for i in range(len(symbols)) if i == 0 or symbols[i] != symbols[i - 1]]
    return [slice(i, j) for i, j in zip(starts, [*starts[1:], len(symbols)], strict=True)]


def _ranges(starts: Indices, counts: Indices) -> Indices:
    """Concatenate the ranges of these starts and lengths."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + counts, counts)


def _join(left: Indices, right: Indices, count: int) -> tuple[Indices, Indices]:
    """List all combinations of an item on the left and one on the right of the same number; both sides are sorted."""
    many = np.bincount(right, minlength=count)
    starts = np.cumsum(many) - many
    return np.repeat(np.arange(len(left)), many[left]), _ranges(starts[left], many[left])
