"""The vacancy check: given the one cation back that it lacks, does a crystal A(n-1)B(n) relax to a known crystal AB?

Noh et al. (2019) did so for V(n-1)O(n), n = 4 to 7, and found the V(n)O(n) of their dataset again: what had been generated
were those, with ordered vacancies. Whether the candidate's framework has a part in that, controls tell: as many random
crystals of the same cell, relaxed alike.
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

from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Relaxation
from imatgen_flows.errors import InputError
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates
from imatgen_flows.sources.random_search import propose_random
from imatgen_flows.sources.target_cell import TargetCell

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


@dataclass(kw_only=True)
class End:
    """The lowest of some cells AB when relaxed, and what it equals. Energies in eV/atom; None where none relaxed.

    Attributes
    ----------
    filled_energy_per_atom, filled_e_above_hull : after relaxation
    structure : relaxed
    match : name of the crystal AB that it equals; empty if there is none
    match_known : that one is a published phase
    match_state : ``relaxed``, or ``as made`` where it equals none of the relaxed ones
    rms : root mean square displacement from it, in units of (volume per atom)^(1/3)
    energy_above_match : difference of the relaxed energies
    evaluations : energy-and-force evaluations spent on all cells
    reason : why no cell gave a relaxed crystal; empty if one did
    """

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


@dataclass(kw_only=True)
class VacancyCheck(End):
    """What became of one candidate.

    Attributes
    ----------
    id, formula, energy_per_atom, e_above_hull : of the candidate, eV/atom
    filled_formula : of its cell with the cation
    sites : voids tried
    site, site_distance : where the cation was put (fractional), and how far from the nearest atom (A)
    unrelaxed_energy_per_atom : of the filled crystal, eV/atom
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


@dataclass(kw_only=True)
class Control(End):
    """What became of random crystals in place of a candidate.

    Attributes
    ----------
    id : of the candidate
    filled_formula : of its cell with the cation, which the crystals share
    cells : that the search found room for, of as many as voids were tried
    """

    id: str
    filled_formula: str
    cells: int


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
    finder = _Finder(compounds, hull)
    checks = []
    for candidate in candidates:
        chosen = trials[candidate.id][best[candidate.id]]
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
            evaluations=before[candidate.id].evaluations,
        )
        finder.enter(check, ended[candidate.id])
        checks.append(check)
    return checks


def check_controls(
    checks: Sequence[VacancyCheck], compounds: Sequence[Compound], hull: Hull, relax: Evaluate, each: int, seed: int
) -> list[Control]:
    """Look how often crystals AB come out without any candidate: of as many random crystals of its cell, the lowest.

    The crystals are those of `discovery.sources.propose_random`. With the same seed, more controls begin with the same ones.

    Parameters
    ----------
    checks : of the candidates; see `check_vacancies`
    compounds, hull, relax : the same as theirs
    each : controls for each candidate
    seed : of the random search
    """
    rounds = [(number, check) for number in range(each) for check in checks]
    targets = [_slot(check.filled_formula) for _, check in rounds for _ in range(check.sites)]
    proposals = iter(propose_random(targets, seed))
    trials = {
        f"{check.id}/random {number}": [
            proposal for _ in range(check.sites) if (proposal := next(proposals)) is not None
        ]
        for number, check in rounds
    }
    results = relax({f"{name}/{i}": item.structure for name, items in trials.items() for i, item in enumerate(items)})
    finder = _Finder(compounds, hull)
    controls = []
    for (_, check), (name, items) in zip(rounds, trials.items(), strict=True):
        control = Control(id=check.id, filled_formula=check.filled_formula, cells=len(items))
        finder.enter(control, [results[f"{name}/{i}"] for i in range(len(items))])
        controls.append(control)
    return controls


def _slot(formula: str) -> TargetCell:
    """Ask for a cell of a formula, which is not reduced."""
    amounts = Composition(formula).get_el_amt_dict()
    return TargetCell(tuple(sorted((symbol, round(number)) for symbol, number in amounts.items())))


def _energy(result: Relaxation) -> float:
    """Energy by which the lowest is chosen, eV/atom; infinite for what did not relax."""
    return math.inf if result.state != "relaxed" or result.energy_per_atom is None else result.energy_per_atom


class _Finder:
    """Crystals AB by what they are: published before substituted, and of these the lowest first."""

    def __init__(self, compounds: Sequence[Compound], hull: Hull) -> None:
        order = sorted(
            compounds, key=lambda c: (not c.known, math.inf if c.energy_per_atom is None else c.energy_per_atom)
        )
        self.hull = hull
        self.compounds = {compound.name: compound for compound in order}
        self.indices = {
            "relaxed": StructureIndex[str]((c.name, c.relaxed) for c in order if c.relaxed is not None),
            "as made": StructureIndex[str]((c.name, c.made) for c in order if c.made is not None),
        }

    def enter(self, end: End, tries: Sequence[Relaxation]) -> None:
        """Enter the lowest of some relaxed cells, with what it equals, or why there is none; and what all have cost."""
        end.evaluations += sum(result.evaluations for result in tries)
        result = min(tries, key=_energy, default=Relaxation(state="rejected", reason="no_random_crystal"))
        if result.state != "relaxed" or result.structure is None or result.energy_per_atom is None:
            end.reason = f"{result.reason}: {result.detail}" if result.detail else result.reason
            return
        end.structure, end.filled_energy_per_atom = result.structure, result.energy_per_atom
        end.filled_e_above_hull = self.hull.e_above_hull(result.structure.composition, result.energy_per_atom)
        self._look_up(end, result.structure, result.energy_per_atom)

    def _look_up(self, end: End, structure: Structure, energy: float) -> None:
        """Enter what the structure equals: a relaxed crystal or, failing that, one as made."""
        for state, index in self.indices.items():
            found = index.find_match(structure)
            if found is not None:
                end.match, end.rms = found
                compound = self.compounds[end.match]
                end.match_known, end.match_state = compound.known, state
                if compound.energy_per_atom is not None:
                    end.energy_above_match = energy - compound.energy_per_atom
                return
