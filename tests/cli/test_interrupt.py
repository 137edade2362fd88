"""Ctrl-C during `imatgen run`: it ends at once with a sentence that says how to continue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.mark.parametrize("moment", ["relax references", "train basis autoencoder"])
def test_ctrl_c_says_how_to_continue(tiny, tmp_path, moment):
    campaign, directory = tmp_path / "slow.yaml", tmp_path / "run"
    tiny(model={"epochs": 20}).to_file(campaign)
    command = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()", "run", str(campaign)]
    # in a process group of its own, all of which a terminal would send the signal to
    process = subprocess.Popen(
        [*command, "--directory", str(directory)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.rstrip().endswith(f"{moment} ..."):
            break
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    lines.append(process.communicate(timeout=60)[1])
    error = "".join(lines)
    assert process.returncode == 128 + signal.SIGINT, error
    assert f"imatgen run {campaign} --directory {directory} --resume" in error
    assert "Traceback" not in error
