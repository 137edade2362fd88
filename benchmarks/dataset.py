"""Counts, exclusions and run time of a whole dataset that is built from a template file.

The paper substituted V and O into 7,472 binary structures of the Materials Project of 2018: 14,944 structures, of which
10,981 were kept, and 31 known V-O phases.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

MINUTES, GIGABYTES = 10, 4  # targets for the whole file, on two cores
PAPER = {"templates": 7472, "made": 14944, "kept": 10981, "known": 31}


def main() -> int:
    """Build the dataset and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=Path, help="a .jsonl.gz file of templates")
    parser.add_argument("--known", type=Path, help="a .jsonl.gz file of known phases")
    parser.add_argument("--where", type=json.loads, default={}, help='rows to take, as JSON: {"era2018": true}')
    parser.add_argument("--known-where", type=json.loads, default={}, help="the same for the known phases")
    parser.add_argument("--system", default="V,O")
    parser.add_argument("--held-out", default="none", choices=["none", "structures", "prototypes"])
    given = parser.parse_args()

    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.flows.common import plain, with_files
    from imatgen_flows.jobs.build_dataset import build_dataset

    config = CampaignConfig.model_validate(
        {
            "system": given.system.split(","),
            "templates": {"source": "file", "path": str(given.templates.absolute()), "where": given.where},
            "known": {
                "path": str(given.known.absolute()) if given.known else None,
                "where": given.known_where,
                "held_out": given.held_out,
            },
        }
    )
    began, cpu = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        document = build_dataset.original(
            folder,
            system=config.system,
            templates=with_files(config.templates),
            known=with_files(config.known),
            limits=plain(config.limits),
        )
    seconds, gigabytes = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    counts = document.counts | {"made": document.counts["templates"] * len(config.system)}
    for name, number in counts.items():
        beside = f"   paper {PAPER[name]:>7,}" if name in PAPER else ""
        print(f"{name:32}{number:>8,}{beside}")
    print(f"{seconds:.0f} s ({time.process_time() - cpu:.0f} s of one core), {gigabytes:.2f} GB")
    return 0 if seconds < 60 * MINUTES and gigabytes < GIGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
