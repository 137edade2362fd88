"""Vacancy study: whether a crystal A(n-1)B(n) relaxes to a known crystal AB once its missing cation is put back.

Noh et al. (2019) did so for V(n-1)O(n), n = 4 to 7, and found the V(n)O(n) of their dataset again: the generated crystals
were those, with ordered vacancies. Controls tell whether the framework of the candidate matters: as many random crystals of
the same cell, relaxed alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element, Structure

from imatgen_flows.energetics.hull import Hull
from imatgen_flows.energetics.relax import Evaluator, Relaxation
from imatgen_flows.errors import InputError
from imatgen_flows.matching.grouping import StructureIndex, group_duplicates
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.sources.random_search import draw_crystals
from imatgen_flows.sources.target_cell import TargetCell

SITES = 3  # voids tried for a candidate; a choice: the relaxations are what the study costs
SAME_PLACE = 0.1  # A; of atoms that a translation relates, in a relaxed crystal
MIN_SEPARATION = 0.7  # A, half a short bond; voids that are nearer to each other are one
# tolerances of the matcher for voids that symmetry relates, up to what a relaxation leaves
EQUIVALENT = (0.02, 0.05, 1.0)


@dataclass(frozen=True)
class RelaxedCandidate:
    """A relaxed candidate; energies in eV/atom."""

    id: str
    structure: Structure
    energy_per_atom: float
    e_above_hull: float


@dataclass(frozen=True)
class ExcludedCandidate:
    """A candidate that the study leaves out, and why."""

    id: str
    formula: str
    reason: str


@dataclass(frozen=True)
class Compound:
    """A crystal AB of the dataset, or a published one, which a filled cell may match.

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
    """A crystal into which one cation was put.

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
class LowestCell:
    """The lowest in energy of some relaxed cells AB, and the crystal that it matches; eV/atom, None where none relaxed.

    Attributes
    ----------
    filled_energy_per_atom, filled_e_above_hull : after relaxation
    structure : relaxed
    match : name of the crystal AB that it matches; empty if there is none
    match_known : that one is a published phase
    match_state : ``relaxed``, or ``as made`` where it matches none of the relaxed ones
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

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON; the structure as CIF."""
        return {**vars(self), "structure": self.structure.to(fmt="cif") if self.structure else None}


@dataclass(kw_only=True)
class VacancyCheck(LowestCell):
    """Result of filling one candidate.

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
class Control(LowestCell):
    """Result of random crystals in place of a candidate.

    Attributes
    ----------
    id : of the candidate
    filled_formula : of its cell with the cation, which the crystals share
    cells : random crystals that could be drawn, of as many as voids were tried
    """

    id: str
    filled_formula: str
    cells: int


@dataclass(frozen=True)
class Returned:
    """Share of cells that relaxed to a crystal of the dataset or a published one, with its 95 % interval."""

    count: int
    of: int
    interval: tuple[float, float]

    @classmethod
    def among(cls, cells: Sequence[LowestCell]) -> Returned:
        """Count them among some cells."""
        count = sum(bool(cell.match) for cell in cells)
        return cls(count, len(cells), rate_interval(count, len(cells)))


@dataclass(frozen=True)
class CompoundCounts:
    """Counts of the crystals AB: in all, relaxed before, relaxed now, left as made since they equal another, and failed.

    `evaluations` are the energy-and-force evaluations of those relaxed now.
    """

    structures: int = 0
    relaxed: int = 0
    relaxed_now: int = 0
    equal: int = 0
    failed: int = 0
    evaluations: int = 0


@dataclass(frozen=True)
class VacancySettings:
    """Settings of a vacancy study.

    Attributes
    ----------
    at_most : candidates, nearest to the hull first; None for all
    everything : whether all candidates of a composition are filled, and not only the lowest
    controls : for each candidate
    seed : of the random crystals of the controls
    """

    at_most: int | None = None
    everything: bool = False
    controls: int = 0
    seed: int = 0


@dataclass(frozen=True)
class VacancyStudy:
    """Result of a vacancy study.

    Attributes
    ----------
    cation, anion : A and B
    checks : of the candidates
    controls : of random crystals
    compounds : counts of the crystals AB
    exclusions : candidates whose cells lack several cations
    seed : of the controls
    """

    cation: str
    anion: str
    checks: list[VacancyCheck]
    controls: list[Control]
    compounds: CompoundCounts
    exclusions: list[ExcludedCandidate]
    seed: int

    @property
    def returned(self) -> Returned:
        """Candidates that return a known crystal AB."""
        return Returned.among(self.checks)

    @property
    def controls_returned(self) -> Returned | None:
        """Controls that do; None without controls."""
        return Returned.among(self.controls) if self.controls else None

    @property
    def evaluations(self) -> dict[str, int]:
        """Energy-and-force evaluations by purpose."""
        return {
            "filled": sum(check.evaluations for check in self.checks),
            "dataset": self.compounds.evaluations,
            "control": sum(control.evaluations for control in self.controls),
        }

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        spent, controls_returned = self.evaluations, self.controls_returned
        return {
            "cation": self.cation,
            "anion": self.anion,
            "sites_at_most": SITES,
            "candidates": [check.to_dict() for check in self.checks],
            "returned": asdict(self.returned),
            "controls": [control.to_dict() for control in self.controls],
            "controls_returned": asdict(controls_returned) if controls_returned else None,
            "seed": self.seed,
            "exclusions": [asdict(item) for item in self.exclusions],
            "dataset": asdict(self.compounds),
            "evaluations": spent,
            "evaluations_total": sum(spent.values()),
        }


def study_vacancies(
    pair: tuple[str, str],
    candidates: Iterable[RelaxedCandidate],
    compounds: Sequence[Compound],
    hull: Hull,
    relax: Evaluator,
    single_point: Evaluator,
    settings: VacancySettings,
    volume_ratio: float = 1.0,
) -> VacancyStudy:
    """Fill the candidates that lack one cation, relax them, and compare them with the known crystals AB.

    Parameters
    ----------
    pair : cation and anion; see `cation_and_anion`
    candidates : new and relaxed
    compounds : the known crystals AB
    hull : on the energy scale of `relax`
    relax, single_point : relax structures by name, and compute their energies as they are
    settings : of the study
    volume_ratio : of random crystals over the volume expected of their composition, as at the pressure of the run
    """
    deficient, exclusions = find_deficient(candidates, *pair)
    chosen = (deficient if settings.everything else lowest_of_each(deficient))[: settings.at_most]
    checks: list[VacancyCheck] = []
    controls: list[Control] = []
    counts = CompoundCounts()
    if chosen:
        relaxed, counts = relax_compounds(compounds, relax)
        checks = check_vacancies(chosen, relaxed, hull, pair[0], relax, single_point)
        if settings.controls:
            controls = check_controls(checks, relaxed, hull, relax, settings.controls, settings.seed, volume_ratio)
    return VacancyStudy(*pair, checks, controls, counts, exclusions, settings.seed)


def cation_and_anion(system: Iterable[str]) -> tuple[str, str]:
    """Order the elements of a binary system; the anion is the more electronegative one.

    Raises
    ------
    InputError
        Where the system is not binary, or the electronegativities do not differ.
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


def find_deficient(
    candidates: Iterable[RelaxedCandidate], cation: str, anion: str
) -> tuple[list[RelaxedCandidate], list[ExcludedCandidate]]:
    """Find the candidates that lack one cation, each in the cell that lacks it, nearest to the hull first.

    Returns
    -------
    these, and the candidates A(n-1)B(n) whose cells lack several
    """
    found: dict[str, RelaxedCandidate] = {}
    exclusions = []
    for candidate in candidates:
        if not is_deficient(candidate.structure.composition, cation, anion):
            continue
        cell = deficient_cell(candidate.structure, cation, anion)
        if cell is None:
            formula = candidate.structure.composition.formula.replace(" ", "")
            exclusions.append(ExcludedCandidate(candidate.id, formula, f"its cell lacks more than one {cation}"))
        else:
            found[candidate.id] = replace(candidate, structure=cell)
    return sorted(found.values(), key=lambda candidate: candidate.e_above_hull), exclusions


def deficient_cell(structure: Structure, cation: str, anion: str) -> Structure | None:
    """Return the cell that lacks one cation, given or primitive; None where each lacks several, or none."""
    for cell in (structure, structure.get_primitive_structure(tolerance=SAME_PLACE)):
        if cell.composition[cation] and round(cell.composition[anion] - cell.composition[cation]) == 1:
            return cell
    return None


def lowest_of_each(candidates: Iterable[RelaxedCandidate]) -> list[RelaxedCandidate]:
    """Keep the candidate of each composition that is nearest to the hull; lowest first."""
    lowest: dict[str, RelaxedCandidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.e_above_hull):
        lowest.setdefault(candidate.structure.composition.reduced_formula, candidate)
    return list(lowest.values())


def find_voids(structure: Structure, min_separation: float = MIN_SEPARATION) -> list[tuple[NDArray[np.float64], float]]:
    """Find the voids of a crystal, the places farthest from all atoms: vertices of its Voronoi cells.

    Parameters
    ----------
    structure : ordered crystal
    min_separation : of vertices nearer to each other, only the most spacious counts, A

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
        if not taken or lattice.get_all_distances([place], taken).min() >= min_separation:
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


def relax_compounds(compounds: Sequence[Compound], relax: Evaluator) -> tuple[list[Compound], CompoundCounts]:
    """Relax the crystals AB that are not relaxed yet, since relaxed cells compare with relaxed crystals.

    Of crystals that equal each other as made, the first is relaxed.

    Returns
    -------
    all of them, and their counts
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
    counts = CompoundCounts(
        structures=len(compounds),
        relaxed=len(compounds) - len(waiting),
        relaxed_now=len(done),
        equal=len(waiting) - len(chosen),
        failed=len(chosen) - len(done),
        evaluations=sum(result.evaluations for result in results.values()),
    )
    return [
        replace(compound, relaxed=result.structure, energy_per_atom=result.energy_per_atom)
        if (result := done.get(compound.name))
        else compound
        for compound in compounds
    ], counts


def check_vacancies(
    candidates: Sequence[RelaxedCandidate],
    compounds: Sequence[Compound],
    hull: Hull,
    cation: str,
    relax: Evaluator,
    single_point: Evaluator,
    sites: int = SITES,
) -> list[VacancyCheck]:
    """Put a cation into each of the best voids of a candidate, relax, and compare the lowest with the known crystals AB.

    Parameters
    ----------
    candidates : cells that lack one cation
    compounds : the known crystals AB; see `relax_compounds`
    hull : on the energy scale of `relax`
    cation : its element
    relax, single_point : relax structures by name, and compute their energies as they are
    sites : voids tried for each candidate
    """
    trials = {candidate.id: fill(candidate.structure, cation, sites) for candidate in candidates}
    results = relax({f"{name}/{i}": item.structure for name, items in trials.items() for i, item in enumerate(items)})
    ended = {name: [results[f"{name}/{i}"] for i in range(len(items))] for name, items in trials.items()}
    best = {name: min(range(len(tries)), key=lambda i: _energy(tries[i])) for name, tries in ended.items()}
    before = single_point({name: items[best[name]].structure for name, items in trials.items()})
    index = _CompoundIndex(compounds, hull)
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
        index.enter(check, ended[candidate.id])
        checks.append(check)
    return checks


def check_controls(
    checks: Sequence[VacancyCheck],
    compounds: Sequence[Compound],
    hull: Hull,
    relax: Evaluator,
    each: int,
    seed: int,
    volume_ratio: float = 1.0,
) -> list[Control]:
    """Relax random crystals in place of the candidates: for each as many as it has voids, of which the lowest counts.

    With the same seed, more controls begin with the same ones.

    Parameters
    ----------
    checks : of the candidates; see `check_vacancies`
    compounds, hull, relax : the same as theirs
    each : controls for each candidate
    seed : of the random search
    volume_ratio : of its crystals over the volume expected of their composition
    """
    rounds = [(number, check) for number in range(each) for check in checks]
    targets = [_target_cell(check.filled_formula) for _, check in rounds for _ in range(check.sites)]
    proposals = iter(draw_crystals(targets, seed, volume_ratio))
    trials = {
        f"{check.id}/random {number}": [
            proposal for _ in range(check.sites) if (proposal := next(proposals)) is not None
        ]
        for number, check in rounds
    }
    results = relax({f"{name}/{i}": item.structure for name, items in trials.items() for i, item in enumerate(items)})
    index = _CompoundIndex(compounds, hull)
    controls = []
    for (_, check), (name, items) in zip(rounds, trials.items(), strict=True):
        control = Control(id=check.id, filled_formula=check.filled_formula, cells=len(items))
        index.enter(control, [results[f"{name}/{i}"] for i in range(len(items))])
        controls.append(control)
    return controls


def _target_cell(formula: str) -> TargetCell:
    """Return the target cell of a formula, which is not reduced."""
    amounts = Composition(formula).get_el_amt_dict()
    return TargetCell(tuple(sorted((symbol, round(number)) for symbol, number in amounts.items())))


def _energy(result: Relaxation) -> float:
    """Return the energy by which the lowest is chosen, eV/atom; infinite without a relaxed structure."""
    return math.inf if result.state != "relaxed" or result.energy_per_atom is None else result.energy_per_atom


class _CompoundIndex:
    """Index of the crystals AB: published ones before substituted ones, and of these the lowest first."""

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

    def enter(self, cell: LowestCell, tries: Sequence[Relaxation]) -> None:
        """Enter the lowest of some relaxed cells with its match, or why there is none, and the cost of all."""
        cell.evaluations += sum(result.evaluations for result in tries)
        result = min(tries, key=_energy, default=Relaxation(state="rejected", reason="no_random_crystal"))
        if result.state != "relaxed" or result.structure is None or result.energy_per_atom is None:
            cell.reason = f"{result.reason}: {result.detail}" if result.detail else result.reason
            return
        cell.structure, cell.filled_energy_per_atom = result.structure, result.energy_per_atom
        cell.filled_e_above_hull = self.hull.e_above_hull(result.structure.composition, result.energy_per_atom)
        self._look_up(cell, result.structure, result.energy_per_atom)

    def _look_up(self, cell: LowestCell, structure: Structure, energy: float) -> None:
        """Enter the crystal that the structure matches: a relaxed one or, failing that, one as made."""
        for state, index in self.indices.items():
            found = index.find_match(structure)
            if found is not None:
                cell.match, cell.rms = found
                compound = self.compounds[cell.match]
                cell.match_known, cell.match_state = compound.known, state
                if compound.energy_per_atom is not None:
                    cell.energy_above_match = energy - compound.energy_per_atom
                return
