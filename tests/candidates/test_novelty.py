"""Only what nobody knew and nobody could have substituted is new."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from imatgen_flows.candidates.novelty import Novelty, NoveltyClassifier


@pytest.fixture(scope="module")
def judge(prototypes):
    return NoveltyClassifier(
        known={"VO2 (rutile)": prototypes["rutile"]},
        substituted={
            "mp-1:Sn=V": prototypes["rutile"],
            "mp-2:Ca=V,F=O": prototypes["fluorite"],
            "mp-3:Na=V,Cl=O": prototypes["rocksalt"],
        },
    )


@pytest.mark.parametrize(
    ("name", "novelty", "match"),
    [
        ("rutile", Novelty.KNOWN, "VO2 (rutile)"),
        ("fluorite", Novelty.SUBSTITUTED, "mp-2:Ca=V,F=O"),
        ("rocksalt", Novelty.SUBSTITUTED, "mp-3:Na=V,Cl=O"),
        ("caesium chloride", Novelty.NEW, ""),
        ("zincblende", Novelty.NEW, ""),
    ],
)
def test_the_class_is_the_same_however_the_crystal_is_described(judge, prototypes, retold, name, novelty, match):
    rng = np.random.default_rng(11)
    for structure in (prototypes[name], retold(prototypes[name], rng), retold(prototypes[name], rng)):
        found, matched, rms = judge.classify(structure)
        assert (found, matched) == (novelty, match)
        assert isnan(rms) if novelty is Novelty.NEW else rms == pytest.approx(0, abs=1e-3)


def test_the_distance_from_the_match_grows_with_the_displacement(judge, prototypes):
    distances = [judge.classify(prototypes["rutile"].copy().perturb(d, seed=3))[2] for d in (0.05, 0.1, 0.2, 0.3)]
    assert distances == sorted(distances)
    assert 0.001 < distances[0] < distances[-1] < 0.3


def test_all_is_new_to_a_judge_who_knows_nothing(prototypes):
    judge = NoveltyClassifier(known={}, substituted={})
    assert {judge.classify(structure)[0] for structure in prototypes.values()} == {Novelty.NEW}


def test_many_are_classified_as_one_is(judge, prototypes):
    crystals = [*prototypes.values(), prototypes["rutile"].copy().perturb(0.1, seed=2)]
    assert [verdict[:2] for verdict in judge.classify_all(crystals)] == [judge.classify(one)[:2] for one in crystals]


def test_novelty_is_written_as_a_word():
    assert [novelty.value for novelty in Novelty] == ["duplicate", "known", "substituted", "new"]
