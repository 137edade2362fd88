"""Files of a comparison of arms: all numbers as JSON, a table with a row for each arm and seed, and the figure."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from imatgen_flows.io.files import write_atomic
from imatgen_flows.metrics.arm_comparison import ArmComparison
from imatgen_flows.metrics.arm_statistics import ArmSummary, summarise_arm
from imatgen_flows.report.canvas import save
from imatgen_flows.report.figures_arms import arms

NAME = "baselines"
POOLED = "all"  # in place of a seed
SHARES = ("stable", "sun", "sun_of_made", "unique", "novel", "matched", "valid")


def write_comparison(comparison: ArmComparison, facts: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Write `baselines.json`, `baselines.csv` and `baselines.png`.

    Parameters
    ----------
    comparison : of the arms
    facts : what else the JSON says, such as the settings; `potential` is the energy scale
    directory : that exists

    Returns
    -------
    what the JSON holds
    """
    found: dict[str, Any] = json.loads(json.dumps(facts | comparison.to_dict()))
    write_atomic(directory / f"{NAME}.json", json.dumps(found, indent=1))
    write_atomic(directory / f"{NAME}.csv", _table(comparison))
    save({NAME: lambda: arms(comparison, str(facts["potential"]))}, directory)
    return found


def _table(comparison: ArmComparison) -> str:
    """Write a row for each arm and seed, and one for all seeds of each arm."""
    rows = []
    for arm, runs in comparison.runs.items():
        rows += [flat_row(summarise_arm([run]), str(run.seed)) for run in runs]
        rows.append(flat_row(comparison.pooled[arm], POOLED))
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def flat_row(summary: ArmSummary, seed: str) -> dict[str, Any]:
    """Write a summary as one row; what does not exist is empty."""
    row: dict[str, Any] = {"arm": summary.arm, "seed": seed}
    for name in ("budget", "relaxations", "unfilled", "relaxed", "stopped", "failed", "evaluations", "preparation"):
        row[name] = getattr(summary, name)
    for finds in summary.within:
        key = f"new_{finds.e_above_hull:g}"
        row[key] = finds.new
        row |= _with_interval(f"{key}_per_1000", finds.per_1000, finds.interval)
        row |= _with_interval(f"{key}_per_1000_in_all", finds.per_1000_in_all, finds.interval_in_all)
    for name in SHARES:
        share = getattr(summary, name)
        row |= _with_interval(name, share.share, share.interval)
    row |= {"rmsd": _rounded(summary.rmsd), "best_e_above_hull": _rounded(summary.best)}
    for kind in ("wall", "cpu"):
        row |= {f"{kind}_{purpose}_s": value for purpose, value in getattr(summary, kind).items()}
    row["given"] = " ".join(f"{source}={number}" for source, number in summary.given.items())
    return row


def _with_interval(name: str, value: float | None, interval: tuple[float, float] | None) -> dict[str, Any]:
    low, high = interval if interval is not None and value is not None else (None, None)
    return {name: _rounded(value), f"{name}_low": _rounded(low), f"{name}_high": _rounded(high)}


def _rounded(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)
