"""The plan counts everything that a campaign may do: every round, and DFT."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.cli.main import main
from imatgen_flows.config import Rounds
from imatgen_flows.energetics.potential_registry import POTENTIALS
from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.errors import InputError
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.dataset_rows import training_rows
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.preflight import _rounds_within_budget, check_machine, make_plan

PUBLISHED = len(reference_phases(["V", "O"]))


@pytest.fixture
def plan(tiny):
    return lambda **sections: make_plan(tiny(**sections), measure=False)


def test_every_round_is_counted_and_what_is_done_once_is_counted_once(plan):
    one, three = plan(), plan(rounds={"at_most": 3})
    assert (one.rounds, three.rounds) == (1, 3)
    assert (three.samples, three.relaxations) == (3 * one.samples, 3 * one.relaxations) == (180, 18)
    assert three.evaluations["screen"] == 3 * one.evaluations["screen"]
    for name in ("labels", "references"):
        assert three.evaluations[name] == one.evaluations[name]
    assert three.lines()["samples"] == "at most 180 (60 a round)"
    assert three.lines()["relaxations"] == "at most 18 (6 a round)"
    assert one.lines()["samples"] == "60" and one.lines()["relaxations"] == "at most 6"


def test_phonons_are_planned_with_the_size_of_their_supercells(plan):
    without, planned = plan(), plan(phonons={"at_most": 4, "supercell": 6}, rounds={"at_most": 2})
    assert "phonons" not in without.evaluations and "phonons" not in without.lines()
    assert planned.evaluations["phonons"] % 2 == 0 and planned.evaluations["phonons"] > 2 * 4 * 40
    assert planned.seconds["phonons"] > planned.seconds["screen"]
    assert planned.lines()["phonons"].startswith("at most 4 structures a round, about ")
    larger = plan(phonons={"at_most": 4, "supercell": 12, "max_atoms": 20})
    assert "too large (`phonons.max_atoms`)" in larger.lines()["phonons"]
    assert plan(phonons={"at_most": 50}).lines()["phonons"].startswith("at most 6 ")  # no more are relaxed


@pytest.mark.parametrize(("budget", "rounds"), [(110, 1), (111, 2), (120, 2), (121, 3), (1000, 5)])
def test_rounds_that_the_budget_does_not_let_begin_are_not_counted(budget, rounds):
    assert _rounds_within_budget(Rounds(at_most=5, evaluations=budget), once=100, in_a_round=10) == rounds


def test_a_budget_that_the_first_round_exceeds_is_refused(plan):
    with pytest.raises(InputError, match=r"needs about [\d,]+ energy evaluations in its first round.*allows 10\."):
        plan(rounds={"at_most": 5, "evaluations": 10})


def test_calculations_of_dft_are_references_and_candidates_with_each_of_their_starts(plan):
    dft = {"backend": "vasp-mp-gga", "at_most": 4}
    assert plan().dft_chains == 0 and "DFT" not in plan().lines()
    planned = plan(validate=dft)
    assert planned.dft_chains == PUBLISHED + 4 and planned.dft_runs == 3 * planned.dft_chains
    assert plan(validate=dft, rounds={"at_most": 3}).dft_chains == PUBLISHED + 3 * 4
    assert plan(validate=dft | {"antiferro": True}, rounds={"at_most": 3}).dft_chains == 2 * (PUBLISHED + 3 * 4)
    assert plan(validate=dft | {"references": "mp"}).dft_chains == 4
    assert plan(validate=dft | {"at_most": 50}).dft_chains == PUBLISHED + 6  # no more are relaxed, and so shortlisted
    force_field = plan(validate=dft | {"backend": "force-field"})
    assert force_field.dft_runs == force_field.dft_chains
    words = planned.lines()["DFT"]
    assert words.startswith(f"at most {PUBLISHED + 4} structures, {3 * (PUBLISHED + 4)} VASP runs (vasp-mp-gga)")
    assert words.endswith("what fails is tried up to 2 times")


def test_what_the_charge_balance_concerns_is_said_before_anything_runs(plan):
    rejecting, flagging, none = (plan(validity={"charge": choice}) for choice in ("reject", "flag", "none"))
    assert 0 < rejecting.unbalanced_structures < rejecting.structures
    assert 0 < rejecting.unbalanced_compositions < rejecting.compositions
    assert rejecting.unbalanced_structures == flagging.unbalanced_structures == none.unbalanced_structures
    said = rejecting.lines()["charge balance"]
    assert said.startswith(f"{rejecting.unbalanced_structures:,} training structures") and "are rejected" in said
    assert "marked" in flagging.lines()["charge balance"]
    assert not rejecting.warnings()


@pytest.mark.parametrize("system", [("Pu", "O"), ("Pt", "O")])
def test_oxides_of_elements_with_few_reports_are_not_all_refused(plan, system):
    planned = plan(system=system)
    assert planned.unbalanced_structures < 0.8 * planned.structures


def test_a_campaign_that_rejects_most_of_what_it_learns_from_is_warned(plan):
    planned = plan(system=("Na", "F"))
    assert planned.unbalanced_structures > planned.structures / 2
    assert "validity: {charge: flag}" in planned.warnings()[0] and planned.to_dict()["warnings"] == planned.warnings()
    assert not plan(system=("Na", "F"), validity={"charge": "flag"}).warnings()


def test_the_plan_counts_with_what_a_relaxation_of_the_potential_takes(tiny, plan, monkeypatch):
    usual = plan()
    slower = replace(POTENTIALS["toy"], evaluations=100, reference_evaluations=80)
    monkeypatch.setitem(POTENTIALS._entries, "toy", slower)
    longer = plan()
    assert longer.evaluations["screen"] == 2 * usual.evaluations["screen"] == 600
    assert longer.evaluations["labels"] == usual.evaluations["labels"]
    assert longer.evaluations["references"] == 2 * usual.evaluations["references"]
    assert all(longer.seconds[name] > 0 for name in ("labels", "references", "screen"))


def test_a_threshold_below_that_of_the_calibration_is_warned_of(tiny, plan, monkeypatch):
    monkeypatch.setitem(POTENTIALS._entries, "toy", replace(POTENTIALS["toy"], threshold=0.12))
    screen = tiny().screen.model_dump()
    assert not plan(screen=screen).warnings()
    (said,) = plan(screen=screen | {"threshold": 0.05}).warnings()
    assert "`screen.threshold: 0.05` may lose crystals near the hull" in said and "up to 0.12" in said


def test_a_plan_is_plain_values(plan):
    content = plan(validate={"backend": "vasp-mp-gga"}).to_dict()
    assert content["total_evaluations"] == sum(content["evaluations"].values())
    assert {"rounds", "dft_chains", "dft_runs", "dft_attempts"} <= set(content)


def build(config, root):
    """Build the dataset of a campaign as its run does."""
    sections = {"templates": with_files(config.templates), "known": with_files(config.known)}
    return build_dataset.original(str(root), system=config.system, limits=plain(config.limits), **sections)


@pytest.fixture
def few(tiny, tmp_path):
    """Build a campaign of a system without published phases, with a number of templates that give two structures each."""

    def make(number, **sections):
        folder = tmp_path / "templates"
        folder.mkdir(exist_ok=True)
        for index in range(number):
            lattice = Lattice.tetragonal(4.0, 2.6 + 0.35 * index)
            sites = [[0, 0, 0], [0.5, 0, 0.5]]
            Structure.from_spacegroup(123, lattice, ["Sr", "Se"], sites).to(str(folder / f"{index}.cif"))
        limits = {"max_sites": 6, "max_edge": 8}
        return tiny(("Zr", "N"), templates={"path": folder}, limits=limits, **sections)

    return make


def said(function, *arguments):
    with pytest.raises(InputError) as caught:
        function(*arguments)
    return str(caught.value)


def test_a_dataset_too_small_to_learn_from_is_refused_by_plan_and_run_in_one_sentence(few, tmp_path):
    config = few(4)
    sentence = said(make_plan, config)
    assert sentence.startswith("only 8 training structures are left (templates: 4); a generator needs 10 at least")
    assert said(run_campaign, config, tmp_path / "run") == sentence


def test_a_held_out_share_that_leaves_nothing_to_learn_is_refused_by_plan_and_training_in_one_sentence(tiny, tmp_path):
    folder = tmp_path / "templates"
    folder.mkdir()
    sites = [[0, 0, 0], [0.5] * 3, [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    for height in (4.0, 5.0):  # two perovskites, each with six places for three elements
        cell = Lattice.tetragonal(4.0, height)
        Structure(cell, ["Ba", "Ti", "O", "O", "O"], sites).to(str(folder / f"{height}.cif"))
    source = {"templates": {"path": folder}, "limits": {"max_sites": 5, "max_edge": 8}}
    config = tiny(("Li", "V", "O"), **source, model={"holdout": 0.89})
    sentence = said(make_plan, config)
    assert sentence.startswith("`model.holdout: 0.89` leaves 0 of 12 training structures to the networks, which need 2")
    assert said(training_rows, build(config, tmp_path / "run"), config.model) == sentence
    (fault,) = [check for check in check_machine(config) if not check.ok]
    assert (fault.name, fault.detail) == ("templates", sentence)
    assert make_plan(tiny(("Li", "V", "O"), **source, model={"holdout": 0.5}), measure=False).structures == 12


def test_the_plan_counts_the_structures_that_the_run_trains_on(tiny, tmp_path):
    for held_out in ("none", "structures", "prototypes"):
        config = tiny(known={"held_out": held_out})
        planned, document = make_plan(config, measure=False), build(config, tmp_path / held_out)
        assert planned.structures == document.counts["kept"] == planned.evaluations["labels"]
        assert planned.templates == document.counts["templates"]


def test_inputs_that_a_check_of_the_run_refuses_are_refused_by_the_plan_in_one_sentence(tiny, tmp_path):
    emt = {"potential": "emt"}
    cases = {
        "potential emt": tiny(("Cu", "S"), labels=emt, screen=emt),
        "potential Nope by atomate2": tiny(validate={"backend": "force-field", "force_field": "Nope"}),
        "model": tiny(model={"start": tmp_path / "none.imatgen"}),
        "DFT settings": tiny(("Ce", "O"), validate={"backend": "vasp-mp-gga"}),
    }
    for name, config in cases.items():
        (fault,) = [check for check in check_machine(config) if check.name == name]
        assert not fault.ok and said(make_plan, config) == f"{name}: {fault.detail}"


def test_a_refused_plan_ends_with_status_2(tmp_path, monkeypatch, capsys):
    (tmp_path / "c.yaml").write_text("system: [Cu, S]\nlabels: {potential: emt}\nscreen: {potential: emt}\n")
    monkeypatch.setattr("sys.argv", ["imatgen", "plan", str(tmp_path / "c.yaml")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2 and "it fails for S alone" in capsys.readouterr().err


def test_the_plan_names_the_first_crystals_that_are_left_out_and_json_all(few, capsys, monkeypatch, tmp_path):
    config = few(6)
    folder = config.templates.path
    for number in range(5):
        (folder / f"bad{number}.cif").write_text("no crystal " * 50)
    planned = make_plan(config.model_copy(update={"known": type(config.known)(path=folder)}), measure=False)
    lines = planned.examples()
    (line,) = [line for line in lines if line.startswith("templates, 5 unreadable: ")]
    assert "bad0 (bad0.cif: " in line and "bad2 (" in line and "bad3" not in line and line.endswith("; 2 more")
    assert len(line) < 600
    assert any(line.startswith("known, 5 unreadable: ") for line in lines)
    assert any(line.startswith("known, 6 other elements: 0 (holds Se, Sr); ") for line in lines)
    everything = planned.to_dict()["excluded"]
    assert len({(row["section"], row["id"]) for row in everything}) == len(everything) >= 16
    assert all(row["reason"] and row["detail"] for row in everything)
    counted = sum(planned.exclusions.values()) + sum(planned.known_exclusions.values())
    assert len(everything) == counted
    config.to_file(tmp_path / "c.yaml")
    monkeypatch.setattr("sys.argv", ["imatgen", "plan", str(tmp_path / "c.yaml")])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr().out
    assert "left out (--json has all of them):" in printed and "  templates, 5 unreadable: bad0 (" in printed
