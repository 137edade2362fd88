"""The tables of the docs that derive from the code are up to date, and no link of the docs leads nowhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from imatgen_flows.cli.main import app
from imatgen_flows.config import CampaignConfig

ROOT = Path(__file__).parents[1]
NOTEBOOK = sorted((ROOT / "notebook").glob("2*.md"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "notebook" / "README.md",
    *NOTEBOOK,
]
HEAD = ("question", "date", "commit", "machine", "command", "conclusion")


def test_derived_tables_are_up_to_date():
    tables = runpy.run_path(str(ROOT / "docs" / "generate_tables.py"))
    for name, blocks in (("PAGE", "blocks"), ("POTENTIALS_PAGE", "potential_blocks")):
        page = tables[name].read_text(encoding="utf-8")
        assert tables["fill"](page, tables[blocks]()) == page, "run `python docs/generate_tables.py`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_within_the_project_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_paths_of_modules_that_are_named_exist(page):
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.py)`", page.read_text(encoding="utf-8"))
    missing = [path for path in named if not ((ROOT / path).exists() or (ROOT / "imatgen_flows" / path).exists())]
    assert not missing


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 900


@pytest.mark.parametrize("page", NOTEBOOK, ids=lambda page: page.stem)
def test_a_page_of_the_notebook_has_its_head(page):
    head = dict(re.findall(r"^\| \*\*(\w+)\*\* \| ([^|]+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert tuple(head) == HEAD and "(to be written)" not in head.values()
    assert page.name.startswith(head["date"]) and re.match(r"`[0-9a-f]{7,}`", head["commit"])


def test_the_notebook_lists_each_of_its_pages():
    index = (ROOT / "notebook" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in NOTEBOOK] == sorted(re.findall(r"\]\((2[^)]+\.md)\) \|", index))


def blocks(*languages):
    """All code blocks of some languages in the pages, with their page."""
    for page in PAGES:
        found = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for number, (language, code) in enumerate(found):
            if language in languages:
                yield pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")


def commands(code):
    """The calls of `imatgen` in a block of shell lines, without comments, redirections and what follows a pipe."""
    for line in code.replace("\\\n", " ").splitlines():
        if re.match(r"\S*imatgen ", line):
            words = shlex.split(re.split(r"[|>]| #", line)[0])
            yield [word for word in words[1:] if word not in ("&", "&&")]


@pytest.mark.parametrize("code", blocks("", "bash"))
def test_every_imatgen_command_of_the_pages_exists_with_its_options(code):
    for words in commands(code):
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        assert not getattr(command, "commands", {}) or not words or words[0].startswith("-"), words
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        unknown = [word for word in words if word.startswith("--") and word.split("=")[0] not in known | {"--help"}]
        assert not unknown, (command.name, unknown)


@pytest.mark.parametrize("code", blocks("yaml"))
def test_the_campaign_files_of_the_pages_are_valid(code):
    content = yaml.safe_load(code)
    if isinstance(content, dict) and "system" in content and "profiles" not in content:
        CampaignConfig.model_validate(content)
