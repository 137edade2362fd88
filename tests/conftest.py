"""What tests of several layers share."""

from __future__ import annotations

import pytest

from imatgen_flows.config import CampaignConfig


@pytest.fixture(scope="session")
def tiny():
    """Build a campaign that runs in a minute: small cells, a toy potential, networks that are hardly trained."""

    def build(system=("V", "O"), **sections):
        content = {
            "system": list(system),
            "limits": {"max_sites": 4, "max_edge": 6},
            "labels": {"potential": "toy"},
            "generator": {"epochs": 0.06},
            "sampling": {"slerp": 40, "random": 10, "perturb": 10},
            "screen": {"potential": "toy", "at_most": 6, "batch_size": 3, "max_steps": 100, "fmax": 0.3},
        }
        return CampaignConfig.model_validate(content | sections)

    return build
