"""Trained networks leave a run as a file, and another campaign begins with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.documents import InputFile
from imatgen_flows.jobs.import_network import import_network
from imatgen_flows.jobs.model_export import export_model
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.sample_candidates import sample_candidates
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.preflight import check_machine
from imatgen_flows.models.model_file import read_model
from imatgen_flows.models.registry import ROLES

pytestmark = pytest.mark.slow
TRAINING = (train_autoencoder, train_vae)
SAMPLING = {"slerp": 120, "prior": 40, "perturb": 10}  # enough for a find, without which there is no second round


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    return run_once_trained(tiny(name="vo", sampling=SAMPLING), tmp_path_factory.mktemp("models") / "first")


@pytest.fixture(scope="module")
def model(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "vo.safetensors"
    export_model(run, path)
    return path


@pytest.fixture(scope="module")
def campaign(tiny, model):
    def build(fine_tune, **sections):
        settings = {"epochs": 0.06, "start": str(model), "fine_tune": fine_tune}
        return tiny(model=settings | sections.pop("model", {}), **sections)

    return build


@pytest.fixture(scope="module")
def sampled(campaign, tmp_path_factory):
    """Two rounds that only sample: what the first has found changes where the second looks, not the networks."""
    screen = {"potential": "toy", "at_most": 6, "batch_size": 3, "max_steps": 100, "fmax": 0.3, "threshold": 2.0}
    config = campaign(0, rounds={"at_most": 2}, screen=screen, sampling=SAMPLING)
    return run_campaign(config, tmp_path_factory.mktemp("models") / "sampled")


@pytest.fixture(scope="module")
def tuned(campaign, tmp_path_factory):
    return run_campaign(campaign(0.3), tmp_path_factory.mktemp("models") / "tuned")


@pytest.fixture(scope="module")
def networks(documents):
    """Read the networks that a run trained or imported, by role."""

    def read(directory, *jobs):
        return {document.role: document for document in documents(directory, *jobs)}

    return read


def rows_of(directory, number=0):
    rows = pq.read_table(directory / "candidates.parquet").to_pylist()
    return [row for row in rows if row["round"] == number]


@pytest.fixture(scope="module")
def first_samples(documents):
    """Read the document of the first round's samples."""

    def read(directory):
        (first,) = (document for document in documents(directory, sample_candidates) if document.seed == 7)
        return first

    return read


@pytest.fixture(scope="module")
def first_latents(first_samples):
    """Read the latent vectors of the first round's samples, and of the training structures."""
    return lambda directory: np.load(first_samples(directory).extra["latents"].path())


def test_networks_that_only_sample_give_the_same_samples_as_in_their_own_run(
    run, sampled, first_samples, first_latents
):
    ours, theirs = first_latents(sampled), first_latents(run)
    for name in ("samples", "training"):
        assert np.array_equal(ours[name], theirs[name])
    # structures are equal to the byte
    (decoded,), (expected,) = (first_samples(of).candidates.structures["decoded"] for of in (sampled, run))
    assert decoded.sha256 == expected.sha256
    kept = ("sample", "id", "sampler", "seed", "parents", "latent_x", "formula", "nsites", "residual", "state")
    drawn = [{key: row[key] for key in kept if row["state"] == "rejected"} for row in rows_of(sampled)]
    assert drawn == [{key: row[key] for key in kept if row["state"] == "rejected"} for row in rows_of(run)]
    assert [row["e_above_hull"] for row in rows_of(sampled)] == [row["e_above_hull"] for row in rows_of(run)]


def test_nothing_is_trained_where_networks_only_sample_in_any_round(run, sampled, networks):
    assert rows_of(sampled, 1)
    assert not networks(sampled, *TRAINING)
    trained = networks(run, *TRAINING)
    imported = networks(sampled, import_network)
    assert set(imported) == set(ROLES)
    for role, network in imported.items():
        assert network.weights.sha256 == trained[role].weights.sha256
        assert (network.epochs, network.loss) == (trained[role].epochs, trained[role].loss)


def test_training_goes_on_from_the_weights_of_the_file(run, tuned, networks):
    anew = networks(run, *TRAINING)
    further = networks(tuned, *TRAINING)
    imported = networks(tuned, import_network)
    for role in ("basis", "vae"):
        first, last = (read_lines(document.metrics) for document in (further[role], anew[role]))
        assert first[0]["loss"] < last[0]["loss"]  # after one epoch each
        assert 0 < further[role].epochs < anew[role].epochs
        assert imported[role].key in further[role].parents
        assert further[role].weights.sha256 != anew[role].weights.sha256
    assert further["cell"].weights.sha256 == anew["cell"].weights.sha256  # codes of cells keep their meaning


def test_the_card_says_what_the_networks_were_trained_on_and_how_well(run, model, documents, networks):
    card, _networks = read_model(model)
    (dataset,) = documents(run, build_dataset)
    (reconstruction,) = documents(run, evaluate_reconstruction)
    trained = networks(run, *TRAINING)
    assert card.elements == dataset.elements == ["V", "O"] and card.data["system"] == ["V", "O"]
    assert card.data["counts"] == dataset.counts and card.data["templates"]["source"] == "prototypes"
    assert card.data["labels"]["potential"] == "toy" and card.data["limits"]["max_sites"] == 4
    assert card.reconstruction == reconstruction.summaries
    for role, network in trained.items():
        assert card.training[role]["losses"] == [row["loss"] for row in read_lines(network.metrics)]
        assert card.training[role]["seed"] == 7 and card.preset[role]["code" if role != "vae" else "latent"]
    assert {"imatgen_flows", "torch"} <= set(card.versions)
    held_out = set(card.data["unseen_templates"])
    templates = {row["template"] for row in read_lines(dataset.crystals) if not row["known"]}
    assert held_out < templates and len(held_out) == round(0.1 * len(templates)) > 0


def test_only_what_no_training_has_seen_counts_as_held_out(campaign, run, documents, tmp_path):
    """With another seed other templates are held out; those that the imported networks saw do not count."""
    config = campaign(0.3, model={"epochs": 0.02, "seed": 8})
    directory = run_campaign(config, tmp_path / "other-seed")
    export_model(directory, tmp_path / "further.safetensors")
    before, after = (
        set(read_model(path)[0].data["unseen_templates"])
        for path in (Path(config.model.start), tmp_path / "further.safetensors")
    )
    assert after < before
    (dataset,) = documents(directory, build_dataset)
    (found,) = documents(directory, evaluate_reconstruction)
    templates = {row["id"]: row["template"] for row in read_lines(dataset.crystals)}
    unseen = {templates[row["id"]] for row in read_lines(found.errors) if not row["training"]}
    assert unseen == after and ("images_held_out" in found.summaries) == bool(after)


def test_a_model_travels_on_from_a_run_that_only_sampled(sampled, model, tmp_path):
    path, card = export_model(sampled, tmp_path)
    before, _networks = read_model(model)
    assert path == tmp_path / "sampled.safetensors"
    assert card.sha256 == before.sha256 and card.training == before.training
    assert (card.data["start"], card.data["fine_tune"]) == ("vo.safetensors", 0)
    assert card.data["unseen_templates"] == before.data["unseen_templates"]


def test_a_model_that_does_not_fit_is_refused_before_anything_is_made(campaign, tiny, model, tmp_path):
    faults = {
        "trained on V-O, the campaign is of Ti-O": campaign(0, system=("Ti", "O")),
        "the campaign has {preset: default, grid: 64}": campaign(0.3, model={"grid": 64}),
        "the campaign has {preset: paper, grid: 64}": campaign(0.3, model={"preset": "paper"}),
        "no such model file": tiny(model={"start": tmp_path / "nowhere.safetensors"}),
    }
    for words, config in faults.items():
        (check,) = (item for item in check_machine(config) if item.name == "model")
        assert not check.ok and words in check.detail
        with pytest.raises(InputError) as caught:
            run_campaign(config, tmp_path / "never")
        assert words in str(caught.value) and not (tmp_path / "never").exists()
    (check,) = (item for item in check_machine(campaign(0.3)) if item.name == "model")
    assert check.ok and "V-O" in check.detail


def test_submission_refuses_it_too(campaign, tmp_path):
    from imatgen_flows.cluster import ClusterConfig
    from imatgen_flows.managers.campaigns import submit_campaign

    profiles = ("light", "gpu_train", "gpu_relax", "cpu_vasp")
    profile = {"partition": "work", "walltime": "01:00:00"}
    (tmp_path / "cluster").mkdir()
    cluster = {"python": str(tmp_path), "database": {"embedded": True}, "profiles": dict.fromkeys(profiles, profile)}
    ClusterConfig.model_validate(cluster).to_directory(tmp_path / "cluster")
    with pytest.raises(InputError, match="trained on V-O, the campaign is of Ti-O"):
        submit_campaign(campaign(0.3, system=("Ti", "O")), tmp_path / "never", tmp_path / "cluster")
    assert not (tmp_path / "never").exists()


def test_a_damaged_model_is_refused_before_anything_is_made(tiny, model, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(model.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(InputError, match="the weights of vae are not those that were written"):
        run_campaign(tiny(model={"start": damaged}), tmp_path / "never")
    damaged.write_bytes(content[:-1])
    with pytest.raises(InputError, match="cut short"):
        run_campaign(tiny(model={"start": damaged}), tmp_path / "never")


def test_a_model_that_changed_after_the_campaign_was_started_is_refused(run, model, documents, tmp_path):
    (dataset,) = documents(run, build_dataset)
    then = InputFile(path=str(model), key="of another file")
    with pytest.raises(InputError, match="has changed since the campaign was started"):
        import_network.original(str(tmp_path), dataset=dataset, file=then, role="cell", model={})


def test_phases_cannot_be_held_out_from_networks_that_may_have_seen_them(campaign, tmp_path):
    with pytest.raises(InputError, match=r"may have seen the phases of V-O that `known\.held_out` keeps"):
        run_campaign(campaign(0, known={"held_out": "structures"}), tmp_path / "never")


def test_a_damaged_artifact_is_not_exported(run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    weights = next((copy / "artifacts" / "objects").glob("weights-vae-*"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"weights-vae-\w+\.safetensors \(weights-vae\) is damaged"):
        export_model(copy, tmp_path / "never.safetensors")
    assert not (tmp_path / "never.safetensors").exists()


def test_the_commands_take_a_model_out_of_a_run_and_say_how_a_campaign_begins_with_it(imatgen, run, model, tmp_path):
    from imatgen_flows.config import CampaignConfig

    code, text, _ = imatgen("models", "export", run, tmp_path, "--json")
    card = json.loads(text)
    path = tmp_path / "first.safetensors"
    assert code == 0 and card["file"] == str(path) and path.read_bytes() == model.read_bytes()
    code, text, _ = imatgen("models", "import", path, "--directory", tmp_path / "kept")
    assert code == 0 and (tmp_path / "kept" / "first.safetensors").read_bytes() == model.read_bytes()
    assert "is refused" in " ".join(text.replace("│", " ").split())
    lines = [line for line in text.splitlines() if line.startswith(("system:", "model:"))]
    written = tmp_path / "campaign.yaml"
    written.write_text("\n".join([*lines, "labels: {potential: toy}", "screen: {potential: toy}"]))
    assert imatgen("check", written)[0] == 0
    assert CampaignConfig.from_file(written).model.start == str(tmp_path / "kept" / "first.safetensors")


def test_faults_of_the_commands_are_sentences_and_status_2(imatgen, run, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"not safetensors at all")
    for arguments, words in (
        (("import", damaged), "no safetensors file, or cut short"),
        (("import", tmp_path / "nowhere.safetensors"), "no such model file"),
        (("export", run, tmp_path / "model.pt"), "ends in .safetensors"),
        (("export", tmp_path, tmp_path / "model.safetensors"), "not a run directory"),
        (("export", run, damaged), "is another file already"),
    ):
        code, _, error = imatgen("models", *arguments)
        assert code == 2 and words in error and error.startswith("error: ") and "Traceback" not in error
