"""Hook of mkdocs: pages read as on the forge, and may link to any file of the repository.

Links are written once, relative to the file that has them: `../../notebook/README.md`. The forge follows them as they
stand. mkdocs knows the files of `docs/` alone; so whatever is linked outside of it (and what that links in turn) joins the
site under `repository/`, and links are rewritten to lead there. Pages and pictures join as they are, other files as a page
that shows their text. A link to a file that does not exist stays, so that the strict build fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from os.path import relpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)")
CELL = re.compile(r"<td.*?</td>", re.DOTALL)
PICTURES = (".png", ".svg")
PLACE = "repository"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files outside `docs/` that pages link to."""
    root = _root(config)
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    seen: set[Path] = set()
    while waiting:
        page = waiting.pop()
        for target in _links(page):
            if target in seen or not _is_outside(target, root):
                continue
            seen.add(target)
            if target.suffix in (".md", *PICTURES):
                files.append(File.generated(config, _place(target, root), abs_src_path=str(target)))
                waiting += [target] if target.suffix == ".md" else []
            else:
                text = f"# {target.name}\n\n```{target.suffix[1:]}\n{target.read_text(encoding='utf-8')}\n```\n"
                files.append(File.generated(config, _place(target, root), content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where the files are in the site; read Markdown within `<details>`, as the forge does."""
    if not page.file.abs_src_path:  # the text of a file, which has no links
        return markdown
    root, source = _root(config), Path(page.file.abs_src_path)
    rewritten = LINK.sub(_rewriter(source, root, page.file.src_uri), markdown)
    return rewritten.replace("<details>", '<details markdown="1">')


def on_page_content(html: str, **_: Any) -> str:
    """Show `|` where a cell of a table has it as code: the forge wants it escaped, Python-Markdown shows the backslash."""
    return CELL.sub(lambda cell: cell[0].replace("\\|", "|"), html)


def _rewriter(source: Path, root: Path, src_uri: str) -> Callable[[re.Match[str]], str]:
    """Return what replaces the target of a link in a page."""

    def rewrite(link: re.Match[str]) -> str:
        target = (source.parent / link[1]).resolve()
        return relpath(_place(target, root), Path(src_uri).parent) if target.is_file() else link[1]

    return rewrite


def _links(page: Path) -> Iterator[Path]:
    """List the files to which a page links."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / link).resolve()
        if target.is_file():
            yield target


def _place(target: Path, root: Path) -> str:
    """Return where a file of the repository is in the site."""
    if not _is_outside(target, root):
        return target.relative_to(root / "docs").as_posix()
    shown = target.relative_to(root).as_posix()
    return f"{PLACE}/{shown}" if target.suffix in (".md", *PICTURES) else f"{PLACE}/{shown}.md"


def _is_outside(target: Path, root: Path) -> bool:
    return target.is_relative_to(root) and not target.is_relative_to(root / "docs")


def _root(config: MkDocsConfig) -> Path:
    return Path(config.docs_dir).resolve().parent
