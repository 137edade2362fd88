"""Measure how long `imatgen --help` takes beside `python -c "import typer"`, in turn; print the ratio of the medians."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

HELP = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'imatgen'; from imatgen_flows.cli.main import main; main()",
    "--help",
]
IMPORT = [sys.executable, "-c", "import typer"]


def seconds(command: list[str]) -> float:
    """Run a command once and return its wall time, s."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> int:
    """Measure both commands in turn, so that the load of the machine is the same for both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="how often each command runs")
    arguments = parser.parse_args()
    for command in (HELP, IMPORT):
        seconds(command)  # compiles, and fills the disk cache
    pairs = [(seconds(HELP), seconds(IMPORT)) for _ in range(arguments.pairs)]
    ours, plain = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"imatgen --help: {ours:.3f} s; import typer: {plain:.3f} s; ratio {ours / plain:.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
