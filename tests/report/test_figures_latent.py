from __future__ import annotations

import json

import matplotlib
import numpy as np
import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.report import RunDirectory
from imatgen_flows.report.canvas import STYLE
from imatgen_flows.report.composition_classes import classes_of_samples
from imatgen_flows.report.figures_composition_classes import COLOURS, composition_classes
from imatgen_flows.report.figures_latent import draw_latent, latent_map


def offsets(axes):
    return [np.asarray(part.get_offsets()) for part in axes.collections]


def test_each_sampler_has_a_panel_of_its_samples_over_the_training_structures(shared_run):
    run = RunDirectory.open(shared_run)
    panels = latent_map(run).axes
    assert len(panels) == 1 + len(run.samplers)
    for axes, sampler in zip(panels[1:], run.samplers, strict=True):
        background, samples, *_ = offsets(axes)
        assert len(background) == len(run.latent["training"])
        rows = [row for row in run.mapped if row["sampler"] == sampler]
        np.testing.assert_allclose(samples, [(row["latent_x"], row["latent_y"]) for row in rows])
        assert axes.get_xlim() == panels[0].get_xlim() and axes.get_ylim() == panels[0].get_ylim()


def test_a_map_of_many_samples_shows_them_at_even_distances_and_says_how_many(shared_run, monkeypatch):
    monkeypatch.setattr("imatgen_flows.report.run_directory.MAPPED", 40)
    run = RunDirectory.open(shared_run)
    numbers = [int(row["sample"].split("-")[-1]) for row in run.mapped]
    assert numbers == [place * 3 for place in range(40)]
    for axes, sampler in zip(latent_map(run).axes[1:], run.samplers, strict=True):
        shown = sum(row["sampler"] == sampler for row in run.mapped)
        drawn = sum(row["sampler"] == sampler for row in run.rows())
        assert len(offsets(axes)[1]) == shown < drawn
        assert f"({shown} of {drawn} samples)" in axes.get_title()


def test_a_start_is_ringed_where_none_of_its_samples_is_shown(own_run, rewrite, monkeypatch):
    known = next(row for row in RunDirectory.open(own_run).latent["training"] if row["known"])
    rewrite(own_run, lambda row: row | ({"parents": [known["id"]]} if row["sample"] == "r0-perturb-000115" else {}))
    monkeypatch.setattr("imatgen_flows.report.run_directory.MAPPED", 3)
    run = RunDirectory.open(own_run)
    panels = dict(zip(["training", *run.samplers], latent_map(run).axes, strict=True))
    np.testing.assert_allclose(offsets(panels["perturb"])[-1], [(known["x"], known["y"])])


def test_the_known_phases_around_which_samples_were_drawn_are_ringed(own_run, rewrite):
    run = RunDirectory.open(own_run)
    known = next(row for row in run.latent["training"] if row["known"])
    rewrite(own_run, lambda row: row | ({"parents": [known["id"]]} if row["sampler"] == "perturb" else {}))
    run = RunDirectory.open(own_run)
    panels = dict(zip(["training", *run.samplers], latent_map(run).axes, strict=True))
    np.testing.assert_allclose(offsets(panels["perturb"])[-1], [(known["x"], known["y"])])
    assert len(offsets(panels["prior"])) == 2


def test_the_bars_of_a_class_are_its_samples(shared_run):
    run = RunDirectory.open(shared_run)
    for axes, classes in zip(composition_classes(run).axes, classes_of_samples(run).values(), strict=True):
        for each, found in classes.items():
            colour = matplotlib.colors.to_rgba(COLOURS[each])
            heights = [bar.get_height() for bar in axes.patches if bar.get_facecolor() == colour]
            assert sorted(heights) == sorted(found.values())


@pytest.fixture
def found():
    """What the evaluation may find, without one class and with it."""
    rng = np.random.default_rng(0)
    keys = ("fingerprint", "volume", "fraction")
    share = {"all": 0.3, "plane": -0.02, "shuffled": -0.1}
    measured = {"auc": 0.9, "silhouette": -0.01, "unseen": {"auc": 0.7, "structures": 4}}
    space = {
        "explained": [0.4, 0.2],
        "separation": {"all": measured, "plane": measured | {"unseen": None}},
        "diversity": {"shared": share, "explained": dict.fromkeys(keys, share)},
        "places": rng.normal(size=(40, 2)).tolist(),
    }
    training = [
        {
            "stable": (True, False, None)[number % 3],
            "seen": number % 5 > 0,
            **dict(zip(keys, rng.random(3), strict=True)),
        }
        for number in range(40)
    ]
    spaces = {name: json.loads(json.dumps(space)) for name in ("with_classifier", "without_classifier")}
    return {"training": training, "spaces": spaces, "diversity": {"properties": dict(zip(keys, keys, strict=True))}}


def test_both_maps_are_drawn_with_and_without_numbers(found, tmp_path):
    with matplotlib.rc_context(STYLE):
        whole = draw_latent(found, tmp_path / "figures")
    assert [path.name for path in whole] == ["latent_classifier.png", "latent_diversity.png"]
    for row in found["training"]:
        row["stable"] = True
    for space in found["spaces"].values():
        space["separation"] = {}
    assert all(path.stat().st_size for path in draw_latent(found, tmp_path / "figures"))


def test_a_folder_that_cannot_be_written_to_is_named(found, tmp_path):
    (tmp_path / "figures").write_text("a file is in the way")
    with pytest.raises(InputError, match="figures: cannot be written to"):
        draw_latent(found, tmp_path / "figures")
