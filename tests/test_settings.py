from __future__ import annotations

import os
from pathlib import Path

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.settings import Settings, get_settings


@pytest.fixture(autouse=True)
def file(monkeypatch, tmp_path):
    """A settings file of the test's own, and no variables from outside."""
    path = tmp_path / "imatgen.yaml"
    monkeypatch.setitem(Settings.model_config, "yaml_file", path)
    for name in [name for name in os.environ if name.startswith("IMATGEN_")]:
        monkeypatch.delenv(name)
    return path


def test_without_a_file_or_variables_there_are_defaults():
    settings = get_settings()
    assert settings.device == "auto"
    assert 1 <= settings.n_workers == len(os.sched_getaffinity(0))


def test_the_environment_comes_before_the_file(file, monkeypatch):
    file.write_text("workers: 3\nthreads: 2\n")
    assert (get_settings().workers, get_settings().threads) == (3, 2)
    monkeypatch.setenv("IMATGEN_WORKERS", "5")
    monkeypatch.setenv("IMATGEN_CACHE_DIR", "/somewhere/else")
    settings = get_settings()
    assert (settings.n_workers, settings.threads) == (5, 2)
    assert settings.cache_dir == Path("/somewhere/else")


def test_settings_are_read_anew_each_time(monkeypatch):
    before = get_settings().threads
    monkeypatch.setenv("IMATGEN_THREADS", str(before + 1))
    assert get_settings().threads == before + 1


def test_an_unknown_variable_is_named_beside_the_known_ones(monkeypatch):
    monkeypatch.setenv("IMATGEN_WORKRES", "2")
    with pytest.raises(InputError, match=r"IMATGEN_WORKRES.*IMATGEN_WORKERS"):
        get_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [("WORKERS", "many"), ("WORKERS", "-1"), ("THREADS", "0"), ("DEVICE", "gpu"), ("WORKERS", "1.5"), ("DEVICE", "")],
)
def test_a_value_that_cannot_be_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"IMATGEN_{name}", value)
    with pytest.raises(InputError, match=f"setting `{name.lower()}`.*got '{value}'"):
        get_settings()


@pytest.mark.parametrize("text", ["wrkers: 3", "workers: [1]"])
def test_a_wrong_key_or_value_in_the_file_is_named(file, text):
    file.write_text(text)
    with pytest.raises(InputError, match=f"setting `{text.split(':')[0]}`"):
        get_settings()


@pytest.mark.parametrize("text", ["workers: [", "- workers", "workers"])
def test_a_file_that_is_not_settings_is_named(file, text):
    file.write_text(text)
    with pytest.raises(InputError, match=f"{file}: cannot be read"):
        get_settings()


def test_an_empty_file_is_no_fault(file):
    file.write_text("# nothing yet\n")
    assert get_settings().workers == 0


def test_a_setting_that_stands_twice_in_the_file_is_refused(file):
    file.write_text("workers: 3\nthreads: 1\nworkers: 2\n")
    with pytest.raises(InputError, match="`workers` stands in line 1 and again in line 3"):
        get_settings()


def test_interpreters_are_absolute_paths_that_stay_links(file, monkeypatch, tmp_path):
    file.write_text("interpreters: {orb: ~/venvs/orb/bin/python}\n")
    assert get_settings().interpreters == {"orb": Path.home() / "venvs/orb/bin/python"}
    (tmp_path / "python").symlink_to("/bin/sh")  # as in a virtual environment
    monkeypatch.setenv("IMATGEN_INTERPRETERS", f'{{"mace": "{tmp_path / "python"}"}}')
    assert get_settings().interpreters["mace"] == tmp_path / "python"
    assert set(get_settings().interpreters) == {"orb", "mace"}  # those of the file stay
    monkeypatch.setenv("IMATGEN_INTERPRETERS", "{")
    with pytest.raises(InputError, match=r'in the environment cannot be read .*"interpreters".*is JSON'):
        get_settings()


def test_an_interpreter_of_no_potential_is_refused(file):
    file.write_text("interpreters: {mase: /usr/bin/python3}\n")
    with pytest.raises(InputError, match="`interpreters`: unknown potential `mase`. Did you mean `mace`"):
        get_settings()
    file.write_text("interpreters: {'my_module:potential': /usr/bin/python3}\n")
    assert list(get_settings().interpreters) == ["my_module:potential"]
