"""Chain only some jobs: relax candidates of a run again, with tighter forces. `python workflows/own_flow.py RUN`."""

import sys

from jobflow import SETTINGS, run_locally

import imatgen_flows as imf
from imatgen_flows.flows import ScreenMaker

if __name__ == "__main__":
    run = imf.Run.open(sys.argv[1])
    tighter = run.config.screen.model_copy(update={"fmax": 0.02, "at_most": 20})
    flow = ScreenMaker(screen=tighter).make(*run.first_round())
    run_locally(flow, store=SETTINGS.JOB_STORE, ensure_success=True)
    print(flow.output.resolve(SETTINGS.JOB_STORE).counts)
