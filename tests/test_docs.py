"""The tables of the docs that derive from the code are up to date, and no link of the docs leads nowhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]


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
