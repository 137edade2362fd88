"""The box of the images is stated once."""

from __future__ import annotations

import ast
from pathlib import Path

import imatgen_flows
from imatgen_flows.crystals.box import BOX


def test_no_other_module_states_the_box():
    package = Path(imatgen_flows.__file__).parent
    found = [
        f"{path.relative_to(package)}:{node.lineno}"
        for path in sorted(package.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value == BOX
    ]
    assert [place.partition(":")[0] for place in found] == ["crystals/box.py"]
