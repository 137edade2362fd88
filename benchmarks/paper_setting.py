"""The paper's own setting: a few compositions and pressures, 400 optimisations each, beside a genetic algorithm.

V3O4 with one and with two formula units in the cell and V5O8, at 0, 10 and 100 GPa. Each case is a campaign file, which
`imatgen evaluate baselines` runs by each arm: the genetic algorithm, the generator, and both together with adaptive shares. A
benchmark that was stopped goes on with the same command.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CONTENTS = (("V3O4", 7), ("V3O4", 14), ("V5O8", 13))  # formula, sites of the cell
PRESSURES = (0, 10, 100)  # GPa
RELAXATIONS = 400
ARMS = "generator,genetic,adaptive"


@dataclass(frozen=True)
class Case:
    """One composition in one size of the cell, at one pressure."""

    formula: str
    sites: int
    pressure: int

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.formula}-{self.sites}-sites-{self.pressure}-GPa"

    def campaign(self, relaxations: int, potential: str) -> dict[str, Any]:
        """Write its campaign file as plain values."""
        return {
            "name": f"{self.formula}, {self.sites} sites, {self.pressure} GPa",
            "system": ["V", "O"],
            "search": {"compositions": [self.formula], "sites": str(self.sites), "pressure": self.pressure},
            "labels": {"potential": potential},
            "screen": {"potential": potential, "at_most": relaxations},
        }


CASES = [Case(*content, pressure) for content, pressure in itertools.product(CONTENTS, PRESSURES)]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the campaigns lie; finished ones are not repeated")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="some of them (default: all)")
    parser.add_argument("--seeds", default="11", help="with commas between (default: %(default)s)")
    parser.add_argument("--arms", default=ARMS, help="with commas between (default: %(default)s)")
    parser.add_argument("--relaxations", type=int, default=RELAXATIONS, help="of each campaign (default: %(default)s)")
    parser.add_argument("--potential", default="chgnet", help="(default: %(default)s)")
    parser.add_argument(
        "--write", action="store_true", help="write the campaign files, print the commands, run nothing"
    )
    return parser.parse_args(words)


def command(file: Path, given: argparse.Namespace) -> list[str]:
    """Write the command that compares the arms of one case."""
    options = ["--seeds", given.seeds, "--arms", given.arms, "--relaxations", str(given.relaxations)]
    return ["imatgen", "evaluate", "baselines", str(file), *options, "--out", str(file.with_suffix(""))]


def compare(file: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run the arms of one case, and read what they found."""
    from imatgen_flows.cli.evaluate_arms import compare_campaigns

    out = file.with_suffix("")
    compare_campaigns(file, out, False, given.seeds, given.arms, given.relaxations, None)
    found: dict[str, Any] = json.loads((out / "baselines.json").read_text())
    return found


def lowest(found: dict[str, Any], formula: str) -> dict[str, tuple[float, int]]:
    """Find for each arm its lowest E_hull of a composition, eV/atom, and the evaluations until then, over all seeds."""
    best: dict[str, tuple[float, int]] = {}
    for run in found["runs"]:
        for spent, energy in run["best"].get(formula, []):
            best[run["arm"]] = min(best.get(run["arm"], (energy, spent)), (energy, spent))
    return best


def main() -> int:
    """Run all cases and print the table."""
    given = arguments()
    given.directory.mkdir(parents=True, exist_ok=True)
    rows = []
    for case in CASES:
        if given.cases and case.name not in given.cases:
            continue
        file = given.directory / f"{case.name}.yaml"
        file.write_text(yaml.safe_dump(case.campaign(given.relaxations, given.potential), sort_keys=False))
        if given.write:
            print(shlex.join(command(file, given)))
            continue
        rows.append((case.name, lowest(compare(file, given), case.formula)))
    for name, best in rows:
        print(
            f"{name}: "
            + "; ".join(f"{arm} {energy:.3f} eV/atom after {spent:,}" for arm, (energy, spent) in best.items())
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
