"""Faults that a campaign on SLURM survives."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections import Counter

import pytest
from campaigns import CPU_ONLY, ONCE, cancel_one, finish, kill_one, nearly, rows_of, small_campaign, submit

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.jobs.candidate_table import candidate_structures
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.managers.local import run_campaign

pytestmark = pytest.mark.slurm

KILLS = 20
SEED = 7


def test_a_storm_of_kills_loses_nothing_and_repeats_nothing(lab, tmp_path):
    lab.configure(CPU_ONLY)
    config = small_campaign(
        batch_size=1, at_most=24, sampling={"slerp": 120, "prior": 60, "perturb": 60}
    )  # thirty fireworks and more
    expected = run_campaign(config, tmp_path / "home")
    campaign_id = submit(lab, config, tmp_path / "run")
    dice, struck, end = random.Random(SEED), Counter(), time.monotonic() + 900

    def restart():
        lab.server_restart()
        return True

    strikes = {
        "worker killed": lambda: kill_one(lab, dice),
        "running job cancelled": lambda: cancel_one(lab, dice, "RUNNING"),
        "pending job cancelled": lambda: cancel_one(lab, dice, "PENDING"),
        "server restarted": restart,
    }
    weights = {"worker killed": 8, "running job cancelled": 4, "pending job cancelled": 4, "server restarted": 2}

    def missing():
        return [name for name in strikes if not struck[name]]

    def strike():
        # after enough strikes only kinds that are missing: more of the others would keep long jobs from their end
        names = (sum(struck.values()) >= KILLS and missing()) or list(strikes)
        name = dice.choices(names, [weights[name] for name in names])[0]
        struck[name] += strikes[name]()

    while sum(struck.values()) < KILLS or missing():
        assert time.monotonic() < end, f"the storm took too long: {struck}, {lab.states()}"
        if set(lab.states().values()) == {"COMPLETED"}:
            break
        dispatcher = subprocess.Popen(
            ["bash", "-c", '. "$0" && exec "$@"', str(lab.directory / "env.sh"), "qlaunch", "-r",
             "-c", str(lab.directory), "--launch_dir", str(lab.directory / "blocks"),
             "rapidfire", "-m", "8", "--nlaunches", "0", "--sleep", "1"],
            env=lab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(dice.uniform(1, 5))
        strike()
        end_of_round, next_strike = time.monotonic() + 20, time.monotonic() + dice.uniform(4, 8)
        while dispatcher.poll() is None and lab.ready() and time.monotonic() < end_of_round:
            if time.monotonic() > next_strike:
                strike()
                next_strike += dice.uniform(4, 8)
            time.sleep(0.3)
        dispatcher.kill()  # wherever it is, another victim
        dispatcher.wait()
        lab.run("imatgen", "retry", campaign_id, "--grace", 3)
    finish(lab, campaign_id, 900)

    states = lab.states()
    assert sum(struck.values()) >= KILLS and len(states) >= 30
    names = Counter(row["name"] for row in lab.launchpad.fireworks.find({}, {"name": 1}))
    batches = len(list((expected / "artifacts" / "documents").glob("relax_batch-*")))
    assert len(states) == ONCE + batches + 2 and all(number == 1 for number in names.values()), names
    assert lab.launchpad.workflows.count_documents({"locked": True}) == 0
    keys = Counter((row["uuid"], row["index"]) for row in lab.store.query({}, ["uuid", "index"]))
    assert len(keys) == len(states) and set(keys.values()) == {1}
    lab.run("imatgen", "harvest", campaign_id)
    assert rows_of(tmp_path / "run") == nearly(rows_of(expected))
    print(f"\nstorm: {dict(struck)} over {len(states)} fireworks")


def test_a_candidate_that_aborts_its_interpreter_is_one_rejection(lab, documents, tmp_path, monkeypatch):
    config = small_campaign(potential="lab_potentials:abort_on_one_volume")
    monkeypatch.setenv("ABORT_ON_VOLUME", "0")
    expected = rows_of(run_campaign(config, tmp_path / "home"))
    (filtered,) = documents(tmp_path / "home", filter_candidates)
    victim = next(row["sample"] for row in expected if row["e_above_hull"] is not None)
    volume = candidate_structures(filtered.candidates, Geometry.DECODED, [victim])[victim].volume

    lab.configure(CPU_ONLY, setup=[f"export ABORT_ON_VOLUME={volume:.6f}"])
    campaign_id = submit(lab, config, tmp_path / "run")
    states = lab.dispatch(timeout=400)
    assert set(states.values()) == {"COMPLETED"}
    lab.run("imatgen", "harvest", campaign_id)
    rows = {row["sample"]: row for row in rows_of(tmp_path / "run")}
    assert rows[victim]["rejected_reason"] == "crashed"
    assert sum(row["rejected_reason"] == "crashed" for row in rows.values()) == 1
    others = [row for row in expected if row["sample"] != victim and row["energy_per_atom"] is not None]
    energies = [rows[row["sample"]]["energy_per_atom"] for row in others]
    assert energies == pytest.approx([row["energy_per_atom"] for row in others], abs=1e-9)
    ledger = json.loads((tmp_path / "run" / "ledger.json").read_text())
    assert sum(ledger["states"].values()) == ledger["samples"] == 120
