"""Checks before a campaign starts."""

from __future__ import annotations

from pymatgen.core import Lattice, Structure

from imatgen_flows.managers.preflight import check_machine, make_plan


def check_of(config, name):
    return next((check for check in check_machine(config) if check.name == name), None)


def test_a_file_that_is_not_there_is_named(tiny, tmp_path):
    nowhere = tmp_path / "nowhere.jsonl.gz"
    for name, section in (("templates", {"source": "file", "path": nowhere}), ("known phases", {"path": nowhere})):
        key = name.partition(" ")[0]
        check = check_of(tiny(**{key: section}), name)
        assert not check.ok and check.detail == f"{nowhere}: no such file or folder"
        assert check_of(tiny(**{key: section | {"path": tmp_path}}), name).ok
        assert check_of(tiny(), name) is None


def test_phases_of_the_campaigns_own_file_are_planned_for(tiny, tmp_path):
    shipped = make_plan(tiny())
    crystal = Structure.from_spacegroup("Pm-3m", Lattice.cubic(2.9), ["V", "O"], [[0, 0, 0], [0.5] * 3])
    crystal.to(str(tmp_path / "own.cif"))
    planned = make_plan(tiny(known={"path": str(tmp_path)}))
    assert planned.references == shipped.references + 1
    assert planned.evaluations["references"] > shipped.evaluations["references"]
