"""Ctrl-C or SIGTERM during `imatgen run`: it ends at once with a sentence that says what is done and how to continue."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from imatgen_flows.run import Run


@pytest.mark.parametrize(
    ("moment", "stop"),
    [
        ("relax references", signal.SIGINT),
        ("train basis autoencoder", signal.SIGINT),
        ("train basis autoencoder", signal.SIGTERM),
    ],
)
def test_a_stop_says_what_is_done_and_how_to_continue(tiny, tmp_path, moment, stop):
    campaign, directory = tmp_path / "slow.yaml", tmp_path / "run"
    tiny(model={"epochs": 20}).to_file(campaign)
    command = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()", "run", str(campaign)]
    # in a process group of its own, all of which a terminal would send the signal to; a process that is started in the
    # background of a shell ignores SIGINT, and so would its child
    process = subprocess.Popen(
        [*command, "--directory", str(directory), "--no-measure"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if f"{moment} ... (" in line:
            break
    time.sleep(0.5)
    os.killpg(process.pid, stop)
    lines.append(process.communicate(timeout=60)[1])
    error = "".join(lines)
    assert process.returncode == 128 + stop, error
    last = error.splitlines()[-1]
    done = re.search(r"(\d+) of 15 stages (?:is|are) finished, and nothing of them is lost\.", last)
    assert done and int(done[1]) == len(list((directory / "artifacts" / "documents").iterdir())), error
    assert f"`imatgen run {directory}/campaign.yaml --directory {directory} --resume` goes on with it." in last
    assert stop.name in error and "Traceback" not in error
    assert Run.open(directory).outlook in last  # `imatgen status` says the same
    assert not (directory / "failure.txt").exists()
