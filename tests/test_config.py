from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymatgen.core import Element

from imatgen_flows.campaign_v1 import RENAMED_KEYS, rename_old_keys
from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError

EXAMPLE = """
version: 2
name: vanadium-oxides
system: [V, O]
templates: {source: prototypes}
limits: {max_sites: 20, max_edge: 10.0}
labels: {potential: chgnet, stable_below: 0.5}
model: {preset: default, grid: 32, seed: 7}
sampling: {slerp: 400, prior: 400, perturb: 100}
screen: {potential: chgnet, fmax: 0.05, threshold: 0.15, at_most: 80}
validate: {backend: none}
rounds: {at_most: 1, evaluations: 200000}
"""
VERSION_1 = """
version: 1
system: [V, O]
generator: {preset: paper, grid: 64, seed: 3}
sampling: {slerp: 4, random: 5, around_known: 6}
start: {model: networks.safetensors, use: sample_only, share: 0.5}
rounds: {at_most: 2, caution: 0.5, fine_tune: 0.2}
"""
CAMPAIGNS = sorted((Path(__file__).parents[1] / "workflows" / "campaigns").glob("*.yaml"))


@pytest.fixture
def read(tmp_path):
    def from_text(text):
        path = tmp_path / "campaign.yaml"
        path.write_text(text)
        return CampaignConfig.from_file(path)

    return from_text


@pytest.fixture
def refusal(read):
    """What the program says to a campaign file that it does not take."""

    def of(text):
        with pytest.raises(InputError) as caught:
            read(text)
        return str(caught.value)

    return of


def test_every_key_of_the_example_is_taken(read):
    config = read(EXAMPLE)
    written = yaml.safe_load(EXAMPLE)
    resolved = config.model_dump(mode="json", by_alias=True)
    for key, value in written.items():
        if isinstance(value, dict):
            assert value.items() <= resolved[key].items()
        else:
            assert resolved[key] == value


def test_only_the_system_is_needed(read):
    config = read("system: [Ti, O]")
    assert config.title == "Ti-O"
    assert config.screen.potential == config.labels.potential == "chgnet"


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda path: path.stem)
def test_the_campaigns_we_ship_are_valid(path):
    assert CampaignConfig.from_file(path).system


SYMBOLS = st.lists(st.sampled_from([e.symbol for e in Element if e.Z <= 94]), min_size=2, max_size=5, unique=True)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SYMBOLS, st.integers(0, 2**32 - 1), st.floats(1e-3, 1), st.sampled_from([None, 32, 64]), st.text(max_size=20))
def test_a_campaign_comes_back_from_its_file(tmp_path, system, seed, fmax, grid, name):
    config = CampaignConfig(
        system=system, name=name, model={"seed": seed, "grid": grid}, screen={"fmax": fmax}, validate={"at_most": 3}
    )
    config.to_file(tmp_path / "campaign.yaml")
    assert CampaignConfig.from_file(tmp_path / "campaign.yaml") == config


def test_the_written_file_spells_out_every_key(read, tmp_path):
    read("system: [V, O]").to_file(tmp_path / "resolved.yaml")
    content = yaml.safe_load((tmp_path / "resolved.yaml").read_text())
    names = {field.alias or name for name, field in CampaignConfig.model_fields.items()}
    assert set(content) == names
    assert set(content["screen"]) == set(type(read("system: [V, O]").screen).model_fields)


def test_a_template_path_is_relative_to_the_file(tmp_path):
    folder = tmp_path / "campaigns"
    folder.mkdir()
    (folder / "campaign.yaml").write_text("system: [V, O]\ntemplates: {source: file, path: ../data/t.jsonl.gz}")
    config = CampaignConfig.from_file(folder / "campaign.yaml")
    assert config.templates.path == tmp_path / "data" / "t.jsonl.gz"
    config.to_file(tmp_path / "resolved.yaml")  # elsewhere
    assert CampaignConfig.from_file(tmp_path / "resolved.yaml") == config


@pytest.mark.parametrize("section", ["templates", "known"])
def test_a_path_alone_is_that_of_a_file(read, section):
    assert getattr(read(f"system: [V, O]\n{section}: {{path: here.jsonl}}"), section).source == "file"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sistem: [V, O]", "unknown key `sistem`. Did you mean `system`?"),
        ("sampling: {slrp: 3}", "`sampling`: unknown sampler `slrp`. Did you mean `slerp`?"),
        ("screen: {tresholds: 3}", "unknown key `screen.tresholds`. Did you mean `screen.threshold`?"),
        ("validation: {at_most: 3}", "unknown key `validation`. Did you mean `validate`?"),
        ("validate: {at_mots: 3}", "unknown key `validate.at_mots`. Did you mean `validate.at_most`?"),
        ("limits: {qqq: 3}", "unknown key `limits.qqq`. Known here: max_edge, max_sites."),
    ],
)
def test_a_misspelt_key_names_the_nearest_one(refusal, line, said):
    assert refusal(f"system: [V, O]\n{line}") == f"campaign.yaml: {said}"


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ("[V, Ox]", "`Ox` is not a chemical element. Did you mean O?"),
        ("[v, O]", "`v` is not a chemical element. Did you mean V?"),
        ("[V]", "two to five different elements"),
        ("[H, He, Li, Be, B, C]", "two to five different elements"),
        ("[V, V]", "`V` is named twice"),
        ("[]", "two to five different elements"),
        ("VO", "`system` is 'VO'"),
        ("[V, 8]", "`system.1` is 8"),
    ],
)
def test_a_system_that_is_none_is_refused(refusal, system, said):
    assert said in refusal(f"system: {system}")


def test_elements_that_yaml_could_take_for_truth_values_are_read(read):
    assert read("system: [Y, N]").system == ["Y", "N"]
    assert read('system: ["No", N]').system == ["No", "N"]


def test_a_word_that_yaml_takes_for_a_truth_value_is_to_be_quoted(refusal):
    said = 'YAML reads the words No, Off, False as false. Write the word in quotes, for example "No".'
    assert refusal("system: [No, N]") == f"campaign.yaml: `system.0` is false: {said}"
    assert "`name` is true: YAML reads the words Yes, On, True as true" in refusal("system: [V, O]\nname: on")


@pytest.mark.parametrize("isotope", ["D", "T"])
def test_an_isotope_is_refused_by_the_name_of_its_element(refusal, isotope):
    assert f"`{isotope}` is an isotope" in refusal(f"system: [{isotope}, O]")
    assert "write H." in refusal(f"system: [{isotope}, O]")


@pytest.mark.parametrize("system", [("V", "O"), ("Li", "V", "O"), ("Xe", "He", "F")])
def test_the_order_of_the_elements_changes_nothing(system):
    read = [CampaignConfig(system=list(order)) for order in itertools.permutations(system)]
    assert all(config == read[0] for config in read)
    assert {config.title for config in read} == {read[0].title}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limits: {max_sites: many}", "`limits.max_sites` is 'many'"),
        ("limits: {max_sites: 0}", "`limits.max_sites` is 0"),
        ("limits: {max_edge: 16}", "`limits.max_edge` is 16"),
        ("sampling: {slerp: 4.5}", "`sampling.slerp` is 4.5"),
        ("sampling: {slerp: -1}", "`sampling.slerp` is -1"),
        ("sampling: {slerp: 0, prior: 0, perturb: 0}", "no samples are asked for"),
        ("sampling:", "`sampling` is None: a section holds `key: value` lines"),
        ("screen: 3", "`screen` is 3: a section holds `key: value` lines"),
        ("screen: {threshold: .nan}", "`screen.threshold` is nan"),
        ("screen: {fmax: 0}", "`screen.fmax` is 0"),
        ("model: {preset: papr}", "`model.preset`: unknown preset `papr`. Did you mean `paper`?"),
        ("model: {grid: 48}", "`model.grid` is 48"),
        ("model: {seed: 4294967296}", "`model.seed` is 4294967296"),
        ("model: {fine_tune: 1.5}", "`model.fine_tune` is 1.5"),
        ("model: {fine_tune: true}", "`model.fine_tune`: it is true, and no number"),
        (
            "validity: {charge: rejct}",
            "`validity.charge`: unknown choice for charge balance `rejct`. Did you mean `reject`?",
        ),
        ("validate: {backend: vasp}", "`validate.backend`: unknown DFT back end `vasp`. Did you mean `vasp-mp24`?"),
        ("rounds: {evaluations: 0}", "`rounds.evaluations` is 0"),
        ("templates: {source: file}", "`source: file` needs `path`"),
        ("templates: {source: optimade}", "`source: optimade` needs `provider`"),
        ("known: {source: optimade}", "`source: optimade` needs `provider`"),
        ("known: {source: prototypes}", "`known.source`: unknown source of known phases `prototypes`. Known: shipped"),
        ("known: {source: mp, path: here}", "`path` is read by `source: file` alone"),
        ("known: {where: {a: 1}}", "it needs `source: file`"),
        ("version: 3", "`version` is 3"),
        ("3: 4", "`3` is 3: keys should be strings"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_key(refusal, line, said):
    message = refusal(f"system: [V, O]\n{line}")
    assert message.startswith("campaign.yaml: ")
    assert said in message
    assert "\n" not in message


def test_two_potentials_are_refused(refusal):
    assert "one hull needs one energy model" in refusal("system: [V, O]\nscreen: {potential: emt}")


def test_all_faults_are_said_at_once(refusal):
    message = refusal("sampling: {slrp: 3}\nlimits: {max_sites: 0}")
    assert [line.split(": ")[0] for line in message.splitlines()] == ["campaign.yaml"] * 3
    assert "`system` is missing." in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this one is empty"),
        ("# nothing but a comment", "this one is empty"),
        ("- V\n- O", "holds \"['V', 'O']\""),
        ("data_VO\n_cell_length_a 4.1\n" * 100, "holds 'data_VO"),
        ("system: [V, O", "cannot be read as YAML"),
        ("\tsystem: [V, O]", "cannot be read as YAML"),
    ],
)
def test_a_file_that_is_no_campaign_is_refused_in_a_few_lines(refusal, text, said):
    message = refusal(text)
    assert said in message
    assert len(message) < 600


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such campaign file.*imatgen init"):
        CampaignConfig.from_file(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="a directory, where a YAML file is expected"):
        CampaignConfig.from_file(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match=r"binary\.yaml: cannot be read: it is not text in UTF-8"):
        CampaignConfig.from_file(tmp_path / "binary.yaml")


def test_a_campaign_cannot_be_made_wrong_later(read):
    config = read("system: [V, O]")
    for assign in (
        lambda: setattr(config.screen, "fmax", -1),
        lambda: setattr(config.screen, "threshold", math.inf),
        lambda: setattr(config, "sampling", {"slrp": 2}),
    ):
        with pytest.raises(ValueError, match="validation error"):
            assign()


def test_a_file_of_version_1_is_answered_with_the_new_name_of_each_of_its_keys(refusal):
    message = refusal(VERSION_1)
    assert all(
        f"`{old}` is now `{new}`" in message for old, new in RENAMED_KEYS.items() if old != "start.use: fine_tune"
    )
    assert "imatgen init DIR --from" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generator: {seed: 3}", "`generator` is now called `model`."),
        ("rounds: {caution: 1}", "`rounds.caution` is now called `rounds.kappa`."),
        ("rounds: {fine_tune: 0.3}", "`rounds.fine_tune` is now called `model.fine_tune`."),
        ("start: {model: null}", "`start.model` is now called `model.start`."),
        ("start: {share: 0.5}", "`start.share` is now called `model.fine_tune`."),
        ("start: {use: fine_tune}", "`start.use: fine_tune` is now called `model.fine_tune`."),
        ("start: {use: sample_only}", "`start.use: sample_only` is now called `model.fine_tune: 0`."),
        ("sampling: {random: 3}", "`sampling`: `random` is now called `prior`."),
        ("sampling: {around_known: 3}", "`sampling`: `around_known` is now called `perturb`."),
    ],
)
def test_an_old_key_is_answered_with_its_new_name_whatever_the_version(refusal, line, said):
    assert refusal(f"system: [V, O]\n{line}") == f"campaign.yaml: {said}"


def test_a_converted_file_is_one_of_version_2_with_the_same_values():
    config = CampaignConfig.model_validate(rename_old_keys(yaml.safe_load(VERSION_1)))
    assert (config.model.preset, config.model.grid, config.model.seed) == ("paper", 64, 3)
    assert config.sampling.root == {"slerp": 4, "prior": 5, "perturb": 6, "ascent": 0}
    assert (config.rounds.at_most, config.rounds.kappa) == (2, 0.5)
    assert (config.model.start, config.model.fine_tune) == ("networks.safetensors", 0)


@pytest.mark.parametrize(
    ("sections", "model"),
    [
        ({"rounds": {"fine_tune": 0.5}}, {"fine_tune": 0.5}),
        ({"start": {"model": None, "use": "fine_tune", "share": 0.3}, "rounds": {"fine_tune": 0.3}}, None),
        (
            {"start": {"model": None, "use": "sample_only", "share": 0.6}, "rounds": {"fine_tune": 0.5}},
            {"fine_tune": 0.5},
        ),
        ({"start": {"model": "a"}, "model": {"seed": 3}}, {"seed": 3, "start": "a"}),
        ({"start": {"model": "a", "share": 0.6}}, {"start": "a", "fine_tune": 0.6}),
        ({"start": {"model": "a", "share": 0.6}, "rounds": {"at_most": 1}}, {"start": "a", "fine_tune": 0.6}),
        ({"start": {"model": "a", "use": "sample_only"}, "rounds": {"at_most": 3}}, {"start": "a", "fine_tune": 0}),
        ({"model": {"start": "a", "fine_tune": 0.6}}, {"start": "a", "fine_tune": 0.6}),
    ],
)
def test_where_networks_come_from_is_converted_to_what_it_meant(sections, model):
    converted = rename_old_keys({"version": 2, "system": ["V", "O"]} | sections)
    assert converted.get("model") == model and "start" not in converted
    assert "fine_tune" not in converted.get("rounds", {})
    CampaignConfig.model_validate(converted)


def test_a_potential_votes_once():
    for names in (["chgnet"], ["sevennet", "sevennet"]):
        with pytest.raises(InputError, match=f"`{names[0]}` votes twice"):
            CampaignConfig.model_validate({"system": ["V", "O"], "committee": {"potentials": names}})


def test_a_committee_that_asks_nobody_is_refused():
    for section in ({"at_most": 3}, {"threshold": 0.2}):
        (key,) = section
        with pytest.raises(InputError, match=f"`{key}` is of a committee that has no `potentials`"):
            CampaignConfig.model_validate({"system": ["V", "O"], "committee": section})
    one = CampaignConfig.model_validate({"system": ["V", "O"], "committee": {"potentials": "sevennet"}})
    assert one.committee.potentials == ["sevennet"]


def test_nothing_is_followed_where_no_phonons_are_computed():
    with pytest.raises(InputError, match="`follow` needs phonons"):
        CampaignConfig.model_validate({"system": ["V", "O"], "phonons": {"follow": True}})
    with pytest.raises(InputError, match="a potential has no name"):
        CampaignConfig.model_validate({"system": ["V", "O"], "committee": {"potentials": [""]}})


def test_two_shares_that_differ_cannot_become_one():
    old = {"start": {"model": "a", "share": 0.6}, "rounds": {"at_most": 2}}
    with pytest.raises(InputError, match=r"`start\.share: 0\.6` and `rounds\.fine_tune: 0\.3` are one key now"):
        rename_old_keys(old)


@pytest.mark.parametrize("start", [{"modle": "a"}, {"use": "neither"}])
def test_what_no_version_knows_is_not_lost_in_the_conversion(start):
    with pytest.raises(InputError, match="`start"):
        CampaignConfig.model_validate(rename_old_keys({"system": ["V", "O"], "start": start}))


def test_the_model_to_start_from_is_a_word_or_a_path_relative_to_the_file(read, tmp_path):
    for text in ("", "model: {start: none}", "model: {start: null}"):
        assert read(f"system: [V, O]\n{text}").model.start == "none"
    model = read("system: [V, O]\nmodel: {start: pretrained}").model
    assert (model.start, model.preset) == ("pretrained", "pretrained")
    assert (
        read("system: [V, O]\nmodel: {start: pretrained, preset: paper}").model.preset == "paper"
    )  # `plan` refuses it
    config = read("system: [V, O]\nmodel: {start: kept/vo.safetensors, fine_tune: 0}")
    assert config.model.start == str(tmp_path / "kept" / "vo.safetensors")


@pytest.mark.parametrize(
    ("sampling", "numbers"),
    [
        ({}, {"perturb": 100, "slerp": 400, "prior": 400}),
        ({"slerp": 0, "ascent": 0}, {"perturb": 100, "slerp": 0, "prior": 400}),
        ({"ascent": 5}, {"perturb": 100, "slerp": 400, "prior": 400, "ascent": 5}),
    ],
)
def test_a_sampler_that_is_not_asked_for_leaves_the_inputs_of_jobs_as_they_were_before_it(sampling, numbers):
    assert CampaignConfig(system=["V", "O"], sampling=sampling).sampling.numbers == numbers


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"system": ["Fe"]}, "`system`: a system has two to five different elements."),
        ({"system": ["V", "O"], "sistem": 1}, "unknown key `sistem`. Did you mean `system`?"),
        ({"system": ["V", "O"], "screen": {"fmax": -1}}, "`screen.fmax` is -1"),
    ],
)
def test_a_fault_in_python_is_a_sentence_too(content, says):
    with pytest.raises(InputError, match=re.escape(says)) as error:
        CampaignConfig(**content)
    assert "http" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("templates.path", "templates: {{path: {}}}"),
        ("known.path", "known: {{path: {}}}"),
        ("model.start", "model: {{start: {}}}"),
    ],
)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("circle/x.cif", "links lead in a circle"),
        ("circle", "links lead in a circle"),
        ("~nosuchuser/x", "`~nosuchuser` is no home folder here. Write the path in full"),
        ('"own\\0x"', "null character"),
        ("x" * 300, "longer than that of any file"),
        ('""', "it is empty: name a file or a folder"),
        ('"  "', "it is empty: name a file or a folder"),
    ],
)
def test_a_path_that_can_lead_nowhere_is_refused_with_its_key(refusal, tmp_path, key, line, path, said):
    (tmp_path / "circle").symlink_to("circle")
    sentence = refusal("system: [V, O]\n" + line.format(path))
    assert sentence.startswith(f"campaign.yaml: `{key}`: ") and said in sentence and sentence.endswith(".")


def test_the_folder_of_the_campaign_is_named_by_a_dot(read, tmp_path):
    assert read('system: [V, O]\ntemplates: {path: "."}').templates.path == tmp_path
    assert read("system: [V, O]\nknown: {path: not/here.cif}").known.path == tmp_path / "not" / "here.cif"


@pytest.mark.parametrize(
    "section", [{"search": {"pressure": True}}, {"sources": {"batches": False}}, {"rounds": {"at_most": True}}]
)
def test_a_word_that_yaml_reads_as_true_or_false_is_no_number(section):
    with pytest.raises(InputError, match=r"`\w+\.\w+`: it is (true|false), and no number\."):
        CampaignConfig.model_validate({"system": ["V", "O"]} | section)
