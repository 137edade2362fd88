"""Arms of a comparison: curves, best energies, summaries, differences, and the verdict on the adaptive campaign."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.matching.grouping import displacement
from imatgen_flows.metrics.arm_comparison import ArmComparison, check_adaptive
from imatgen_flows.metrics.arm_statistics import compare_arms, count_copies, summarise_arm
from imatgen_flows.metrics.arms import (
    LIMITS,
    ArmRelaxation,
    ArmRun,
    best_energies,
    common_compositions,
    find_curves,
    mean_curve,
)
from imatgen_flows.metrics.statistics import rate_interval, rate_per_1000


def one(energy=0.02, novelty="new", evaluations=10, formula="AB", moved=0.1):
    return ArmRelaxation("genetic", formula, evaluations, energy, novelty, moved)


FAILED = ArmRelaxation("genetic", "AB", 500)


def arm(relaxations, name="genetic", seed=1, budget=None, made=40, preparation=1000):
    budget = len(relaxations) if budget is None else budget
    return ArmRun(
        name, seed, budget, relaxations, made, made // 2, {name: len(relaxations)}, preparation, {"search": 2.0}
    )


relaxations = st.lists(
    st.builds(
        one,
        energy=st.floats(-0.2, 0.5),
        novelty=st.sampled_from(["new", "known", "duplicate", "substituted"]),
        evaluations=st.integers(1, 100),
        formula=st.sampled_from(["AB", "AB2"]),
    )
    | st.just(FAILED),
    max_size=30,
)


@settings(deadline=None)
@given(relaxations)
def test_a_curve_rises_from_nothing_to_the_total_and_labels_only_shift_it(tried):
    curves = find_curves(arm(tried, preparation=300))
    assert len(curves["evaluations"]) == len(tried) + 1 and curves["evaluations"][0] == 0
    assert curves["evaluations"][-1] == sum(item.evaluations for item in tried)
    assert curves["with_preparation"] == [spent + 300 for spent in curves["evaluations"]]
    ends = [curves["new"][f"{limit:g}"][-1] for limit in LIMITS]
    assert ends == sorted(ends) and ends[-1] == sum(item.is_new(0.1) for item in tried)
    assert all(np.diff(values).min(initial=0) >= 0 for values in curves["new"].values())


@settings(deadline=None)
@given(relaxations)
def test_the_steps_of_the_best_energies_fall_to_the_lowest(tried):
    for formula, steps in best_energies(tried).items():
        energies = [energy for _, energy in steps]
        own = [item.e_above_hull for item in tried if item.formula == formula and item.is_relaxed]
        assert energies == sorted(set(energies), reverse=True) and energies[-1] == min(own) and energies[0] == own[0]


@settings(deadline=None)
@given(relaxations)
def test_a_summary_counts_every_relaxation_once(tried):
    found = summarise_arm([arm(tried, budget=40), arm([one()], seed=2)])
    assert found.relaxed + found.failed == found.relaxations == len(tried) + 1
    assert found.relaxations + found.unfilled == found.budget == 41
    assert found.sun.count <= found.stable.count and found.sun.count <= found.novel.count <= found.unique.count
    assert found.evaluations == sum(item.evaluations for item in tried) + 10 and found.preparation == 2000
    assert found.given == {"genetic": len(tried) + 1} and found.wall == {"search": 4.0}


def test_what_failed_costs_its_evaluations_and_is_in_the_share_of_the_finds():
    found = summarise_arm([arm([one(), one(0.07), one(0.01, "known"), FAILED], made=8)])
    assert [finds.new for finds in found.within] == [0, 1, 2]
    assert found.near.per_1000 == pytest.approx(1000 * 2 / 530)
    assert found.near.per_1000_in_all == pytest.approx(1000 * 2 / 1530)
    assert (found.sun.count, found.sun.total, found.sun_of_made.total) == (2, 4, 8)
    assert (found.novel.count, found.novel.total, found.valid.share) == (2, 3, 0.5)
    low, high = found.near.interval
    assert (low * 530 / 4000, high * 530 / 4000) == pytest.approx(rate_interval(2, 4))
    assert found.best == 0.01


def test_nothing_has_no_rate_and_no_share():
    found = summarise_arm([arm([], budget=5)])
    assert found.near.per_1000 is None and found.sun.share is None and found.unfilled == 5 and found.best is None
    assert rate_per_1000(0, 0, 100) is None and rate_per_1000(0, 3, 0) is None


def test_seeds_that_give_the_same_relaxations_do_not_narrow_the_interval():
    tried = [one(), one(0.3), one(0.2)]
    single, copies = summarise_arm([arm(tried)]), summarise_arm([arm(tried), arm(tried, seed=2), arm(tried, seed=3)])
    assert copies.copies == 3 and copies.near.new == 3 * single.near.new
    assert copies.near.interval == pytest.approx(single.near.interval) and copies.sun.interval == single.sun.interval
    assert count_copies([arm(tried), arm(tried[:2], seed=2)]) == 1
    other = {"rattled": [arm([one(0.4)] * 5, "rattled")]}
    once, thrice = ({"genetic": [arm(tried, seed=seed) for seed in range(number)]} | other for number in (1, 3))
    assert compare_arms(once, 0) == compare_arms(thrice, 0)


def test_the_difference_of_two_arms_has_an_interval_about_it():
    good = [arm([one() if i % 2 else one(0.4) for i in range(80)], "generator")]
    poor = [arm([one(evaluations=40) if i % 8 == 0 else one(0.4, evaluations=40) for i in range(80)], "genetic")]
    *_, last = compare_arms({"genetic": poor, "generator": good}, seed=3)
    assert (last.one, last.other, last.per_1000) == ("generator", "genetic", pytest.approx(50 - 1000 * 10 / 3200))
    assert 0 < last.interval[0] < last.per_1000 < last.interval[1]
    assert compare_arms({"genetic": poor, "generator": good}, seed=3)[-1] == last


def test_where_neither_of_two_arms_finds_anything_no_interval_pretends_to_certainty():
    none = [arm([one(0.4)] * 9)]
    assert {row.interval for row in compare_arms({"a": none, "b": none, "c": [arm([])]}, seed=0)} == {None}


def test_a_mean_curve_is_that_of_its_seeds_where_all_have_one():
    grid, mean, low, high = mean_curve([([0, 10, 20], [0, 1, 2]), ([0, 15, 40], [0, 4, 4])])
    assert (grid[0], grid[-1]) == (0, 20) and (mean[0], mean[-1]) == (0, 3)
    assert (low[-1], high[-1]) == (2, 4) and np.all((low <= mean) & (mean <= high))


def test_compositions_of_most_runs_come_first():
    runs = [arm([one(formula="AB2")] * 5), arm([one(formula="AB"), one(formula="AB2")]), arm([one(formula="AB")])]
    assert common_compositions(runs) == ["AB2", "AB"]
    assert common_compositions([arm([FAILED])]) == []


def rates(**numbers):
    return {
        name: summarise_arm([arm([one()] * found + [one(0.4)] * (20 - found), name)]) for name, found in numbers.items()
    }


def test_the_verdict_says_whether_the_adaptive_campaign_is_worth_it():
    good = check_adaptive(rates(generator=10, genetic=4, equal=7, adaptive=9))
    assert good.best_arm == "generator" and good.share_of_best == pytest.approx(0.9)
    assert "reaches 85% of the best single source, generator: 45.00 of 50.00" in good.sentence
    assert good.sentence.endswith("it finds more than equal shares, 35.00.")
    poor = check_adaptive(rates(generator=10, equal=8, adaptive=8))
    assert "does not reach" in poor.sentence and "no more than equal" in poor.sentence
    assert "No single source found anything" in check_adaptive(rates(genetic=0, adaptive=0)).sentence
    assert check_adaptive(rates(generator=3, equal=4)) is None and check_adaptive(rates(adaptive=3)) is None
    assert check_adaptive(rates(generator=3, adaptive=4)).equal is None


def test_a_comparison_holds_each_run_and_each_pair():
    runs = [arm([one(), one(0.3)], name, seed) for name in ("genetic", "rattled", "adaptive") for seed in (1, 2)]
    found = ArmComparison.of(runs).to_dict()
    assert {(run["arm"], run["seed"]) for run in found["runs"]} == {(run.arm, run.seed) for run in runs}
    assert len(found["differences"]) == 3 * len(LIMITS)
    assert set(found["arms"]["genetic"]["seeds"]) == {"1", "2"}


def test_displacement_is_that_of_pymatgen():
    proposed = Structure.from_spacegroup(136, Lattice.tetragonal(4.6, 2.9), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    relaxed = proposed.copy()
    relaxed.scale_lattice(1.3 * relaxed.volume)
    relaxed.translate_sites([0], [0.02, 0.01, 0.0])
    expected, _ = StructureMatcher().get_rms_dist(relaxed, proposed)
    assert displacement(proposed, relaxed) == pytest.approx(expected, rel=1e-3)
    other = Structure(Lattice.cubic(4.0), ["V", "O", "O"], [[0, 0, 0], [0.5, 0.1, 0], [0, 0.5, 0.5]])
    assert displacement(proposed, other) is None


def test_what_was_stopped_as_known_did_not_fail_and_costs_what_it_spent():
    stopped = ArmRelaxation("genetic", "AB", 12, was_known=True)
    summary = summarise_arm([arm([one(), stopped, FAILED, stopped])])
    assert (summary.relaxed, summary.stopped, summary.failed, summary.evaluations) == (1, 2, 1, 534)
