"""Checks of the databases that are asked for candidates: whether they are known by their names. None is asked here."""

from __future__ import annotations

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.managers.checks import Check


def check_elsewhere(config: CampaignConfig) -> list[Check]:
    """Check that each provider of `elsewhere` is one that can be asked; one line each. The key is another check's."""
    from imatgen_flows.crystals.elsewhere import MATERIALS_PROJECT
    from imatgen_flows.crystals.optimade import base_url

    checks = []
    for provider in config.elsewhere.providers:
        if provider == MATERIALS_PROJECT:
            continue
        try:
            address = base_url(provider, "elsewhere.providers")
        except InputError as error:
            checks.append(Check(f"elsewhere {provider}", False, str(error).removeprefix("elsewhere.providers: ")))
        else:
            checks.append(Check(f"elsewhere {provider}", True, f"{address}; asked when candidates are shortlisted"))
    return checks
