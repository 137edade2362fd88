"""Checks of what a campaign searches for: whether its other settings leave any of it."""

from __future__ import annotations

from dataclasses import replace

from imatgen_flows.candidates.registry import REJECT_UNBALANCED
from imatgen_flows.config import CampaignConfig
from imatgen_flows.managers.checks import Check


def check_search(config: CampaignConfig) -> list[Check]:
    """Check that some contents of a cell may be valid candidates, and each formula that a campaign searches for."""
    from imatgen_flows.crystals import is_charge_balanced
    from imatgen_flows.crystals.search_formulas import SearchFormula

    if not config.search.compositions:
        return [Check("search", False, fault)] if (fault := _explain_empty_space(config)) else []
    if config.validity.charge != REJECT_UNBALANCED:
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


def _explain_empty_space(config: CampaignConfig) -> str:
    """Say why no contents of a cell are looked for, and what to change; empty where some are."""
    from imatgen_flows.jobs.search_space import search_space
    from imatgen_flows.sources.search_limits import LARGEST_LISTED, permitted_sizes

    space = search_space(config)
    if space.max_sites > LARGEST_LISTED or permitted_sizes(space):
        return ""
    system, least = "-".join(space.elements), len(space.elements)
    key = f"`search.sites: {config.search.sites}`" if config.search.sites else f"`limits.max_sites: {space.max_sites}`"
    if space.max_sites < least:
        return (
            f"{key} leaves no candidate: a cell with each element of {system} has {least} sites at least. Allow more."
        )
    others = permitted_sizes(replace(space, min_sites=1, max_sites=LARGEST_LISTED))
    near = ", ".join(map(str, sorted(sorted(others, key=lambda size: abs(size - space.max_sites))[:3])))
    cure = f"Allow other sizes, of which {near} sites have some, or keep such candidates by" if near else "Keep them by"
    return (
        f"{key} leaves no candidate: no contents of such a cell with each element of {system} are charge balanced, and "
        f"`validity.charge: reject` refuses all others. {cure} `validity: {{charge: flag}}`."
    )


def describe_search(config: CampaignConfig) -> str:
    """Say what a campaign searches for in a few words; empty where that is everything at zero pressure."""
    search = config.search
    size = f"{search.sites} site{'s' * (search.sites != '1')} in the primitive cell" if search.sites else ""
    pressure = f"at {search.pressure:g} GPa" if search.pressure else ""
    return ", ".join(filter(None, [*search.compositions, size, pressure]))
