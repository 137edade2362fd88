"""A directory that one process has locked is refused to another, until that has ended."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.io.lock import is_locked, locked

HOLD = """
import sys, time
from pathlib import Path
from imatgen_flows.io.lock import locked
with locked(Path(sys.argv[1]), ""):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path):
    assert not is_locked(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        assert is_locked(tmp_path)
        with pytest.raises(InputError, match=r"^busy$"), locked(tmp_path, "busy"):
            pytest.fail("two have the lock")
        process.send_signal(signal.SIGKILL)
    with locked(tmp_path, "busy"):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
