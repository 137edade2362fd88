"""Read damaged files of crystals and campaigns: no traceback, no file that takes long, every file counted."""

from __future__ import annotations

import argparse
import faulthandler
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from imatgen_flows.testing.mutations import mutate, read_damaged, seed_files

SECONDS = 10.0  # that a file may take


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50_000, help="files")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    seeds = list(seed_files().items())
    fates: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    slowest, start = (0.0, ""), time.monotonic()
    for number in range(given.seed, given.seed + given.number):
        name, content = seeds[number % len(seeds)]
        began = time.monotonic()
        # a file that hangs would hide the fault: the process ends with the place where it is
        faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                fates[read_damaged(folder, name, mutate(content, number))] += 1
            except Exception as error:  # what is looked for
                place = traceback.extract_tb(error.__traceback__)[-1]
                fault = f"{type(error).__name__}: {str(error)[:100]} ({Path(place.filename).name}:{place.lineno})"
                if not faults[fault]:
                    print(f"{name}, seed {number}: {fault}", flush=True)
                faults[fault] += 1
        slowest = max(slowest, (time.monotonic() - began, f"{name}, seed {number}"))
    faulthandler.cancel_dump_traceback_later()
    print(
        f"{given.number:,} files in {time.monotonic() - start:.0f} s: {dict(fates)}; {sum(faults.values())} tracebacks"
    )
    print(f"the slowest took {slowest[0]:.1f} s: {slowest[1]}")
    return 0 if not faults and slowest[0] < SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
