"""Checks before a campaign starts."""

from __future__ import annotations

import re

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.errors import InputError
from imatgen_flows.managers.preflight import check_machine, make_plan
from imatgen_flows.sources.search import SearchSpace


def check_of(config, name):
    return next((check for check in check_machine(config) if check.name == name), None)


def test_a_file_that_is_not_there_is_named(tiny, tmp_path):
    nowhere = tmp_path / "nowhere.jsonl.gz"
    for name, section in (("templates", {"source": "file", "path": nowhere}), ("known phases", {"path": nowhere})):
        key = name.partition(" ")[0]
        check = check_of(tiny(**{key: section}), name)
        assert not check.ok and check.detail == f"{nowhere}: no such file or folder"
    assert check_of(tiny(known={"path": tmp_path}), "known phases").ok
    assert check_of(tiny(), "known phases") is None


def templates_in(folder, number):
    folder.mkdir(exist_ok=True)
    for index in range(number):
        lattice = Lattice.tetragonal(4.0, 2.6 + 0.35 * index)
        Structure.from_spacegroup(123, lattice, ["Sr", "Se"], [[0, 0, 0], [0.5, 0, 0.5]]).to(
            str(folder / f"{index}.cif")
        )
    return folder


def test_templates_are_checked_as_the_run_reads_them(tiny, tmp_path):
    limits = {"max_sites": 6, "max_edge": 8}
    (tmp_path / "empty").mkdir()
    folder = templates_in(tmp_path / "many", 6)
    (folder / "notes.txt").write_text("no crystal")
    found = check_of(tiny(("Zr", "N"), templates={"path": folder}, limits=limits), "templates")
    assert found.ok
    assert found.detail == "6 templates, 1 left out (1 other format); 12 training structures"
    refused = {
        "holds no CIF": {"path": tmp_path / "empty"},
        "`where` chooses rows": {"path": folder, "where": {"era": 1}},
        "only 4 training structures are left": {"path": templates_in(tmp_path / "few", 2)},
    }
    for said, section in refused.items():
        config = tiny(("Zr", "N"), templates=section, limits=limits)
        found = check_of(config, "templates")
        assert not found.ok and said in found.detail
        with pytest.raises(InputError) as caught:
            make_plan(config)
        assert str(caught.value) == found.detail


def test_what_must_be_downloaded_is_not_read_by_the_check(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    assert check_of(tiny(templates={"source": "optimade", "provider": "oqmd"}), "templates") is None
    folder = templates_in(tmp_path / "few", 2)
    config = tiny(("Zr", "N"), templates={"path": folder}, known={"source": "optimade", "provider": "oqmd"})
    assert check_of(config, "templates").detail == "2 templates, 0 left out"


def test_a_fault_of_the_known_phases_is_not_one_of_the_templates(tiny, tmp_path):
    (tmp_path / "known.jsonl").write_text("no crystal")
    config = tiny(known={"path": tmp_path / "known.jsonl"})
    assert check_of(config, "templates").ok and not check_of(config, "hull").ok


def test_phases_of_the_campaigns_own_file_are_planned_for(tiny, tmp_path):
    shipped = make_plan(tiny())
    crystal = Structure.from_spacegroup("Pm-3m", Lattice.cubic(2.9), ["V", "O"], [[0, 0, 0], [0.5] * 3])
    crystal.to(str(tmp_path / "own.cif"))
    planned = make_plan(tiny(known={"path": tmp_path}))
    assert planned.published == shipped.published | {tmp_path.name: 1}
    assert f"1 from {tmp_path.name}" in planned.lines()["hull"]
    assert planned.references == shipped.references + 1
    assert planned.evaluations["references"] > shipped.evaluations["references"]


def test_what_the_hull_rests_on_is_said_before_anything_runs(tiny, tmp_path):
    assert check_of(tiny(), "hull").detail == "The hull rests on 8 published compounds (8 shipped with the program)."
    none = check_of(tiny(("Zr", "N")), "hull")
    assert none.ok and "No published compound is on the hull" in none.detail and "Give `known` a source" in none.detail
    ternary = check_of(tiny(("Li", "V", "O")), "hull").detail
    assert "8 published compounds" in ternary and "none of them holds all of Li, V, O" in ternary
    (tmp_path / "known.jsonl").write_text("no crystal")
    broken = check_of(tiny(known={"path": tmp_path / "known.jsonl"}), "hull")
    assert not broken.ok and "known: no line of" in broken.detail


@pytest.mark.parametrize(
    ("system", "changes", "said"),
    [
        (
            ("Mg", "Al", "O"),
            {"search": {"sites": 4}},
            "`search.sites: 4` leaves no candidate: .* of which 7, 9, 11 sites ",
        ),
        (("V", "O"), {"search": {"sites": 1}}, "a cell with each element of V-O has 2 sites at least"),
        (("Li", "V", "O"), {"limits": {"max_sites": 2, "max_edge": 5}}, "`limits.max_sites: 2` leaves no candidate"),
    ],
)
def test_a_search_that_no_candidate_can_satisfy_is_refused_before_anything_runs(tiny, system, changes, said):
    config = tiny(system, **changes)
    found = check_of(config, "search")
    assert not found.ok and re.search(said, found.detail)
    with pytest.raises(InputError, match=said):
        make_plan(config)


def test_a_search_with_charge_balanced_contents_is_not_refused(tiny):
    for search in ({"sites": 4}, {"sites": "2-3"}):
        assert check_of(tiny(search=search), "search") is None
    unbalanced = {"search": {"sites": 4}, "validity": {"charge": "flag"}}
    assert check_of(tiny(("Mg", "Al", "O"), **unbalanced), "search") is None


def test_sources_that_have_nothing_to_propose_are_refused_before_anything_runs(tiny, monkeypatch):
    monkeypatch.setattr(SearchSpace, "is_wanted", lambda *_: False)
    config = tiny(sources={"shares": {"substitution": 0.5, "rattled": 0.5}})
    said = "substitution and rattled propose from the substituted structures of the dataset, and none of these"
    found = check_of(config, "templates")
    assert not found.ok and said in found.detail
    with pytest.raises(InputError, match=said):
        make_plan(config)
    assert check_of(tiny(), "templates").ok  # the generator needs none of them


def test_the_key_of_the_materials_project_is_asked_for_known_phases_too(tiny, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    assert not check_of(tiny(known={"source": "mp"}), "Materials Project key").ok


def test_providers_elsewhere_are_known_by_name_and_the_materials_project_needs_its_key(tiny, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    config = tiny(elsewhere={"providers": ["mp", "oqmd", "oqdm", "https://a.org/optimade"]})
    checks = {check.name: check for check in check_machine(config, read_templates=False)}
    assert not checks["Materials Project key"].ok
    assert checks["elsewhere oqmd"].ok and checks["elsewhere https://a.org/optimade"].ok
    assert not checks["elsewhere oqdm"].ok and "Did you mean `oqmd`?" in checks["elsewhere oqdm"].detail
    with pytest.raises(InputError, match=r"elsewhere oqdm: unknown OPTIMADE provider `oqdm`"):
        make_plan(config)
