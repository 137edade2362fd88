"""Only a structure that matches nothing known and no substituted structure is new."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.novelty import NoveltyClassifier


@pytest.fixture(scope="module")
def classifier(prototypes):
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
def test_the_class_is_the_same_however_the_crystal_is_described(
    classifier, prototypes, redescribe, name, novelty, match
):
    rng = np.random.default_rng(11)
    for structure in (prototypes[name], redescribe(prototypes[name], rng), redescribe(prototypes[name], rng)):
        found, matched, rms = classifier.classify(structure)
        assert (found, matched) == (novelty, match)
        assert isnan(rms) if novelty is Novelty.NEW else rms == pytest.approx(0, abs=1e-3)


def test_the_distance_from_the_match_grows_with_the_displacement(classifier, prototypes):
    distances = [classifier.classify(prototypes["rutile"].copy().perturb(d, seed=3))[2] for d in (0.05, 0.1, 0.2, 0.3)]
    assert distances == sorted(distances)
    assert 0.001 < distances[0] < distances[-1] < 0.3


def test_all_is_new_without_anything_to_compare_with(prototypes):
    classifier = NoveltyClassifier(known={}, substituted={})
    assert {classifier.classify(structure)[0] for structure in prototypes.values()} == {Novelty.NEW}


def test_many_are_classified_as_one_is(classifier, prototypes):
    crystals = [*prototypes.values(), prototypes["rutile"].copy().perturb(0.1, seed=2)]
    assert [found[:2] for found in classifier.classify_all(crystals)] == [
        classifier.classify(one)[:2] for one in crystals
    ]


def test_novelty_is_written_as_a_word():
    assert [novelty.value for novelty in Novelty] == ["duplicate", "known", "substituted", "new"]
