"""The verdict of several potentials: it follows from the votes alone, and a vote that is lost is no vote."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imatgen_flows.candidates.classes import CommitteeVerdict
from imatgen_flows.candidates.committee import Vote, decide, most_trusted_first

DISTANCES = st.lists(st.one_of(st.none(), st.floats(-1, 1, allow_nan=False)), min_size=1, max_size=4)


def votes_of(distances):
    return [Vote(f"p{number}", distance) for number, distance in enumerate(distances)]


@given(DISTANCES, st.floats(0.01, 0.3))
def test_the_verdict_follows_from_mean_and_largest_vote_in_any_order(distances, threshold):
    made = [decide(votes_of(order), threshold) for order in itertools.permutations(distances)]
    (verdict,) = {one.verdict for one in made}
    cast = [distance for distance in distances if distance is not None]
    assert (verdict is CommitteeVerdict.UNDECIDED) == (len(cast) < 2)
    assert (verdict is CommitteeVerdict.AGREED) == (len(cast) > 1 and all(distance <= threshold for distance in cast))
    if verdict is CommitteeVerdict.DISPUTED:
        assert min(cast) <= made[0].mean <= threshold < max(cast)
    if verdict is CommitteeVerdict.REFUSED:
        assert made[0].mean > threshold


@given(DISTANCES)
def test_a_lost_vote_changes_no_number(distances):
    cast = [distance for distance in distances if distance is not None]
    both = decide(votes_of(distances), 0.1), decide(votes_of(cast), 0.1)
    for name in ("verdict", "mean", "spread"):
        assert getattr(both[0], name) == getattr(both[1], name)


def test_columns_name_each_potential_and_say_why_a_vote_is_lost():
    row = decide([Vote("chgnet", 0.02), Vote("sevennet", 0.0611), Vote("mace", None, "crashed")], 0.1).to_row()
    assert row["committee"] == "agreed"
    assert row["committee_votes"] == ["chgnet: 0.020", "sevennet: 0.061", "mace: no vote (crashed)"]
    assert row["committee_mean"] == pytest.approx(0.04055) and row["committee_spread"] == pytest.approx(0.0411)


def test_what_is_agreed_on_goes_to_dft_first_and_what_is_refused_last():
    rows = [
        {"sample": verdict, "committee": verdict, "e_above_hull": distance}
        for verdict, distance in [("refused", 0.0), ("", 0.01), ("agreed", 0.1), ("disputed", 0.02), ("undecided", 0.0)]
    ]
    rows.append({"sample": "lower", "committee": "agreed", "e_above_hull": 0.05})
    assert [row["sample"] for row in sorted(rows, key=most_trusted_first)] == [
        "lower", "agreed", "disputed", "undecided", "", "refused",
    ]  # fmt: skip
