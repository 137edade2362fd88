"""Share of crystals whose `structure_id` changes with the setting and with noise, its time, and names that crystals share.

Each crystal is described anew: other axes (a random unimodular matrix), another origin, another order of the sites, a
rotation, and noise in the fractional coordinates. Crystals are the prototypes of pymatgen, each as it ships and in its
primitive cell, and rows of a .jsonl.gz file drawn at random. Names are compared among all rows of the file; a pair that
shares one is judged by pymatgen's StructureMatcher.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import sys
import time
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.prototypes import aflow_prototypes
from imatgen_flows.crystals.standard import primitive_cell

NOISE = (0.0, 1e-6, 1e-5)  # largest change of a coordinate, in fractions of an axis; a CIF of pymatgen rounds to 1e-8


def describe_anew(crystal: Structure, noise: float, random: np.random.Generator) -> Structure:
    """Write a crystal with other axes, origin, orientation and order, and with noise in its fractional coordinates."""
    change = np.eye(3)
    for _ in range(4):
        step = np.eye(3)
        row, column = random.choice(3, 2, replace=False)
        step[row, column] = random.integers(-2, 3)
        change = step @ change
    change *= random.choice([-1, 1])
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    order = random.permutation(len(crystal))
    noisy = crystal.frac_coords + random.uniform(-noise, noise, crystal.frac_coords.shape)
    frac = ((noisy + random.uniform(size=3)) @ np.linalg.inv(change))[order]
    frac += random.integers(-1, 2, frac.shape)
    return Structure(change @ crystal.lattice.matrix @ rotation, [crystal[i].specie for i in order], frac)


def measure_changes(
    crystals: list[Structure], repeats: int, random: np.random.Generator
) -> dict[str, dict[str, float]]:
    """Count the crystals, and the descriptions, whose name differs from that of the crystal as it came."""
    names = [structure_id(crystal) for crystal in crystals]
    found = {}
    for noise in NOISE:
        changed = [
            sum(structure_id(describe_anew(crystal, noise, random)) != name for _ in range(repeats))
            for crystal, name in zip(crystals, names, strict=True)
        ]
        share = sum(changed) / (repeats * len(crystals))
        found[f"{noise:g}"] = {"crystals": sum(map(bool, changed)), "of": len(crystals), "share_of_descriptions": share}
    return found


def measure_time(crystals: list[Structure]) -> float:
    """Time one name, in ms."""
    structure_id(crystals[0])
    begin = time.perf_counter()
    for crystal in crystals:
        structure_id(crystal)
    return (time.perf_counter() - begin) / len(crystals) * 1e3


def find_shared(rows: list[dict]) -> list[dict]:
    """List the pairs of rows that share a name, and whether pymatgen's StructureMatcher calls them equal."""
    named = defaultdict(list)
    for row in rows:
        named[structure_id(_structure(row))].append(row)
    matcher = StructureMatcher()
    return [
        {"ids": [a["id"], b["id"]], "equal": bool(matcher.fit(_structure(a), _structure(b)))}
        for group in named.values()
        for a, b in itertools.combinations(group, 2)
    ]


def prototypes() -> list[Structure]:
    """Return the prototypes of pymatgen that are ordered, each as it ships and in its primitive cell."""
    ordered = [entry["snl"].structure for entry in aflow_prototypes() if entry["snl"].structure.is_ordered]
    return [setting for crystal in ordered for setting in (crystal, primitive_cell(crystal))]


def _structure(row: dict) -> Structure:
    return Structure(row["lattice"], row["species"], row["frac_coords"])


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crystals", type=Path, help="a .jsonl.gz file with `lattice`, `species` and `frac_coords`")
    parser.add_argument("--rows", type=int, default=500, help="drawn from the file to be described anew")
    parser.add_argument("--repeats", type=int, default=20, help="new descriptions of each crystal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    random = np.random.default_rng(options.seed)
    with gzip.open(options.crystals, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    drawn = [_structure(rows[i]) for i in random.choice(len(rows), min(options.rows, len(rows)), replace=False)]
    sets = {"prototypes": prototypes(), options.crystals.name: drawn}
    found = {
        name: {"ms": measure_time(crystals), "changed": measure_changes(crystals, options.repeats, random)}
        for name, crystals in sets.items()
    }
    shared = find_shared(rows)
    print(json.dumps(found | {"rows": len(rows), "shared": shared}, indent=1))
    settings = sum(each["changed"]["0"]["crystals"] for each in found.values())
    sys.exit(bool(settings) or not all(pair["equal"] for pair in shared))


if __name__ == "__main__":
    main()
