"""What an evaluation of a potential costs on this machine, by the number of sites: measured, never assumed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imatgen_flows.energetics.guard import PROPERTIES
from imatgen_flows.errors import ImatgenError
from imatgen_flows.parallel import Outcome, Tick, run_isolated

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

    from imatgen_flows.energetics.potential_registry import Potential

AT_EACH_SIZE = 3  # crystals that are timed of each size; the fastest counts, since the first warms the model up
PATIENCE = 300.0  # s, of one crystal, which is evaluated twice


@dataclass(frozen=True)
class EvaluationCost:
    """Time of an evaluation, s, as a line in the number of sites: ``base + each * sites``.

    Attributes
    ----------
    base, each : of an evaluation of energy, forces and stress, as a relaxation asks for them
    energy_base, energy_each : of one of the energy alone, as a single point does
    startup : of a worker process, which loads the potential
    """

    base: float
    each: float
    energy_base: float
    energy_each: float
    startup: float = 0.0

    def seconds(self, sites: float) -> float:
        """Return the time of an evaluation of energy, forces and stress, s."""
        return self.base + self.each * sites

    def seconds_of_energy(self, sites: float) -> float:
        """Return the time of an evaluation of the energy alone, s."""
        return self.energy_base + self.energy_each * sites


def measure_cost(potential: Potential, structures: Sequence[Structure]) -> EvaluationCost:
    """Time evaluations of the smallest and of the largest of some structures, in a worker process as a relaxation has.

    Parameters
    ----------
    potential : as `get_potential` returns it; it runs in its own interpreter where it has one
    structures : one at least

    Raises
    ------
    ImatgenError
        Where the potential cannot be loaded or cannot evaluate a structure.

    Examples
    --------
    >>> from imatgen_flows.energetics.potentials import get_potential
    >>> from imatgen_flows.energetics.references import reference_phases
    >>> phases = [phase.structure for phase in reference_phases(["V", "O"])]
    >>> cost = measure_cost(get_potential("toy"), phases)
    >>> 0 < cost.seconds(10) < cost.seconds(100)
    True
    """
    ordered = sorted(structures, key=len)
    tenth = len(ordered) // 10  # an outlier is not the size of anything
    small, large = ordered[tenth:], ordered[: len(ordered) - tenth]
    chosen = [*small[:AT_EACH_SIZE], *large[-AT_EACH_SIZE:]]
    began = time.monotonic()
    outcomes: dict[int, Outcome[tuple[float, float]]] = {}
    run_isolated(
        _timer,
        (potential,),
        chosen,
        workers=1,
        timeout=PATIENCE,
        on_outcome=outcomes.__setitem__,
        interpreter=potential.interpreter,
    )
    startup = max(0.0, time.monotonic() - began - sum(outcome.seconds for outcome in outcomes.values()))
    found: dict[int, list[tuple[float, float]]] = {}
    for place, structure in enumerate(chosen):
        value = outcomes[place].value
        if value is None:
            formula = structure.composition.formula.replace(" ", "")
            raise ImatgenError(f"potential `{potential.name}` cannot evaluate {formula}: {outcomes[place].detail}")
        found.setdefault(len(structure), []).append(value)
    sizes = {sites: [min(times) for times in zip(*values, strict=True)] for sites, values in found.items()}
    (base, each), (energy_base, energy_each) = (
        _line([(sites, times[kind]) for sites, times in sizes.items()]) for kind in (0, 1)
    )
    return EvaluationCost(base, each, energy_base, energy_each, startup)


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Fit a line through times by size; through the origin where one size is there, or larger ones seem faster."""
    mean_sites, mean_time = (statistics.fmean(values) for values in zip(*points, strict=True))
    square = sum((sites - mean_sites) ** 2 for sites, _ in points)
    slope = sum((sites - mean_sites) * time for sites, time in points) / square if square else 0.0
    if slope <= 0 or slope * mean_sites > mean_time:
        return 0.0, mean_time / mean_sites
    return mean_time - slope * mean_sites, slope


def _timer(potential: Potential) -> Callable[[Structure, Tick], tuple[float, float]]:
    return partial(_time, potential.calculator())


def _time(calculator: Calculator, structure: Structure, tick: Tick) -> tuple[float, float]:
    """Return the time of an evaluation of all properties and of one of the energy alone, s."""
    from ase.calculators.calculator import all_changes
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(structure, msonable=False)
    wanted = [name for name in PROPERTIES if name in calculator.implemented_properties]
    seconds = []
    for properties in (wanted, wanted[:1]):
        began = time.perf_counter()
        calculator.calculate(atoms, properties, all_changes)
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]
