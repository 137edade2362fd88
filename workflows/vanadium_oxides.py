"""Run a campaign from Python instead of the command line, and look at what is new. `python workflows/vanadium_oxides.py`."""

from pathlib import Path

import imatgen_flows as imf

CAMPAIGN = Path(__file__).parent / "campaigns" / "vanadium-oxides.yaml"

if __name__ == "__main__":
    config = imf.CampaignConfig.from_file(CAMPAIGN)
    config.sampling.root["slerp"] = 800  # any key of the file can be set here
    run = imf.run_campaign(config, "runs/vanadium-oxides-800")
    print(run.shortlist[["formula", "spacegroup", "e_above_hull"]].head(10))
    print(run.report())
