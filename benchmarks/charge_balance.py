"""How many known compounds the rule of charge balance refuses, and how many impossible or unstable ones it lets pass.

`TEMPLATES` has energies above the hull of the Materials Project, `STRUCTURES` many compositions of any number of elements:
jsonl.gz files with one crystal a line (`species`, and `e_above_hull` in the first). `--smact` measures SMACT beside, where it
is installed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from itertools import product
from math import gcd, inf
from pathlib import Path

from pymatgen.core import Composition

from imatgen_flows.crystals import is_charge_balanced

TABLES = Path(__file__).parents[1] / "tests" / "crystals"
BANDS = (-inf, 0.001, 0.025, 0.1, 0.2, 0.5, inf)  # eV/atom above the hull
SYSTEMS = (
    *("V-O", "Ti-O", "Fe-S", "Mn-S", "Pt-O", "Pu-O", "Zr-N", "Pd-H", "Li-P", "Na-Cl", "Al-O"),
    *("Li-V-O", "Li-P-O", "Ta-N-O", "Ba-Ti-O", "La-O-S", "Bi-S-I"),
)
MAX_SITES = {2: 20, 3: 14}  # of the compositions that are counted, by the number of elements
LARGEST_LOSS, FEWEST_FLAGGED = 0.02, 0.9  # targets: of the textbook compounds, of the impossible compositions

Rule = Callable[[Composition], bool]


def read_compositions(path: Path) -> Iterator[tuple[Composition, float | None]]:
    """Read the composition of each crystal, and its energy above the hull in eV/atom where it has one."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield Composition(Counter(row["species"])), row.get("e_above_hull")


def read_table(name: str) -> list[Composition]:
    """Read the formulas of a table of the tests."""
    with (TABLES / name).open(encoding="utf-8", newline="") as file:
        return [Composition(row["formula"]) for row in csv.DictReader(file)]


def refused(rule: Rule, compositions: Iterable[Composition]) -> tuple[int, int]:
    """Count the compositions that a rule refuses, and all."""
    verdicts = [rule(composition) for composition in compositions]
    return verdicts.count(False), len(verdicts)


def compositions_of(system: str) -> Iterator[Composition]:
    """Yield all compositions of a system with a limited number of sites, each once."""
    symbols = system.split("-")
    most = MAX_SITES[len(symbols)]
    for amounts in product(range(1, most), repeat=len(symbols)):
        if sum(amounts) <= most and reduce(gcd, amounts) == 1:
            yield Composition(dict(zip(symbols, amounts, strict=True)))


def measure(rule: Rule, given: argparse.Namespace) -> tuple[float, float]:
    """Print what a rule refuses; return the shares of textbook compounds and of impossible compositions."""
    shares = []
    for name in ("textbook_compounds.csv", "impossible_compositions.csv"):
        number, total = refused(rule, read_table(name))
        shares.append(number / total)
        print(f"| {name} | {total} | {number} | {100 * number / total:.1f} % |")
    lowest: dict[str, tuple[float, Composition]] = {}
    for composition, energy in read_compositions(given.templates):
        formula = composition.reduced_formula
        if energy is not None and energy < lowest.get(formula, (inf,))[0]:
            lowest[formula] = energy, composition
    for low, high in zip(BANDS, BANDS[1:], strict=False):
        number, total = refused(rule, (each for energy, each in lowest.values() if low <= energy < high))
        print(
            f"| binaries {low:g} to {high:g} eV/atom above the hull | {total} | {number} | {100 * number / total:.1f} % |"
        )
    structures = [composition for composition, _ in read_compositions(given.structures)]
    for seed in given.seeds:
        number, total = refused(rule, random.Random(seed).sample(structures, given.sample))
        print(f"| structures of any system, seed {seed} | {total} | {number} | {100 * number / total:.1f} % |")
    for system in SYSTEMS:
        number, total = refused(rule, compositions_of(system))
        print(f"| compositions of {system} | {total} | {number} | {100 * number / total:.0f} % |")
    return shares[0], shares[1]


def main() -> int:
    """Measure the rule, and SMACT if asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates", type=Path)
    parser.add_argument("structures", type=Path)
    parser.add_argument("--sample", type=int, default=1500, help="structures of each random sample")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--smact", action="store_true", help="also SMACT's rule, with mixed valence")
    given = parser.parse_args()
    head = "| compositions | all | refused | share |\n|---|---|---|---|"
    print(head)
    lost, flagged = measure(is_charge_balanced, given)
    if given.smact:
        from smact.screening import smact_validity

        print(f"\nSMACT\n\n{head}")
        measure(lambda composition: bool(smact_validity(composition, mixed_valence=True)), given)
    return int(lost > LARGEST_LOSS or flagged < FEWEST_FLAGGED)


if __name__ == "__main__":
    sys.exit(main())
