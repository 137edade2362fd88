"""Files of a comparison of arms, where there is much, little, or nothing to show."""

from __future__ import annotations

import csv
import json

import pytest

from imatgen_flows.metrics.arm_comparison import ArmComparison
from imatgen_flows.metrics.arms import ArmRelaxation, ArmRun
from imatgen_flows.report.arms import write_comparison

NEW, FAILED = ArmRelaxation("genetic", "AB2", 20, 0.03, "new", 0.1), ArmRelaxation("genetic", "AB", 90)


@pytest.mark.parametrize("tried", [[], [FAILED], [NEW], [NEW, FAILED, NEW] * 9], ids=len)
@pytest.mark.parametrize("arms", [("genetic",), ("generator", "genetic", "files", "adaptive")], ids=len)
def test_the_files_are_written_whatever_was_found(tried, arms, tmp_path):
    runs = [ArmRun(arm, seed, 30, tried, 40, 35, {"genetic": len(tried)}, 500) for arm in arms for seed in (1, 2)]
    found = write_comparison(ArmComparison.of(runs), {"potential": "toy"}, tmp_path)
    assert json.loads((tmp_path / "baselines.json").read_text()) == found
    assert (tmp_path / "baselines.png").stat().st_size > 10_000
    with (tmp_path / "baselines.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3 * len(arms) and {row["unfilled"] for row in rows[:2]} == {str(30 - len(tried))}
