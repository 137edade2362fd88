"""Functions that the tests of whole campaigns share."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from private_slurm import wait_until

from imatgen_flows.config import CampaignConfig

KEPT = (
    "sample",
    "id",
    "state",
    "rejected_reason",
    "formula",
    "energy_per_atom",
    "e_above_hull",
    "novelty",
    "evaluations",
)
# the node has no GPU, and more threads than at home would round otherwise
CPU_ONLY = {"gpu_train": {"gpu_optional": True, "cores": 1}, "gpu_relax": {"gpu_optional": True}}
ONCE = 14  # fireworks of a campaign beside its batches, the ranking, and the job that hands its result on


def small_campaign(batch_size: int = 5, at_most: int = 10, potential: str = "toy", **sections: Any) -> CampaignConfig:
    """Build a campaign that takes a minute: small cells, a toy potential, and a short training."""
    return CampaignConfig.model_validate(
        {
            "name": "small oxides",
            "system": ["V", "O"],
            "limits": {"max_sites": 8, "max_edge": 7},
            "labels": {"potential": potential},
            "model": {"epochs": 0.06},
            "sampling": {"slerp": 60, "prior": 30, "perturb": 30},
            "screen": {
                "potential": potential, "at_most": at_most, "batch_size": batch_size, "max_steps": 100, "fmax": 0.3
            },
        }
        | sections
    )  # fmt: skip


def rows_of(directory: Path) -> list[dict[str, Any]]:
    """Read the candidates of a run."""
    return pq.read_table(directory / "candidates.parquet", columns=list(KEPT)).to_pylist()


def nearly(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Expect texts and counts as they are, and numbers to 1e-9: in another process their last bit may differ."""
    return [
        {
            name: pytest.approx(value, abs=1e-9, nan_ok=True) if isinstance(value, float) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def submit(lab: Any, config: CampaignConfig, run: Path) -> str:
    """Submit as a user does; return the campaign's id."""
    campaign = run.with_suffix(".yaml")
    config.to_file(campaign)
    done = lab.run("imatgen", "submit", campaign, "--directory", run, "--json")
    return json.loads(done.stdout)["campaign_id"]


def status(lab: Any, campaign_id: str) -> dict[str, Any]:
    """Read the status of a campaign as a user's script does."""
    return json.loads(lab.run("imatgen", "status", campaign_id, "--json").stdout)


def workers(lab: Any) -> list[int]:
    """Find the processes in which fireworks of a lab run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(part.endswith("rlaunch") for part in command) and str(lab.directory) in command:
                found.append(int(folder.name))
    return found


def kill_one(lab: Any, dice: random.Random) -> bool:
    """SIGKILL a worker, if there is one."""
    if not (found := workers(lab)):
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(found), signal.SIGKILL)
    return True


def cancel_one(lab: Any, dice: random.Random, state: str) -> bool:
    """Have SLURM cancel a job that is in a state, if there is one."""
    found = [number for number, job in lab.slurm.queue().items() if job == state]
    if not found:
        return False
    lab.run("scancel", dice.choice(sorted(found)), check=False)
    return True


def finish(lab: Any, campaign_id: str, timeout: float) -> None:
    """Dispatch and retry until the campaign is at its end."""

    def ended() -> bool:
        lab.dispatch(timeout)
        lab.run("imatgen", "retry", campaign_id, "--grace", 3)
        return set(lab.states().values()) == {"COMPLETED"}

    wait_until(ended, timeout, 1.0)
