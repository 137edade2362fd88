"""YAML that a person writes: each key once, whatever PyYAML would make of it."""

from __future__ import annotations

import pytest

from imatgen_flows.cluster import ClusterConfig
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import load_yaml


@pytest.fixture
def load(tmp_path):
    def write_and_load(text):
        (tmp_path / "file.yaml").write_text(text)
        return load_yaml(tmp_path / "file.yaml")

    return write_and_load


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: {b: 1}\nc: 2\na: {d: 3}\n", "`a` stands in line 1 and again in line 3"),
        ("a:\n  b: 1\n  c:\n    d: 1\n    d: 2\n", "`a.c.d` stands in line 4 and again in line 5"),
        ("a:\n- {b: 1}\n- {b: 1,\n   b: 2}\n", "`a.1.b` stands in line 3 and again in line 4"),
        ("yes: 1\ntrue: 2\n", "`true` stands in line 1 and again in line 2"),
        ("'a': 1\n\"a\": 1\n", "`a` stands in line 1 and again in line 2"),
        ("x: &x {a: 1}\nb:\n  <<: *x\n  <<: *x\n", "`b.<<` stands in line 3 and again in line 4"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_both_lines(load, text, said):
    with pytest.raises(InputError) as caught:
        load(text)
    assert f"file.yaml: {said}" in str(caught.value)


def test_every_repetition_is_named_at_once_and_an_anchor_is_read_once(load):
    with pytest.raises(InputError) as caught:
        load("a: &a\n  x: 1\n  x: 2\nb: *a\nc: 1\nc: 2\nc: 3\n")
    assert [line.partition("`")[2].partition(":")[0] for line in str(caught.value).splitlines()] == [
        "a.x` stands in line 2 and again in line 3",
        "c` stands in line 5 and again in line 6",
        "c` stands in line 5 and again in line 7",
    ]


def test_a_merged_key_may_be_overridden_as_yaml_says(load):
    text = "base: &base {cores: 2, memory: 4G}\nmore: &more {gres: x}\none:\n  <<: [*base, *more]\n  cores: 8\ntwo: *base\n"
    read = load(text)
    assert read["one"] == {"cores": 8, "memory": "4G", "gres": "x"} and read["two"] == {"cores": 2, "memory": "4G"}


@pytest.mark.parametrize(
    "text", ["a: [", "a: b: c", "? [1]\n: 2", "- &x [*x]\n- {[1]: 2}", "a: 2026-13-45", "a\n---\nb"]
)
def test_what_is_no_yaml_is_refused_in_a_sentence(load, text):
    with pytest.raises(InputError, match=r"file\.yaml: cannot be read as YAML"):
        load(text)


def test_an_empty_file_holds_nothing_and_a_key_may_stand_in_two_sections(load):
    assert load("") is None and load("# nothing\n") is None
    assert load("labels: {potential: toy}\nscreen: {potential: toy}\n")["screen"] == {"potential": "toy"}


def test_a_section_that_stands_twice_is_refused_in_campaign_and_cluster_files(tmp_path):
    (tmp_path / "c.yaml").write_text(
        "system: [V, O]\nscreen: {fmax: 0.02}\nsampling: {slerp: 10}\nscreen: {at_most: 4}\n"
    )
    with pytest.raises(InputError, match=r"c\.yaml: `screen` stands in line 2 and again in line 4"):
        CampaignConfig.from_file(tmp_path / "c.yaml")
    profiles = "".join(
        f"  {name}: {{partition: a, walltime: 1-00:00:00}}\n" for name in ("light", "gpu_train", "light", "cpu_vasp")
    )
    (tmp_path / "cluster.yaml").write_text(f"python: /opt\nprofiles:\n{profiles}")
    with pytest.raises(InputError, match=r"cluster\.yaml: `profiles\.light` stands in line 3 and again in line 5"):
        ClusterConfig.from_directory(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_file_in_another_encoding_is_to_be_saved_as_utf_8(tmp_path, encoding):
    (tmp_path / "c.yaml").write_bytes("name: Müller\nsystem: [V, O]\n".encode(encoding))
    with pytest.raises(InputError, match=r"c\.yaml: cannot be read: .* Save it as UTF-8"):
        CampaignConfig.from_file(tmp_path / "c.yaml")
