"""The vacancy check: given the one cation back that it lacks, does a crystal A(n-1)B(n) relax to a known crystal AB?

Noh et al. (2019) did so for V(n-1)O(n), n = 4 to 7, and found the V(n)O(n) of their dataset again: what had been generated
were those, with ordered vacancies.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure

from imatgen_flows.discovery.similarity import StructureIndex, group_duplicates
from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Relaxation
from imatgen_flows.errors import InputError

SITES = 3  # voids tried for a candidate
SAME_PLACE = 0.1  # A; of atoms that a translation relates, in a relaxed crystal
APART = 0.7  # A; voids that are nearer to each other are one
EQUIVALENT = (0.02, 0.05, 1.0)  # tolerances of the matcher: voids that symmetry relates, up to what a relaxation leaves

Evaluate = Callable[[Mapping[str, Structure]], Mapping[str, Relaxation]]


@dataclass(frozen=True)
class Deficient:
    """A relaxed crystal that lacks one cation; energies in eV/atom."""

    id: str
    structure: Structure
    energy_per_atom: float
    e_above_hull: float


@dataclass(frozen=True)
class Compound:
    """A crystal AB that may be found again.

    Attributes
    ----------
    name : unique
    known : published, not only substituted
    made : as substituted or published; None where only the relaxed one is at hand
    relaxed : with the potential; None before that
    energy_per_atom : of the relaxed one, eV/atom
    """

    name: str
    known: bool
    made: Structure | None
    relaxed: Structure | None = None
    energy_per_atom: float | None = None


@dataclass(frozen=True)
class Filled:
    """A crystal with a cation more.

    Attributes
    ----------
    structure : as filled
    site : fractional coordinates of the cation
    distance : from the site to the nearest other atom, A
    """

    structure: Structure
    site: tuple[float, float, float]
    distance: float


@dataclass
class VacancyCheck:
    """What became of one candidate. Energies in eV/atom; those of the filled crystal are None where none relaxed.

    Attributes
    ----------
    id, formula, energy_per_atom, e_above_hull : of the candidate
    filled_formula : of its cell with the cation
    sites : voids tried
    site, site_distance : where the cation was put (fractional), and how far from the nearest atom (A)
    unrelaxed_energy_per_atom, filled_energy_per_atom, filled_e_above_hull : before and after relaxation
    structure : the filled crystal, relaxed
    match : name of the crystal AB that it equals; empty if there is none
    match_known : that one is a published phase
    match_state : ``relaxed``, or ``as made`` where it equals none of the relaxed ones
    rms : root mean square displacement from it, in units of (volume per atom)^(1/3)
    energy_above_match : difference of the relaxed energies
    evaluations : energy-and-force evaluations spent on all sites
    reason : why no site gave a relaxed crystal; empty if one did
    """

    id: str
    formula: str
    energy_per_atom: float
    e_above_hull: float
    filled_formula: str
    sites: int
    site: tuple[float, float, float]
    site_distance: float
    unrelaxed_energy_per_atom: float | None = None
    filled_energy_per_atom: float | None = None
    filled_e_above_hull: float | None = None
    structure: Structure | None = field(default=None, repr=False)
    match: str = ""
    match_known: bool = False
    match_state: str = ""
    rms: float | None = None
    energy_above_match: float | None = None
    evaluations: int = 0
    reason: str = ""

    def to_row(self) -> dict[str, Any]:
        """Plain values, for JSON; the structure as CIF."""
        return {**vars(self), "structure": self.structure.to(fmt="cif") if self.structure else None}


def cation_and_anion(system: Iterable[str]) -> tuple[str, str]:
    """Order the elements of a binary system; the anion is the more electronegative one.

    Raises
    ------
    InputError
        Where the system is not binary, or the electronegativities do not tell.
    """
    elements = [Element(symbol) for symbol in system]
    name = "-".join(element.symbol for element in elements)
    if len(elements) != 2:
        raise InputError(f"{name}: the vacancy check needs a binary system, this one has {len(elements)} elements.")
    if any(element.is_noble_gas or math.isnan(element.X) for element in elements) or elements[0].X == elements[1].X:
        raise InputError(f"{name}: the electronegativities do not tell which element is the cation.")
    cation, anion = sorted(elements, key=lambda element: element.X)
    return cation.symbol, anion.symbol


def is_deficient(composition: Composition, cation: str, anion: str) -> bool:
    """Whether a composition is A(n-1)B(n), or a multiple of it."""
    present, wanted = round(composition[cation]), round(composition[anion])
    return present > 0 and wanted - present == math.gcd(present, wanted)


def deficient_cell(structure: Structure, cation: str, anion: str) -> Structure | None:
    """Return the cell that lacks one cation: as it is, or its primitive one. None where each lacks several, or none."""
    for cell in (structure, structure.get_primitive_structure(tolerance=SAME_PLACE)):
        if cell.composition[cation] and round(cell.composition[anion] - cell.composition[cation]) == 1:
            return cell
    return None


def lowest_of_each(candidates: Iterable[Deficient]) -> list[Deficient]:
    """Keep of each composition the candidate nearest to the hull; lowest first."""
    lowest: dict[str, Deficient] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.e_above_hull):
        lowest.setdefault(candidate.structure.composition.reduced_formula, candidate)
    return list(lowest.values())


def find_voids(structure: Structure, apart: float = APART) -> list[tuple[NDArray[np.float64], float]]:
    """Find the places in a crystal that are farthest from all atoms: the vertices of its Voronoi cells.

    Parameters
    ----------
    structure : ordered crystal
    apart : of vertices nearer to each other, only the most spacious counts, A

    Returns
    -------
    fractional coordinates in [0, 1), and distance to the nearest atom in A; the most spacious first
    """
    from scipy.spatial import KDTree, Voronoi

    lattice = structure.lattice
    # no point of a crystal is farther from an atom than half the sum of the edges: images within that decide the vertices
    reach = sum(lattice.abc) / 2
    images = np.ceil(reach * np.array(lattice.reciprocal_lattice_crystallographic.abc)).astype(int)
    shifts = np.array(list(itertools.product(*(range(-n, n + 1) for n in images))))
    atoms = (structure.frac_coords % 1 + shifts[:, None]).reshape(-1, 3) @ lattice.matrix
    vertices = Voronoi(atoms).vertices
    fractional = vertices @ np.linalg.inv(lattice.matrix)
    home = ((fractional > -1e-6) & (fractional < 1 - 1e-6)).all(axis=1)
    distances = KDTree(atoms).query(vertices[home])[0]
    places = [
        (np.round(place, 6) % 1, float(distance)) for place, distance in zip(fractional[home], distances, strict=True)
    ]
    places.sort(key=lambda item: (-round(item[1], 3), *np.round(item[0], 3)))
    voids: list[tuple[NDArray[np.float64], float]] = []
    for place, distance in places:
        taken = [other for other, _ in voids]
        if not taken or lattice.get_all_distances([place], taken).min() >= apart:
            voids.append((place, distance))
    return voids


def fill(structure: Structure, cation: str, sites: int = SITES) -> list[Filled]:
    """Put one cation into the most spacious voids, one at a time; voids that symmetry relates are tried once."""
    tried = []
    for place, distance in find_voids(structure)[: 8 * sites]:  # some may be equivalent; a match takes its time
        filled = structure.copy().append(cation, place, validate_proximity=False)
        tried.append(Filled(filled, (float(place[0]), float(place[1]), float(place[2])), distance))
    first_of = group_duplicates([item.structure for item in tried], *EQUIVALENT)
    return [item for index, item in enumerate(tried) if first_of[index] == index][:sites]


def relax_compounds(compounds: Sequence[Compound], relax: Evaluate) -> tuple[list[Compound], dict[str, int]]:
    """Relax the crystals AB that are not, since what is relaxed compares with the relaxed only.

    Of crystals that equal each other as made, the first is relaxed.

    Returns
    -------
    all of them; and counts: ``structures`` in all, ``relaxed`` before, ``relaxed_now``, ``equal`` (left as made), ``failed``
    and ``evaluations``
    """
    waiting = [compound for compound in compounds if compound.relaxed is None and compound.made is not None]
    first_of = group_duplicates([compound.made for compound in waiting if compound.made is not None])
    chosen = {
        compound.name: compound.made
        for index, compound in enumerate(waiting)
        if first_of[index] == index and compound.made is not None
    }
    results = relax(chosen) if chosen else {}
    done = {name: result for name, result in results.items() if result.state == "relaxed"}
    counts = {
        "structures": len(compounds),
        "relaxed": len(compounds) - len(waiting),
        "relaxed_now": len(done),
        "equal": len(waiting) - len(chosen),
        "failed": len(chosen) - len(done),
        "evaluations": sum(result.evaluations for result in results.values()),
    }
    return [
        replace(compound, relaxed=result.structure, energy_per_atom=result.energy_per_atom)
        if (result := done.get(compound.name))
        else compound
        for compound in compounds
    ], counts


def check_vacancies(
    candidates: Sequence[Deficient],
    compounds: Sequence[Compound],
    hull: Hull,
    cation: str,
    relax: Evaluate,
    price: Evaluate,
    sites: int = SITES,
) -> list[VacancyCheck]:
    """Give each candidate a cation, relax it in each of its best voids, and look up the lowest that results.

    Parameters
    ----------
    candidates : cells that lack one cation
    compounds : what may be found again; see `relax_compounds`
    hull : on the energy scale of `relax`
    cation : its element
    relax, price : relax structures by name, and give their energy as they are
    sites : voids tried for each candidate
    """
    trials = {candidate.id: fill(candidate.structure, cation, sites) for candidate in candidates}
    results = relax({f"{name}/{i}": item.structure for name, items in trials.items() for i, item in enumerate(items)})
    ended = {name: [results[f"{name}/{i}"] for i in range(len(items))] for name, items in trials.items()}
    best = {name: min(range(len(tries)), key=lambda i: _energy(tries[i])) for name, tries in ended.items()}
    before = price({name: items[best[name]].structure for name, items in trials.items()})
    finder = _Finder(compounds)
    checks = []
    for candidate in candidates:
        chosen, result = trials[candidate.id][best[candidate.id]], ended[candidate.id][best[candidate.id]]
        check = VacancyCheck(
            id=candidate.id,
            formula=candidate.structure.composition.reduced_formula,
            energy_per_atom=candidate.energy_per_atom,
            e_above_hull=candidate.e_above_hull,
            filled_formula=chosen.structure.composition.formula.replace(" ", ""),
            sites=len(trials[candidate.id]),
            site=chosen.site,
            site_distance=chosen.distance,
            unrelaxed_energy_per_atom=before[candidate.id].energy_per_atom,
            evaluations=sum(item.evaluations for item in (*ended[candidate.id], before[candidate.id])),
        )
        if result.state != "relaxed" or result.structure is None or result.energy_per_atom is None:
            check.reason = f"{result.reason}: {result.detail}" if result.detail else result.reason
        else:
            check.structure, check.filled_energy_per_atom = result.structure, result.energy_per_atom
            check.filled_e_above_hull = hull.distance(result.structure.composition, result.energy_per_atom)
            finder.look_up(check, result.structure, result.energy_per_atom)
        checks.append(check)
    return checks


def _energy(result: Relaxation) -> float:
    """Energy by which the lowest is chosen, eV/atom; infinite for what did not relax."""
    return math.inf if result.state != "relaxed" or result.energy_per_atom is None else result.energy_per_atom


class _Finder:
    """Crystals AB by what they are: published before substituted, and of these the lowest first."""

    def __init__(self, compounds: Sequence[Compound]) -> None:
        order = sorted(
            compounds, key=lambda c: (not c.known, math.inf if c.energy_per_atom is None else c.energy_per_atom)
        )
        self.compounds = {compound.name: compound for compound in order}
        self.indices = {
            "relaxed": StructureIndex[str]((c.name, c.relaxed) for c in order if c.relaxed is not None),
            "as made": StructureIndex[str]((c.name, c.made) for c in order if c.made is not None),
        }

    def look_up(self, check: VacancyCheck, structure: Structure, energy: float) -> None:
        """Enter what the structure equals: a relaxed crystal or, failing that, one as made."""
        for state, index in self.indices.items():
            found = index.find_match(structure)
            if found is not None:
                check.match, check.rms = found
                compound = self.compounds[check.match]
                check.match_known, check.match_state = compound.known, state
                if compound.energy_per_atom is not None:
                    check.energy_above_match = energy - compound.energy_per_atom
                return
