"""Run a campaign from Python instead of the command line, and look at what is new.

python workflows/vanadium_oxides.py
"""

from __future__ import annotations

from pathlib import Path

from imatgen_flows.config import CampaignConfig
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.report import RunDirectory, build_report

CAMPAIGN = Path(__file__).parent / "campaigns" / "vanadium-oxides.yaml"

if __name__ == "__main__":
    config = CampaignConfig.from_file(CAMPAIGN)
    config.sampling.root["slerp"] = 800  # any key of the file can be set here
    directory = run_campaign(config, Path("runs") / "vanadium-oxides-800", resume=True)
    for candidate in RunDirectory.open(directory).new[:10]:
        print(f"{candidate['formula']:8} {candidate['spacegroup']:10} {candidate['e_above_hull']:7.3f} eV/atom")
    print(build_report(directory))
