"""A campaign on one node of a cluster, without a database: a batch script around `imatgen run --resume`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from campaigns import small_campaign

from imatgen_flows.managers.run_files import RunState, run_state

pytestmark = pytest.mark.slurm

SCRIPT = Path(__file__).parents[2] / "launchers" / "slurm" / "one_node.sh"


def test_a_campaign_runs_to_its_report_in_one_job(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    small_campaign(sources={"shares": {"random_search": 1.0}}).to_file(tmp_path / "small.yaml")
    options = ["--partition=cpu", "--cpus-per-task=2", "--mem=4G", "--time=10", "--chdir", str(tmp_path)]
    number = slurm.run("sbatch", "--parsable", *options, str(SCRIPT), "small.yaml", "run").strip()
    ended = slurm.wait_for(number, "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", timeout=300)
    log = (tmp_path / f"imatgen-{number}.log").read_text()
    assert ended["JobState"] == "COMPLETED", log
    assert run_state(tmp_path / "run") is RunState.FINISHED and (tmp_path / "run" / "report.html").is_file()
    assert "report: " in log and not slurm.queue()
