"""Compare two runs of the same campaign, and print what differs; nothing where they agree.

Built to show that a change of the code changes no result: ``python benchmarks/compare_runs.py BEFORE AFTER``. A run of
version 1 is read under the names of today.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Row = dict[str, Any]

# names of version 1 -> names of today
COLUMNS = {"method": "sampler"}
SAMPLERS = {"random": "prior", "around_known": "perturb"}
NOVELTY = {"closure": "substituted"}
REASONS = {"closure": "substituted"}
EXACT = (
    "id",
    "round",
    "sampler",
    "parents",
    "seed",
    "state",
    "rejected_stage",
    "rejected_reason",
    "formula",
    "nsites",
    "count_matches",
    "repaired",
    "spacegroup",
    "novelty",
    "novelty_match",
    "evaluations",
    "steps",
    "validation_evaluations",
    "scale",
)
NUMBERS = (
    "residual",
    "min_distance",
    "energy_per_atom",
    "formation_energy",
    "e_above_hull",
    "validated_e_above_hull",
    "volume_per_atom",
)


def read_rows(run: Path) -> dict[str, Row]:
    """Read the candidates of a run by sample, under today's names."""
    rows = {}
    for old in pq.read_table(run / "candidates.parquet").to_pylist():
        row = {COLUMNS.get(name, name): value for name, value in old.items()}
        row["sampler"] = SAMPLERS.get(row["sampler"], row["sampler"])
        row["novelty"] = NOVELTY.get(row["novelty"], row["novelty"])
        row["rejected_reason"] = REASONS.get(row["rejected_reason"], row["rejected_reason"])
        row["parents"] = [rename(parent) for parent in row["parents"]]
        row["novelty_match"] = rename(row["novelty_match"])
        rows[rename(row["sample"])] = row
    return rows


def rename(text: str) -> str:
    """Write the samplers in the names of samples as they are called today."""
    return re.sub(r"\b(r\d+)-(random|around_known)-", lambda found: f"{found[1]}-{SAMPLERS[found[2]]}-", text)


def compare_rows(before: dict[str, Row], after: dict[str, Row], tolerance: float) -> list[str]:
    """Say in a line each what differs between the candidates of two runs."""
    lines = [f"{name}: only before" for name in before if name not in after]
    lines += [f"{name}: only after" for name in after if name not in before]
    for name, old in before.items():
        if name not in after:
            continue
        new = after[name]
        lines += [f"{name}: {key} {old[key]!r} -> {new[key]!r}" for key in EXACT if old[key] != new[key]]
        for key in NUMBERS:
            one, other = old[key], new[key]
            if (one is None) != (other is None) or (one is not None and abs(one - other) > tolerance):
                lines.append(f"{name}: {key} {one} -> {other}")
    return lines


def compare_ledgers(before: Row, after: Row) -> list[str]:
    """Say what differs between two ledgers: samples, final states, rejections, evaluations."""

    def rejections(ledger: Row) -> dict[tuple[str, str], int]:
        return {(row["stage"], REASONS.get(row["reason"], row["reason"])): row["count"] for row in ledger["rejections"]}

    lines = [
        f"ledger: {key} {before[key]} -> {after[key]}"
        for key in ("samples", "states", "evaluations", "evaluations_total")
        if before[key] != after[key]
    ]
    if rejections(before) != rejections(after):
        lines.append(f"ledger: rejections {rejections(before)} -> {rejections(after)}")
    return lines


def main() -> int:
    """Compare, print, and return 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="run directory")
    parser.add_argument("after", type=Path, help="run directory")
    parser.add_argument("--tolerance", type=float, default=0.0, help="of numbers, in their units")
    given = parser.parse_args()
    before, after = read_rows(given.before), read_rows(given.after)
    ledgers = [json.loads((run / "ledger.json").read_text()) for run in (given.before, given.after)]
    lines = compare_rows(before, after, given.tolerance) + compare_ledgers(*ledgers)
    print("\n".join(lines) if lines else "no difference")
    compared = len(EXACT) + len(NUMBERS)
    print(f"{len(before):,} and {len(after):,} candidates, {compared} columns, ledgers: {len(lines):,} differences")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
