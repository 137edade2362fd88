"""What force constants say: the lowest frequency, the free energy, bands along a path, and the density of states."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# THz; a structure whose lowest frequency is above it counts as dynamically stable. It is that of PhononBench
# (arXiv:2512.21227), and was fixed before the first run
STABLE_ABOVE = -0.1
TEMPERATURE = 300.0  # K, of the free energy
EV_OF_THZ = 4.135667696e-3  # Planck's constant, eV/THz (CODATA 2018)
EV_OF_KELVIN = 8.617333262e-5  # Boltzmann's constant, eV/K (CODATA 2018)
POINTS_OF_A_PATH = 24  # wave vectors of the longest piece of the path of bands; shorter ones have as many as fit
POINTS_OF_A_DENSITY = 201  # frequencies of the density of states
SMEARING = 0.01  # standard deviation of the Gaussians of the density of states, as a share of the range of frequencies
AT_GAMMA = 1e-5  # a wave vector whose fractional components are below it is Gamma


@dataclass
class PhononBands:
    """Frequencies along a path through the Brillouin zone, as seekpath lays it.

    Attributes
    ----------
    distances : for each piece of the path, of its points from the start, 1/A
    frequencies : for each piece, of each point all bands, THz; negative where imaginary
    labels : for each piece, the names of its two ends
    """

    distances: list[list[float]] = field(default_factory=list)
    frequencies: list[list[list[float]]] = field(default_factory=list)
    labels: list[list[str]] = field(default_factory=list)


@dataclass
class DensityOfStates:
    """Phonon density of states.

    Attributes
    ----------
    frequencies : THz
    states : of one primitive cell, 1/THz; its integral is three times the number of atoms
    """

    frequencies: list[float] = field(default_factory=list)
    states: list[float] = field(default_factory=list)


@dataclass
class Spectrum:
    """What was read from the force constants of a structure.

    Attributes
    ----------
    lowest : THz, of all wave vectors of the mesh, of the path, and those that fit into the supercell; negative: imaginary
    wave_vector : of it, in the reciprocal basis of the primitive cell
    lowest_commensurate : THz, of the wave vectors that fit into the supercell alone: nothing is interpolated there
    commensurate_wave_vector : of it
    free_energy : eV/atom, vibrational, harmonic, at `TEMPERATURE`; modes below zero are left out
    bands, density : for a report
    """

    lowest: float
    wave_vector: list[float]
    lowest_commensurate: float
    commensurate_wave_vector: list[float]
    free_energy: float
    bands: PhononBands
    density: DensityOfStates


def read_spectrum(phonon: Any, mesh: float) -> Spectrum:
    """Compute the spectrum of phonopy's object, whose force constants are there.

    Parameters
    ----------
    phonon : with force constants that obey the sum rule
    mesh : density of the mesh, A; see `PhononSettings`
    """
    commensurate = commensurate_points(phonon)
    at_supercell = frequencies_at(phonon, commensurate)
    phonon.run_mesh(mesh, is_gamma_center=True)
    points = np.asarray(phonon.mesh.qpoints)
    on_mesh = without_translations(points, np.array(phonon.mesh.frequencies))
    weights = np.asarray(phonon.mesh.weights, float)
    path = _path(phonon)
    bands = PhononBands()
    along, reached = [], 0.0
    reciprocal = np.linalg.inv(phonon.primitive.cell)  # columns are the vectors of the reciprocal basis, without 2 pi
    for piece, labels in path:
        found = frequencies_at(phonon, piece)
        steps = np.linalg.norm(np.diff(piece, axis=0) @ reciprocal.T, axis=1)
        distances = reached + np.concatenate([[0.0], np.cumsum(steps)])
        reached = float(distances[-1])
        along.append(found)
        bands.distances.append(np.round(distances, 5).tolist())
        # translations at Gamma are shown, as zero
        bands.frequencies.append(np.round(np.nan_to_num(found, nan=0.0), 3).tolist())
        bands.labels.append(list(labels))
    lowest, place = _lowest(np.vstack([at_supercell, on_mesh, *along]))
    every = np.vstack([commensurate, points, *(piece for piece, _ in path)])
    at_lowest, at_place = _lowest(at_supercell)
    return Spectrum(
        lowest=lowest,
        wave_vector=np.round(every[place], 5).tolist(),
        lowest_commensurate=at_lowest,
        commensurate_wave_vector=commensurate[at_place].tolist(),
        free_energy=vibrational_free_energy(on_mesh, weights) / len(phonon.primitive),
        bands=bands,
        density=density_of_states(np.nan_to_num(on_mesh, nan=0.0), weights),
    )


def frequencies_at(phonon: Any, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute frequencies, THz, (points, bands), without the translations at Gamma; see `without_translations`."""
    phonon.run_qpoints(points)
    return without_translations(points, np.array(phonon.qpoints.frequencies))


def without_translations(points: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace the frequencies of the three translations at Gamma by NaN.

    They are zero by the sum rule, which the force constants obey; of what is computed for them the sign is that of a
    rounding error, which must not decide. They are the three that are closest to zero.

    Parameters
    ----------
    points : (points, 3), fractional
    frequencies : (points, bands), THz
    """
    frequencies = frequencies.copy()
    for place in np.flatnonzero(np.abs(points - np.rint(points)).max(axis=1) < AT_GAMMA):
        frequencies[place, np.argsort(np.abs(frequencies[place]))[:3]] = np.nan
    return frequencies


def commensurate_points(phonon: Any) -> NDArray[np.float64]:
    """List the wave vectors that fit into the supercell, in the reciprocal basis of the primitive cell: (points, 3)."""
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    return np.asarray(get_commensurate_points(phonon.supercell_matrix))  # the unit cell is the primitive one


def vibrational_free_energy(
    frequencies: NDArray[np.float64], weights: NDArray[np.float64], temperature: float = TEMPERATURE
) -> float:
    """Compute the harmonic free energy of one cell, eV: F = sum of h f / 2 + k T ln(1 - exp(-h f / k T)).

    Parameters
    ----------
    frequencies : (points, bands), THz; NaN, zero and negative ones are left out
    weights : (points,), of the wave vectors
    temperature : K
    """
    counts = np.nan_to_num(frequencies, nan=0.0) > 0
    quanta = EV_OF_THZ * np.where(counts, frequencies, 1.0)
    energies = quanta / 2
    if temperature > 0:
        thermal = EV_OF_KELVIN * temperature
        energies = energies + thermal * np.log1p(-np.exp(-quanta / thermal))
    return float((weights[:, None] * np.where(counts, energies, 0.0)).sum() / weights.sum())


def density_of_states(frequencies: NDArray[np.float64], weights: NDArray[np.float64]) -> DensityOfStates:
    """Smear the frequencies of a mesh, THz, (points, bands), by Gaussians."""
    low, high = float(frequencies.min()), float(frequencies.max())
    width = max(SMEARING * (high - low), 1e-3)
    grid = np.linspace(low - 4 * width, high + 4 * width, POINTS_OF_A_DENSITY)
    # of a fine histogram instead of each frequency: 10,000 wave vectors of 60 bands are too many Gaussians
    edges = np.linspace(grid[0], grid[-1], 20 * POINTS_OF_A_DENSITY)
    counts, _ = np.histogram(frequencies, edges, weights=np.broadcast_to(weights[:, None], frequencies.shape))
    centres = (edges[:-1] + edges[1:]) / 2
    gaussians = np.exp(-0.5 * ((grid[:, None] - centres) / width) ** 2) / (width * np.sqrt(2 * np.pi))
    states = gaussians @ counts / weights.sum()
    return DensityOfStates(np.round(grid, 4).tolist(), np.round(states, 5).tolist())


def _lowest(frequencies: NDArray[np.float64]) -> tuple[float, int]:
    """Return the lowest frequency and the place of its wave vector; zero where there are translations alone."""
    if np.isnan(frequencies).all():
        return 0.0, 0
    place, band = np.unravel_index(np.nanargmin(frequencies), frequencies.shape)
    return float(frequencies[place, band]), int(place)


def _path(phonon: Any) -> list[tuple[NDArray[np.float64], tuple[str, str]]]:
    """Lay a path through the points of high symmetry: its pieces, (points, 3), and the names of their ends."""
    import seekpath

    # in the basis of the cell as it is, whatever seekpath would call standard
    found: dict[str, Any] = seekpath.get_path_orig_cell(phonon.primitive.totuple())
    ends = [(np.array(found["point_coords"][a]), np.array(found["point_coords"][b])) for a, b in found["path"]]
    reciprocal = np.linalg.inv(phonon.primitive.cell)
    lengths = [float(np.linalg.norm((end - start) @ reciprocal.T)) for start, end in ends]
    pieces = []
    for (start, end), length, labels in zip(ends, lengths, found["path"], strict=True):
        number = max(2, round(POINTS_OF_A_PATH * length / max(lengths)))
        shares = np.linspace(0, 1, number)[:, None]
        pieces.append((start + shares * (end - start), (str(labels[0]), str(labels[1]))))
    return pieces
