"""Time to read and reduce a folder of CIF files in all processes of this machine, beside `Structure.from_file` one by one.

A file of JSON lines is written out as CIF files: every other one with its symmetry, as databases give them, the rest in P 1.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import os
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

from pymatgen.core import Structure
from pymatgen.io.cif import CifWriter

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import read_crystals
from imatgen_flows.settings import get_settings

SECONDS = 60.0  # for 5,000 files on two cores


def write_files(rows: Path, folder: Path, number: int) -> set[str]:
    """Write the first crystals of a file as CIF files, and return their elements."""
    elements: set[str] = set()
    with gzip.open(rows, "rt") as stream:
        for count, line in enumerate(itertools.islice(stream, number)):
            row = json.loads(line)
            crystal = Structure(row["lattice"], row["species"], row["frac_coords"])
            CifWriter(crystal, symprec=0.01 if count % 2 else None).write_file(folder / f"{count:05}.cif")
            elements |= set(row["species"])
    return elements


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("structures", type=Path, help="a .jsonl.gz file of crystals")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--sample", type=int, default=500, help="files that are read one by one, for comparison")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        elements = write_files(given.structures, folder, given.files)
        workers = get_settings().n_workers
        start = time.monotonic()
        phases, exclusions = load_known("file", sorted(elements), SourceOptions(folder, workers=workers))
        ours = time.monotonic() - start
        start = time.monotonic()
        read = len(list(read_crystals(folder, None, "known", workers)))
        reading = time.monotonic() - start
        sample = sorted(folder.iterdir())[: given.sample]
        start = time.monotonic()
        for file in sample:
            Structure.from_file(file)
        theirs = (time.monotonic() - start) / len(sample)
    reasons = dict(Counter(item.reason for item in exclusions))
    print(f"load                       {os.getloadavg()[0]:.1f} in the last minute")
    print(f"files                      {given.files:,}, {workers} processes")
    print(f"read and reduced           {len(phases):,}, left out {reasons}")
    print(f"s                          {ours:.1f}, {ours / given.files * 1000:.1f} ms a file")
    print(f"s to read alone            {reading:.1f}, {reading / read * 1000:.1f} ms a file")
    print(f"Structure.from_file alone  {theirs * 1000:.1f} ms a file of the first {len(sample)}")
    print(f"ratio, read alone          {reading / read / theirs:.2f}")
    print(f"ratio, read and reduced    {ours / given.files / theirs:.2f}")
    return 0 if ours < SECONDS * given.files / 5000 and len(phases) + len(exclusions) == given.files else 1


if __name__ == "__main__":
    sys.exit(main())
