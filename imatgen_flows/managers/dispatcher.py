"""The fault of a dispatcher: a sentence that it leaves in the configuration directory, and that `imatgen status` shows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from imatgen_flows.io.files import write_atomic

FAULT_FILE = Path("logs") / "dispatcher-fault.txt"  # the start scripts remove it, and so does the next good submission
STOPPED = 3  # exit status by which a dispatcher tells its start script not to start it again


def record_fault(directory: Path, sentence: str) -> None:
    """Leave a sentence with the time, in place of the one before."""
    path = directory / FAULT_FILE
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {sentence}\n")


def read_fault(directory: Path) -> str:
    """Return the last sentence of a dispatcher; empty where it had no fault since it was started."""
    try:
        return (directory / FAULT_FILE).read_text(errors="replace").strip()
    except FileNotFoundError:
        return ""


def clear_fault(directory: Path) -> None:
    """Forget the last fault, since a submission went well."""
    (directory / FAULT_FILE).unlink(missing_ok=True)
