"""Checks of what a campaign searches for: whether its other settings leave any of it."""

from __future__ import annotations

from imatgen_flows.candidates.registry import REJECT_UNBALANCED
from imatgen_flows.config import CampaignConfig
from imatgen_flows.managers.checks import Check


def check_search(config: CampaignConfig) -> list[Check]:
    """Check that the formulas which a campaign searches for may be valid candidates; nothing where it searches for all."""
    from imatgen_flows.crystals import is_charge_balanced
    from imatgen_flows.crystals.search_formulas import SearchFormula

    if not config.search.compositions or config.validity.charge != REJECT_UNBALANCED:
        return []
    formulas = [SearchFormula.read(text) for text in config.search.compositions]
    unbalanced = [str(formula) for formula in formulas if not is_charge_balanced(formula.composition)]
    if not unbalanced:
        return [Check("search", True, f"{', '.join(map(str, formulas))}: charge balanced")]
    return [
        Check(
            "search",
            False,
            f"{', '.join(unbalanced)}: not charge balanced, and `validity.charge: reject` refuses each such candidate. "
            "`validity: {charge: flag}` keeps them.",
        )
    ]


def describe_search(config: CampaignConfig) -> str:
    """Say what a campaign searches for in a few words; empty where that is everything at zero pressure."""
    search = config.search
    size = f"{search.sites} site{'s' * (search.sites != '1')} in the primitive cell" if search.sites else ""
    pressure = f"at {search.pressure:g} GPa" if search.pressure else ""
    return ", ".join(filter(None, [*search.compositions, size, pressure]))
