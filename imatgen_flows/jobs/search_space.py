"""The crystals that a campaign looks for, as its sources and the checks of candidates take them."""

from __future__ import annotations

from collections.abc import Sequence

from imatgen_flows.config import CampaignConfig, Limits, Screen, Search, Validity
from imatgen_flows.energetics.optimisers import OPTIMISER
from imatgen_flows.jobs.documents import RelaxInputs
from imatgen_flows.sources.search import SearchSpace


def search_space(config: CampaignConfig) -> SearchSpace:
    """Gather what a campaign says of the crystals that it looks for."""
    return space_of(config.system, config.limits, config.validity, config.search)


def space_of(elements: Sequence[str], limits: Limits, validity: Validity, search: Search) -> SearchSpace:
    """Gather what sections of a campaign say of the crystals of a system that it looks for."""
    from imatgen_flows.crystals.search_formulas import SearchFormula, read_sites

    low, high = read_sites(search.sites) if search.sites else (1, limits.max_sites)
    formulas = [SearchFormula.read(text) for text in search.compositions]
    return SearchSpace(
        elements=tuple(elements),
        min_sites=low,
        max_sites=min(high, limits.max_sites),
        max_edge=limits.max_edge,
        compositions=tuple(formula.unit for formula in formulas if not formula.is_exact),
        cells=tuple(formula.unit for formula in formulas if formula.is_exact),
        charge=validity.charge,
        pressure=search.pressure,
    )


def relax_inputs(screen: Screen, pressure: float) -> RelaxInputs:
    """Say how the structures of a campaign are relaxed, at a pressure in GPa."""
    plain = RelaxInputs(potential=screen.potential, fmax=screen.fmax, max_steps=screen.max_steps, optimiser=OPTIMISER)
    return RelaxInputs(**plain, **pressure_input(pressure))  # type: ignore[typeddict-item]  # mypy#9408


def pressure_input(pressure: float) -> dict[str, float]:
    """Give a job its pressure (GPa), and nothing where that is zero: its cache key is then that of before."""
    return {"pressure": pressure} if pressure else {}
