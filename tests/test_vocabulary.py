"""Words that were given up do not come back: neither as names in the code nor in what people read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("imatgen_flows", "tests", "benchmarks", "workflows")

# a retired name -> what is said now; a name is a whole identifier, or a part of one between underscores
RETIRED_NAMES = {
    "closure": "substituted",
    "NoveltyJudge": "NoveltyClassifier",
    "judge": "classify, check",
    "retell": "shift_origin",
    "retold": "training set under shifted origins",
    "tellings": "origin_shifts",
    "told": "a plain word",
    "mend": "with_contents, repair",
    "mending": "contents",
    "mended": "repaired",
    "refine": "invert",
    "refined": "inverted",
    "refinement": "inversion",
    "price": "evaluate, single point",
    "priced": "evaluated",
    "pricing": "single points",
    "promise": "lower_confidence_bound",
    "caution": "kappa",
    "CROWDING": "COMPOSITION_PENALTY",
    "Slot": "TargetCell",
    "slot": "target",
    "slots": "targets",
    "LeftOut": "Exclusion",
    "left_out": "exclusions",
    "fault_of": "check_validity",
    "Kept": "ResultCache",
    "DECIDING": "CACHE_KEY_PACKAGES",
    "hire": "start",
    "crew": "workers",
    "last_words": "exit_message",
    "dismiss": "close",
    "forget": "reset",
    "certificate": "decode_quality",
    "Certificate": "DecodeQuality",
    "DOUBT": "MAX_RESIDUAL",
    "Team": "ProcessGroup",
    "team": "group",
    "lineage": "provenance",
    "around_known": "perturb",
    "learnt": "round's finds",
    "StageDocument": "JobDocument",
    "CrystalGenerator": "CrystalModel",
}
# phrases that a reader of the field would not search for
RETIRED_PHRASES = (
    r"\bthe books\b",
    r"\bthe judge\b",
    r"\bby heart\b",
    r"\bretold\b",
    r"\btold anew\b",
    r"\bfound by looking\b",
    r"\bas held[- ]outs\b",
)
LOWER_CASE = ("atomate2", "custodian", "jobflow", "pymatgen", "spglib")  # written so by their authors
# names that other libraries decide, and the two places that must name what was given up
FOREIGN = {"slots"}  # dataclass(slots=True)
EXEMPT = {
    "tests/test_vocabulary.py",
    "imatgen_flows/campaign_v1.py",
    "benchmarks/compare_runs.py",
}


def sources() -> list[Path]:
    return [
        path
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.relative_to(ROOT).as_posix() not in EXEMPT
    ]


def defined_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that a module gives to something: functions, classes, parameters, variables, attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno


def is_retired(name: str) -> bool:
    return any(part in RETIRED_NAMES and part not in FOREIGN for part in (name, *name.split("_"))) or any(
        f"_{retired}_" in f"_{name}_" for retired in RETIRED_NAMES if "_" in retired
    )


def test_no_retired_name_is_defined():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources()
        for name, line in defined_names(ast.parse(path.read_text()))
        if is_retired(name) and not name.startswith("test_")
    ]
    assert not found, "\n" + "\n".join(found)


def test_no_module_bears_a_retired_name():
    assert not [path for path in sources() if is_retired(path.stem.removeprefix("test_"))]


@pytest.mark.parametrize("phrase", RETIRED_PHRASES)
def test_no_retired_phrase_is_written(phrase):
    pattern = re.compile(phrase, re.IGNORECASE)
    texts = [*sources(), *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebook").glob("*.md"), ROOT / "README.md"]
    texts += [path for path in (ROOT / "imatgen_flows" / "report").rglob("*") if path.suffix in (".js", ".html", ".j2")]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, "\n" + "\n".join(found)


def test_the_first_sentence_of_a_docstring_begins_as_one():
    """A docstring begins with a sentence of its own; that there is one, ruff checks."""
    faults = []
    for path in sorted((ROOT / "imatgen_flows").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef))]:
            first = (ast.get_docstring(node) or "A").split()[0]
            if not (first[0].isupper() or first[0] in "`'" or first.startswith(LOWER_CASE)):
                faults.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}: {first}")
    assert not faults, "\n" + "\n".join(faults)
