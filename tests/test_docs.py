"""The site builds, what the docs derive from the code is up to date, and no link of the docs leads nowhere."""

from __future__ import annotations

import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

import imatgen_flows as imf
from imatgen_flows.cli.main import app
from imatgen_flows.config import CampaignConfig

ROOT = Path(__file__).parents[1]
NOTEBOOK = sorted((ROOT / "notebook").glob("2*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "benchmarks" / "README.md",
    ROOT / "notebook" / "README.md",
    *NOTEBOOK,
]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate_tables.py"))
DERIVED = GENERATOR["PAGES"]
HEAD = ("question", "date", "commit", "machine", "command", "conclusion")


def build_site(project, place):
    """Build a site with its mkdocs.yml; --quiet would hide warnings from `strict`."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(place)],
        cwd=project,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation site, which is built once; any warning is an error."""
    place = tmp_path_factory.mktemp("site")
    done = build_site(ROOT, place)
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stderr
    return place


@pytest.fixture
def project(tmp_path):
    """A project of one page, with the hook and the strict settings of this one."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "notebook").mkdir()
    (tmp_path / "notebook" / "page.md").write_text(
        "# Page\n\n## Words\n\n[back](../docs/index.md), [code](../code.py)\n"
    )
    (tmp_path / "code.py").write_text("answer = 42\n")
    settings = (ROOT / "mkdocs.yml").read_text()
    kept = [
        re.search(rf"^{key}:.*?(?=^\S|\Z)", settings, re.MULTILINE | re.DOTALL)[0] for key in ("strict", "validation")
    ]
    hook = f"hooks: [{ROOT / 'docs' / 'site' / 'links.py'}]\n"
    (tmp_path / "mkdocs.yml").write_text("site_name: small\nuse_directory_urls: false\n" + "".join(kept) + hook)
    return tmp_path


def test_a_page_may_link_to_any_file_of_the_project(project):
    (project / "docs" / "index.md").write_text("# Home\n\n[words](../notebook/page.md#words)\n")
    done = build_site(project, project / "site")
    assert done.returncode == 0, done.stderr
    assert 'href="repository/notebook/page.html#words"' in (project / "site" / "index.html").read_text()
    page = (project / "site" / "repository" / "notebook" / "page.html").read_text()
    assert 'href="../../index.html"' in page and 'href="../code.py.html"' in page
    assert "answer = 42" in (project / "site" / "repository" / "code.py.html").read_text()


@pytest.mark.parametrize("link", ["../notebook/gone.md", "gone.md", "../notebook/page.md#gone", "../..", "/index.md"])
def test_a_link_that_leads_nowhere_fails_the_build(project, link):
    (project / "docs" / "index.md").write_text(f"# Home\n\n[link]({link})\n")
    done = build_site(project, project / "site")
    assert done.returncode != 0 and done.stderr.count("WARNING") == 1, done.stderr


def test_the_site_has_every_page_of_the_docs_and_of_the_notebook(site):
    for page in (ROOT / "docs").rglob("*.md"):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file(), page
    for page in (*NOTEBOOK, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        assert (site / "repository" / page.relative_to(ROOT).with_suffix(".html")).is_file(), page


def test_links_out_of_the_docs_and_back_lead_there_in_the_site(site):
    assert 'href="../repository/notebook/index.html"' in (site / "explanation" / "limitations.html").read_text()
    assert 'href="../../explanation/models.html#sampling"' in (site / "repository/notebook/index.html").read_text()
    script = (site / "repository" / "launchers" / "slurm" / "one_node.sh.html").read_text()
    assert 'href="../repository/launchers/slurm/one_node.sh.html"' in (site / "how-to" / "cluster.html").read_text()
    assert "SBATCH" in script


def test_the_reference_documents_every_public_name_with_its_parameters(site):
    page = (site / "reference" / "api.html").read_text()
    missing = [name for name in imf.__all__ if not re.search(rf'id="imatgen_flows\.\w+\.{name}"', page)]
    assert not missing
    assert "largest force that is left, eV/A" in page and "imatgen_flows.run.Run.structure" in page


def all_commands(command, path=("imatgen",)):
    yield " ".join(path)
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from all_commands(inner, (*path, name))


def test_the_reference_lists_every_command_with_its_options():
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    listed = re.findall(r"^##+ `(.+)`$", page, re.MULTILINE)
    assert listed == list(all_commands(typer.main.get_command(app))) and len(listed) > 30
    assert "| `--max-e-hull X` | any | Up to this E_hull, eV/atom. |" in page


@pytest.mark.parametrize("page", DERIVED, ids=lambda page: page.name)
def test_what_derives_from_the_code_is_up_to_date(page):
    text = page.read_text(encoding="utf-8")
    assert GENERATOR["fill"](text, DERIVED[page]) == text, "run `python docs/generate_tables.py`"


def test_pages_that_the_code_names_exist():
    files = [path for folder in ("imatgen_flows", "workflows", "launchers") for path in (ROOT / folder).rglob("*")]
    named = {
        (path.name, page)
        for path in (*files, ROOT / "CHANGELOG.md")
        if path.suffix in (".py", ".yaml", ".md", ".sh", ".html", ".j2", ".js")
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
    }
    gone = {("CHANGELOG.md", "docs/results.md")}  # which the notebook replaced
    assert named and not [item for item in named - gone if not (ROOT / item[1]).is_file()]


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
