"""Workers of FireWorks under kills of the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
from fireworks import Firework, FWorker, LaunchPad, PyTask, Workflow
from fireworks.core.rocket_launcher import rapidfire
from fireworks.utilities import fw_serializers

from imatgen_flows import launchpad
from imatgen_flows.launchpad.control import ServerFiles

WORKERS, FIREWORKS, KILLS = 8, 300, 5


# run fireworks until none is ready; whatever ends with the server is begun again
WORK = """
import json, sys, time
from contextlib import suppress
from fireworks import FWorker, LaunchPad
from fireworks.core.rocket_launcher import rapidfire
login = json.loads(sys.stdin.read())
while True:
    with suppress(Exception):
        pad = LaunchPad(**login)
        rapidfire(pad, FWorker(), sleep_time=0.01, strm_lvl="CRITICAL")
        if not pad.fireworks.count_documents({"state": "READY"}):
            break
    time.sleep(0.2)
"""


@pytest.mark.slow
def test_each_firework_is_run_under_kills_and_none_is_lost(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(fw_serializers.SAVED_FW_MODULES, "PyTask", PyTask.__module__)
    runs, directory = tmp_path / "runs", tmp_path / "launchpad"
    runs.mkdir()
    endpoint, workers = launchpad.start(directory), []
    try:
        login = {name: getattr(endpoint, name) for name in ("host", "port", "username", "password")}
        login |= {"name": "fireworks", "authsource": "admin"}
        pad = LaunchPad(**login)
        pad.reset("", require_password=False)
        pad.bulk_add_wfs(
            [
                Workflow([Firework(PyTask(func="tempfile.mkdtemp", kwargs={"prefix": f"{n}-", "dir": str(runs)}))])
                for n in range(FIREWORKS)
            ]
        )
        command = [sys.executable, "-W", "ignore", "-c", WORK]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # a lock of a workflow that a killed command has left is taken over after some seconds, not five minutes
        settings = tmp_path / "FW_config.yaml"
        settings.write_text("{WFLOCK_EXPIRATION_SECS: 10, WFLOCK_EXPIRATION_KILL: true}")
        quiet |= {"env": os.environ | {"FW_CONFIG_FILE": str(settings)}}
        workers = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True, **quiet) for _ in range(WORKERS)]
        for worker in workers:
            worker.stdin.write(json.dumps(login))
            worker.stdin.close()
        restarts = []
        for kill in range(KILLS):
            end = time.monotonic() + 60
            while len(list(runs.iterdir())) < (kill + 1) * FIREWORKS // (KILLS + 2) and time.monotonic() < end:
                time.sleep(0.02)
            restarts.append(killed_and_restarted(directory))
        assert [worker.wait(120) for worker in workers] == [0] * WORKERS
        again = retried(pad)
        rapidfire(pad, FWorker(), sleep_time=0.01, strm_lvl="CRITICAL")
        counts = Counter(row["state"] for row in pad.fireworks.find({}, {"state": 1}))
        killed_and_restarted(directory)
        computed = psutil.Process(ServerFiles(directory).running()).cpu_times()
    finally:
        for worker in workers:
            worker.kill()
        launchpad.stop(directory)
    times = Counter(int(path.name.partition("-")[0]) for path in runs.iterdir())
    assert counts == {"COMPLETED": FIREWORKS}
    assert set(times) == set(range(FIREWORKS))
    # what was killed between its run and its report is run again, and nothing else is
    assert sum(times.values()) - FIREWORKS <= again <= KILLS * WORKERS
    assert min(restarts) < 3  # s, beside eight busy workers
    assert computed.user + computed.system < 1  # s, until the last restart answers


def killed_and_restarted(directory):
    """Kill the server and start it again; return the time of the start, s."""
    os.kill(ServerFiles(directory).running(), signal.SIGKILL)
    start = time.monotonic()
    launchpad.start(directory)
    return time.monotonic() - start


def retried(pad):
    """Make ready what was running when the server was killed, as `imatgen retry` does; return how many that were."""
    pad.workflows.update_many({"locked": True}, {"$unset": {"locked": ""}})
    lost, _, inconsistent = pad.detect_lostruns(expiration_secs=0, rerun=True, refresh=True)
    # claimed, but killed before the record of the run was written
    others = pad.get_fw_ids({"state": {"$in": ["FIZZLED", "RESERVED", "RUNNING"]}})
    for number in others:
        pad.rerun_fw(number)
    return len(lost) + len(others) + len(inconsistent)
