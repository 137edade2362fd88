"""The batch script for one node without a database: it ends as the run ends, and goes on where its walltime ends."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launchers" / "slurm" / "one_node.sh"
RUN = """#!/bin/sh
echo "$@" > {folder}/arguments
trap 'echo saved > {folder}/saved; {reaction}' USR1
touch {folder}/started
i=0
while [ $i -lt {steps} ]; do sleep 0.1; i=$((i + 1)); done
exit {status}
"""


@pytest.fixture
def start(tmp_path):
    """Start the script beside a run, and an sbatch, of our own making."""

    def with_run(*arguments, steps=0, status=0, reaction="exit 1"):
        programs = tmp_path / "bin"
        programs.mkdir()
        for name, text in {
            "imatgen": RUN.format(folder=tmp_path, steps=steps, status=status, reaction=reaction),
            "sbatch": f'#!/bin/sh\necho "$@" > {tmp_path}/submitted\n',
        }.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
        return subprocess.Popen([str(SCRIPT), *arguments], env=environment, stderr=subprocess.PIPE, text=True)

    return with_run


def read(path):
    return path.read_text().strip() if path.is_file() else None


@pytest.mark.parametrize("status", [0, 1, 2])
def test_it_ends_as_the_run_ends_and_submits_nothing(start, tmp_path, status):
    assert start("my campaign.yaml", "a folder", status=status).wait(20) == status
    assert read(tmp_path / "arguments") == "run my campaign.yaml --directory a folder --resume"
    assert read(tmp_path / "submitted") is None


def test_after_the_warning_the_run_saves_itself_and_the_script_is_submitted_again(start, tmp_path):
    script = start("campaign.yaml", steps=300)
    while not (tmp_path / "started").exists():
        time.sleep(0.05)
    script.send_signal(signal.SIGUSR1)
    assert script.wait(20) == 0
    assert read(tmp_path / "saved") == "saved" and read(tmp_path / "submitted") == f"{SCRIPT} campaign.yaml"


def test_a_run_that_comes_to_its_end_after_the_warning_is_not_submitted_again(start, tmp_path):
    script = start("campaign.yaml", steps=10, reaction="true")
    while not (tmp_path / "started").exists():
        time.sleep(0.05)
    script.send_signal(signal.SIGUSR1)
    assert script.wait(20) == 0
    assert read(tmp_path / "saved") == "saved" and read(tmp_path / "submitted") is None


def test_without_a_campaign_it_says_how_it_is_called(start):
    script = start()
    assert script.wait(20) == 2 and "give a campaign file" in script.stderr.read()
