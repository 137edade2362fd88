"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import imatgen_flows

PACKAGE = Path(imatgen_flows.__file__).parent


def modules_with_examples():
    """Names of all modules whose examples need no run; those of the others are run in test_public_api.py."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8") and path.name not in ("run.py", "run_plots.py", "toolkit.py"):
            yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", modules_with_examples())
def test_the_examples_of_a_module_are_true(module):
    failed, attempted = doctest.testmod(import_module(module), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted > 0 and failed == 0
