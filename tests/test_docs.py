"""The tables of the docs that derive from the code are up to date, and no link of the docs leads nowhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = sorted((ROOT / "notebook").glob("2*.md"))
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "notebook" / "README.md",
    *NOTEBOOK,
]
HEAD = ("question", "date", "commit", "machine", "command", "conclusion")


def test_derived_tables_are_up_to_date():
    tables = runpy.run_path(str(ROOT / "docs" / "generate_tables.py"))
    page = tables["PAGE"].read_text(encoding="utf-8")
    assert tables["fill"](page) == page, "run `python docs/generate_tables.py`"


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
