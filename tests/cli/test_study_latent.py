"""The command `imatgen study latent` over a whole run, and what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml

from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.documents import LabelDocument


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    small = {"slerp": 12, "prior": 4, "perturb": 4}
    return run_once_trained(tiny(sampling=small), tmp_path_factory.mktemp("latent") / "run")


def test_both_latent_spaces_are_measured_and_drawn_and_a_second_call_trains_nothing(imatgen, run):
    before = (run / "latent.json").read_bytes()
    code, text, error = imatgen("study", "latent", run, "--json")
    assert code == 0, error
    found = json.loads(text)
    assert found == json.loads((run / "latent_classifier.json").read_text())
    assert (run / "latent.json").read_bytes() == before  # the run's own map, which has another meaning

    dataset = json.loads(before)["training"]
    assert [row["id"] for row in found["training"]] == [row["id"] for row in dataset]
    for row, (x, y), mine in zip(dataset, found["spaces"]["with_classifier"]["places"], found["training"], strict=True):
        assert (row["x"], row["y"]) == pytest.approx((x, y), abs=1e-4)  # the run's own network, read back
        assert row["stable"] == mine["stable"]
    assert sum(row["seen"] for row in found["training"]) == found["counts"]["training"]
    parts = {name: space["separation"]["all"] for name, space in found["spaces"].items()}
    assert parts["with_classifier"]["auc"] >= parts["without_classifier"]["auc"] - 0.05
    assert found["note"] == "" and len(found["auc_lead"]) == 2
    for name in ("latent_classifier", "latent_diversity"):
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")

    [checkpoint] = (run / "artifacts" / "scratch").glob("latent-*/checkpoint.pt")
    trained = checkpoint.stat().st_mtime_ns
    code, again, error = imatgen("study", "latent", run)
    assert code == 0, error
    assert "without" in again and "classifier" in again
    assert json.loads((run / "latent_classifier.json").read_text()) == found
    assert checkpoint.stat().st_mtime_ns == trained


def test_where_all_are_stable_the_map_is_drawn_and_it_is_said_why_nothing_parts(imatgen, run, tmp_path):
    place = tmp_path / "stable"
    shutil.copytree(run, place)
    store = ArtifactStore(place / "artifacts")
    [path] = (store.root / "documents").glob("label_dataset-*.json")
    document = store.finished(path.stem)
    rows = [row | {"stable": True} for row in read_lines(LabelDocument(**document).labels)]
    document["labels"] = store.put_lines("labels", rows).model_dump()
    path.write_text(json.dumps(document))

    code, text, error = imatgen("study", "latent", place)
    assert code == 0, error
    assert "no training structure is unstable" in text and "labels.stable_below" in text and "AUC" not in text
    found = json.loads((place / "latent_classifier.json").read_text())
    assert found["counts"]["unstable"] == 0 and found["auc_lead"] is None
    assert all(space["separation"] == {} and space["places"] for space in found["spaces"].values())
    assert (place / "figures" / "latent_classifier.png").is_file()


def test_what_is_no_run_or_lost_its_networks_is_refused_in_a_sentence(imatgen, run, tmp_path):
    code, _, error = imatgen("study", "latent", tmp_path)
    assert code == 2 and "not a run directory" in error

    place = tmp_path / "damaged"
    shutil.copytree(run, place)
    for path in (place / "artifacts" / "objects").glob("weights-vae*"):
        path.unlink()
    code, _, error = imatgen("study", "latent", place)
    assert code == 2 and "missing or damaged" in error and "--resume" in error

    place = tmp_path / "imported"
    shutil.copytree(run, place)
    campaign = yaml.safe_load((place / "campaign.yaml").read_text())
    (place / "campaign.yaml").write_text(
        yaml.safe_dump(campaign | {"model": campaign["model"] | {"start": "other.imatgen"}})
    )
    code, _, error = imatgen("study", "latent", place)
    assert code == 2 and "model.start" in error
