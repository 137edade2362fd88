"""Is the loop better? Rounds that learn from each other, beside one long round with the same energy evaluations.

Both arms of a seed share dataset, labels, references and the first training; both draw and relax the same numbers in
all. Both are measured by the potential. Where one arm has spent more, candidates of its last round are removed at random
until it has not; the mean over many such draws is counted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t

SAMPLES = {"slerp": 120, "prior": 80, "perturb": 40}  # of one round of three
RELAXED = 24
ROUNDS = 3
WITHIN = 0.1  # eV/atom above the hull
DRAWS = 2000


def arms(seed: int) -> dict[str, dict]:
    """Return the campaign sections of the loop and of the long round."""
    common = {
        "system": ["V", "O"],
        "limits": {"max_sites": 12, "max_edge": 8},
        "model": {"seed": seed, "epochs": 0.5, "fine_tune": 0.3},
    }
    long = {name: number * ROUNDS for name, number in SAMPLES.items()}
    return {
        "loop": common | {"sampling": SAMPLES, "screen": {"at_most": RELAXED}, "rounds": {"at_most": ROUNDS}},
        "long round": common | {"sampling": long, "screen": {"at_most": RELAXED * ROUNDS}},
    }


def run(sections: dict, directory: Path, shared: Path) -> list[dict]:
    """Run an arm and return what it relaxed; jobs that another arm has finished are found in `shared`."""
    import pyarrow.parquet as pq

    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.managers.local import run_campaign

    config = CampaignConfig.model_validate(sections)
    if not (directory / "rounds.json").is_file():
        directory.mkdir(parents=True, exist_ok=True)
        config.to_file(directory / "campaign.yaml")
        if not (directory / "artifacts").exists():
            (directory / "artifacts").symlink_to(shared.absolute())
        run_campaign(config, directory, resume=True)
    return [row for row in pq.read_table(directory / "candidates.parquet").to_pylist() if row["evaluations"]]


def found_within(rows: list[dict], budget: int, random: np.random.Generator) -> float:
    """Count new structures near the hull among rows that together cost at most the budget, the last round thinned."""
    last = max(row["round"] for row in rows)
    thinned = [row for row in rows if row["round"] == last]
    kept = [row for row in rows if row["round"] != last]
    spent = sum(row["evaluations"] for row in kept)
    counts = []
    for _ in range(DRAWS):
        order = random.permutation(len(thinned))
        costs = np.cumsum([thinned[i]["evaluations"] for i in order])
        taken = [thinned[i] for i, cost in zip(order, costs, strict=True) if spent + cost <= budget]
        counts.append(sum(is_hit(row) for row in (*kept, *taken)))
    return float(np.mean(counts))


def is_hit(row: dict) -> bool:
    """Whether a candidate is new and near the hull."""
    return row["novelty"] == "new" and row["e_above_hull"] is not None and row["e_above_hull"] <= WITHIN


def main() -> int:
    """Run all arms and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the runs lie; finished ones are not repeated")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    given = parser.parse_args()
    (given.directory / "shared").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    rows, gains = [], []
    for seed in given.seeds:
        relaxed = {
            name: run(sections, given.directory / f"{name.replace(' ', '-')}-{seed}", given.directory / "shared")
            for name, sections in arms(seed).items()
        }
        budget = min(sum(row["evaluations"] for row in part) for part in relaxed.values())
        found = {name: found_within(part, budget, random) for name, part in relaxed.items()}
        rows.append({"seed": seed, "evaluations": budget, **{name: round(value, 1) for name, value in found.items()}})
        gains.append(found["loop"] - found["long round"])
        print(json.dumps(rows[-1]), flush=True)
    mean, n = float(np.mean(gains)), len(gains)
    half = t.ppf(0.975, n - 1) * np.std(gains, ddof=1) / np.sqrt(n) if n > 1 else float("nan")
    print(
        f"new within {WITHIN} eV/atom, loop less long round: {mean:+.1f} (95 % {mean - half:+.1f} to {mean + half:+.1f})"
    )
    if n > 1:  # where the report of each loop looks for it
        result = {"seeds": given.seeds, "rows": rows, "within": WITHIN}
        result |= {"mean": mean, "low": mean - half, "high": mean + half}
        for seed in given.seeds:
            (given.directory / f"loop-{seed}" / "loop.json").write_text(json.dumps(result, indent=1))
    return 0 if mean > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
