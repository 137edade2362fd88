"""`imatgen init`: the campaign file to start from, and the conversion of one of version 1."""

from __future__ import annotations

import pytest
import yaml

from imatgen_flows.cli.starter import STARTS
from imatgen_flows.config import CampaignConfig

OLD = """\
version: 1
system: [V, O]
templates: {source: file, path: data/templates.jsonl.gz}
known: {path: /elsewhere/known.jsonl.gz}
generator: {preset: default, seed: 3}
start: {model: networks.safetensors, use: fine_tune, share: 0.5}
sampling: {random: 11, around_known: 5}
rounds: {at_most: 2, caution: 0.5, fine_tune: 0.5}
sources: {shares: {generator: 0.5, files: 0.5}, files: other/structures.extxyz}
"""


def test_init_writes_a_campaign_of_defaults_and_overwrites_nothing(imatgen, tmp_path):
    assert imatgen("init", tmp_path / "new")[0] == 0
    campaign = CampaignConfig.from_file(tmp_path / "new" / "campaign.yaml")
    assert (
        campaign.sampling.total == 1600 and campaign.sampling.root["prior"] == 0
    )  # few templates: interpolation alone
    assert campaign == CampaignConfig(system=["V", "O"], name="V-O", sampling=campaign.sampling.root)
    code, _, error = imatgen("init", tmp_path / "new")
    assert code == 2 and "exists already" in error


@pytest.mark.parametrize("source", STARTS)
def test_init_writes_a_campaign_for_any_system(imatgen, tmp_path, source):
    # N, Y and No are truth values to YAML where they are not quoted
    code, text, error = imatgen("init", tmp_path / "new", "--system", "Y-N-No-O", "--from", source)
    assert code == 0, error
    campaign = CampaignConfig.from_file(tmp_path / "new" / "campaign.yaml")
    assert set(campaign.system) == {"Y", "N", "No", "O"} and campaign.templates.source == source
    assert campaign.known.source == ("shipped" if source == "prototypes" else source)
    assert f"imatgen check {tmp_path}" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--system", "Zr-Qq"), "`Qq` is not a chemical element"),
        (("--system", "Zr"), "one element is no system"),
        (("--system", "Li-Na-K-Rb-Cs-O"), "two to five different elements"),
        (("--system", "Zr-N", "--from", "aflow"), "is one of prototypes, mp, optimade"),
        (("--system", "Zr-N", "--cluster"), "are of a campaign file"),
    ],
)
def test_init_refuses_what_is_no_system_or_source(imatgen, tmp_path, options, said):
    code, _, error = imatgen("init", tmp_path / "new", *options)
    assert code == 2 and said in error and not (tmp_path / "new").exists()


def test_init_from_a_campaign_of_version_1_renames_its_keys_and_keeps_its_values(imatgen, tmp_path):
    old = tmp_path / "old" / "vo.yaml"
    old.parent.mkdir()
    old.write_text(OLD)
    code, text, error = imatgen("init", tmp_path / "new", "--from", old)
    assert code == 0, error
    for before, after in (
        ("generator", "model"),
        ("sampling.random", "sampling.prior"),
        ("sampling.around_known", "sampling.perturb"),
        ("rounds.caution", "rounds.kappa"),
        ("start.model", "model.start"),
        ("rounds.fine_tune", "model.fine_tune"),
    ):
        assert f"`{before}` is now `{after}`" in text
    path = tmp_path / "new" / "campaign.yaml"
    assert yaml.safe_load(path.read_text())["templates"]["path"] == "../old/data/templates.jsonl.gz"
    campaign = CampaignConfig.from_file(path)
    assert campaign.templates.path == old.parent / "data" / "templates.jsonl.gz"
    assert str(campaign.known.path) == "/elsewhere/known.jsonl.gz"
    assert (campaign.model.seed, campaign.rounds.kappa, campaign.rounds.at_most) == (3, 0.5, 2)
    assert (campaign.model.start, campaign.model.fine_tune) == (str(old.parent / "networks.safetensors"), 0.5)
    assert campaign.sources.files == old.parent / "other" / "structures.extxyz"
    assert campaign.sampling.root == {"perturb": 5, "slerp": 400, "prior": 11, "ascent": 0}

    again = imatgen("init", tmp_path / "third", "--from", path)  # one of version 2 stays as it is
    assert again[0] == 0 and "is now" not in again[1]
    assert CampaignConfig.from_file(tmp_path / "third" / "campaign.yaml") == campaign
    code, _, error = imatgen("init", tmp_path / "new", "--from", old)
    assert code == 2 and "exists already" in error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such campaign file"),
        ("system: [V, O", "cannot be read as YAML"),
        ("", "is empty"),
        ("version: 1\nsystem: [V, O]\ngenerater: {seed: 1}\n", "unknown key `generater`"),
        ("version: 1\nsystem: [V, O]\ngenerator: {sed: 1}\n", "Did you mean `model.seed`?"),
        ("version: 3\nsystem: [V, O]\n", "`version` is 3"),
        ("system: [V, O]\nmodel: {seed: 1}\ngenerator: {seed: 2}\n", "`generator` and `model` are the same key"),
        (
            "system: [V, O]\nsampling: {random: 3, prior: 5}\n",
            "`sampling.random` and `sampling.prior` are the same key",
        ),
    ],
)
def test_what_is_no_campaign_is_refused_in_a_sentence(imatgen, tmp_path, content, message):
    old = tmp_path / "old.yaml"
    if content is not None:
        old.write_text(content)
    code, _, error = imatgen("init", tmp_path / "new", "--from", old)
    assert code == 2 and message in error and "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_a_campaign_and_a_cluster_are_not_written_at_once(imatgen, tmp_path):
    code, _, error = imatgen("init", tmp_path / "new", "--cluster", "--from", tmp_path / "old.yaml")
    assert code == 2 and "--from" in error


def test_a_formula_in_place_of_a_system_and_a_file_in_place_of_a_folder_are_named(imatgen, tmp_path):
    for words, says in (
        ([str(tmp_path / "a"), "--system", "ZrN"], "Did you mean Zr-N?"),
        ([str(tmp_path / "a.yaml"), "--system", "Zr-N"], "named like a file"),
    ):
        code, _, error = imatgen("init", *words)
        assert code == 2 and says in error
    assert not list(tmp_path.iterdir())
