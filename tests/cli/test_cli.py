"""The command line: what it prints, and its exit status."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from imatgen_flows.config import CampaignConfig
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.managers.run_files import RunState
from imatgen_flows.run import Run


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    small = {"slerp": 30, "prior": 5, "perturb": 5}
    return run_once_trained(tiny(sampling=small), tmp_path_factory.mktemp("cli") / "run")


@pytest.fixture
def campaign(tiny, tmp_path):
    path = tmp_path / "campaign.yaml"
    tiny().to_file(path)
    return path


def test_a_misspelt_key_is_a_sentence_and_status_2(imatgen, tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text("system: [V, O]\nsampling: {slrp: 3}\n")
    code, _, error = imatgen("plan", path)
    assert code == 2
    assert "`sampling`: unknown sampler `slrp`. Did you mean `slerp`?" in error
    assert "Traceback" not in error


def test_status_of_a_run_on_this_machine_needs_no_cluster(imatgen, run, tmp_path, monkeypatch):
    monkeypatch.delenv("IMATGEN_CLUSTER", raising=False)
    code, text, _ = imatgen("status", run)
    assert code == 0 and "finished" in text and "the run is finished." in text and "candidates: " in text
    found = json.loads(imatgen("status", run, "--json")[1])
    assert (found["state"], found["failure"]) == ("finished", "") and sum(found["candidates"].values()) == 40
    stopped = tmp_path / "stopped"
    (stopped / "artifacts").mkdir(parents=True)
    shutil.copy(run / "campaign.yaml", stopped)
    code, text, _ = imatgen("status", stopped)
    assert code == 0 and "stopped" in text and "no samples have been drawn yet" in text and "--resume" in text
    code, _, error = imatgen("status", stopped, "--watch")
    assert code == 2 and "--watch is for campaigns on a cluster" in error
    code, _, error = imatgen("status")
    assert code == 2 and "which cluster?" in error and "`imatgen status RUN`" in error
    code, _, error = imatgen("status", tmp_path)
    assert code == 2 and "not a run directory" in error
    code, _, error = imatgen("status", tmp_path / "missing")
    assert code == 2 and "there is no such run directory" in error


def test_plan_counts_before_anything_runs(imatgen, campaign):
    code, text, _ = imatgen("plan", campaign, "--json")
    plan = json.loads(text)
    assert code == 0
    assert plan["samples"] == 60 and plan["templates"] == 34 and plan["relaxations"] == 6
    assert plan["evaluations"]["labels"] == plan["structures"]
    assert not (campaign.parent / "runs").exists()


def test_plan_is_a_table_for_people(imatgen, campaign):
    code, text, _ = imatgen("plan", campaign)
    assert code == 0 and "energy evaluations" in text and "measured here in" in text
    rows = [line.split(".", 1)[1].split()[:2] for line in text.splitlines() if line.strip()[:2].rstrip(".").isdigit()]
    assert len(rows) == 15 and rows[0] == ["build", "dataset"] and rows[-1] == ["finish", "round"]


def test_a_plan_over_the_budget_is_refused(imatgen, tiny, tmp_path):
    path = tmp_path / "campaign.yaml"
    tiny(rounds={"evaluations": 10}).to_file(path)
    code, _, error = imatgen("plan", path)
    assert code == 2 and "rounds.evaluations" in error


def test_check_names_what_is_missing(imatgen, tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    path = tmp_path / "campaign.yaml"
    tiny(templates={"source": "mp"}).to_file(path)
    code, text, _ = imatgen("check", path, "--json")
    failed = {item["name"] for item in json.loads(text) if not item["ok"]}
    assert code == 1 and failed == {"Materials Project key"}
    assert imatgen("check")[0] == 0


def test_a_run_resumes_to_its_report(imatgen, run, tmp_path):
    path = tmp_path / "again.yaml"
    CampaignConfig.from_file(run / "campaign.yaml").to_file(path)
    code, text, error = imatgen("run", path, "--directory", run, "--resume")
    assert code == 0 and "report.html" in text
    assert "8 published compounds (8 shipped with the program)" in " ".join(text.split())
    assert error.count("found, not repeated") >= 10


def test_a_run_without_a_shortlist_ends_with_its_report_a_reason_and_status_1(imatgen, run, tmp_path):
    empty = shutil.copytree(run, tmp_path / "empty")
    config = CampaignConfig.from_file(run / "campaign.yaml")
    config.screen.threshold = -20.0  # eV/atom: below every hull
    for path in (tmp_path / "empty.yaml", empty / "campaign.yaml"):  # the trained networks are those of the other run
        config.to_file(path)
    code, text, error = imatgen("run", tmp_path / "empty.yaml", "--directory", empty, "--resume")
    assert code == 1 and "report.html" in text
    assert "error: no result: none of" in error and "`screen.threshold`" in error
    assert "no result: none of" in (empty / "report.html").read_text()
    opened = Run.open(empty)
    assert opened.state is RunState.FINISHED and opened.shortlist.empty


def test_report_and_export_read_the_run(imatgen, run, tmp_path):
    assert imatgen("report", run)[0] == 0
    for fmt in ("cif", "extxyz", "csv", "parquet"):
        code, text, _ = imatgen("export", run, "--format", fmt, "--only", "all", "--destination", tmp_path / fmt)
        assert code == 0 and text.strip()


def test_two_runs_are_put_beside_each_other(imatgen, run, tmp_path):
    page = tmp_path / "both.html"
    code, text, _ = imatgen("compare", run, run, "--out", page)
    assert (
        code == 0
        and "What was found" in text
        and "Settings that differ" not in text
        and "in both by the matcher" in text
    )
    assert "<h1>Two runs beside each other</h1>" in page.read_text() and "http:" not in page.read_text()
    found = json.loads(imatgen("compare", run, run, "--json")[1])
    assert found["alone"] == [[], []] and found["found"]["sampled"] == [40, 40]
    code, _, error = imatgen("compare", run, tmp_path)
    assert code == 2 and "not a run directory" in error
    code, _, error = imatgen("compare", run, run, "--out", tmp_path / "no" / "such" / "\0")
    assert code == 2


def test_export_says_when_a_directory_is_no_run(imatgen, tmp_path):
    code, _, error = imatgen("export", tmp_path)
    assert code == 2 and "not a run directory" in error


def test_evaluate_prints_both_paths_of_a_run(imatgen, run):
    code, text, _ = imatgen("evaluate", "reconstruction", run, "--json")
    rows = json.loads(text)
    assert code == 0
    paths = {f"{name}{of}" for name in ("images", "model") for of in ("", " held out", " inverted held out")}
    assert {row["path"] for row in rows} == paths
    assert all(0 <= row["fraction_fully_reconstructed"] <= 1 for row in rows)
    assert imatgen("evaluate", "reconstruction", run)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a run directory"),
        (("--intrinsic",), "--intrinsic needs --system"),
        (("--intrinsic", "--system", "V,O"), "for example V-O"),
        (("--intrinsic", "--system", "V-V"), "for example V-O"),
        (("--intrinsic", "--system", "V-Qq"), "for example V-O"),
    ],
)
def test_evaluate_reconstruction_needs_a_run_or_a_system(imatgen, arguments, message):
    code, _, error = imatgen("evaluate", "reconstruction", *arguments)
    assert code == 2 and message in error


@pytest.mark.parametrize(
    ("old", "new"),
    [("generation", "evaluate baselines"), ("vacancies", "study vacancies"), ("latent", "study latent")],
)
def test_commands_of_version_1_say_their_new_names(imatgen, old, new):
    code, text, error = imatgen("evaluate", old, "runs/vo", "--seed", "3")
    assert code == 2 and f"`imatgen {new}`" in error and not text
    assert old not in imatgen("evaluate", "--help")[1]


@pytest.fixture
def vacant(run, tmp_path):
    """Copy the run, with candidates of our own making: by id, rocksalt without some sites, four VO for each."""
    from pymatgen.core import Lattice, Structure

    from imatgen_flows.candidates.states import Geometry
    from imatgen_flows.crystals.arrays import CrystalArrays
    from imatgen_flows.energetics.relax import RelaxSettings, relax_many
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.candidate_table import candidate_rows, extend_table
    from imatgen_flows.jobs.documents import RoundDocument

    def copy(**sites):
        place = tmp_path / "vacant"
        shutil.copytree(run, place)
        store = ArtifactStore(place / "artifacts")
        [path] = (place / "artifacts" / "documents").glob("finish_round-*.json")
        document = RoundDocument(**store.finished(path.stem))
        drawn = candidate_rows(document.candidates)
        model = next(row for row in drawn if row["e_above_hull"] is not None)
        rows = [{"sample": row["sample"], "novelty": "known"} for row in drawn]
        crystals = []
        whole = Structure.from_spacegroup(225, Lattice.cubic(4.0), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for name, removed in sites.items():
            cell = whole * (1, 1, len(removed))
            cell.remove_sites(removed)
            [relaxed] = relax_many([cell], "toy", RelaxSettings(fmax=0.3, max_steps=100), workers=1)
            crystals.append((name, CrystalArrays.of(relaxed.structure)))
            found = {"novelty": "new", "state": "screened", "energy_per_atom": relaxed.energy_per_atom}
            rows.append(model | {"id": name, "sample": name} | found)
        document.candidates = extend_table(store, document.candidates, rows, crystals, Geometry.RELAXED)
        store.finish(path.stem, document.model_dump(mode="json"))
        return place

    return copy


def test_study_vacancies_says_what_a_cation_more_makes_of_a_candidate(imatgen, vacant):
    from pymatgen.core import Structure

    from imatgen_flows.report.vacancies import vacancies_section

    place = vacant(gap=[0], two=[0, 4])
    code, text, _ = imatgen("study", "vacancies", place, "--json")
    found = json.loads(text)
    [row] = found["candidates"]
    assert code == 0 and found == json.loads((place / "vacancies.json").read_text())
    assert (row["id"], row["formula"], row["filled_formula"], row["reason"]) == ("gap", "V3O4", "V4O4", "")
    assert [item["id"] for item in found["exclusions"]] == ["two"]
    assert Structure.from_str(row["structure"], fmt="cif").composition.reduced_formula == "VO"
    assert found["evaluations"]["filled"] == row["evaluations"] > row["sites"]
    assert found["evaluations_total"] == sum(found["evaluations"].values()) > found["evaluations"]["filled"]
    assert found["dataset"]["structures"] == sum(found["dataset"][key] for key in ("relaxed", "relaxed_now", "equal"))

    code, text, error = imatgen("study", "vacancies", place)  # finds what the first call relaxed
    assert code == 0 and "V4O4" in text and not re.search(r"relaxed \d+ of", error) and "--control tells" in text
    assert json.loads((place / "vacancies.json").read_text()) == found
    section = vacancies_section(place)
    assert "<code>gap</code>" in section and "V<sub>4</sub>O<sub>4</sub>" in section


def test_study_vacancies_relaxes_random_crystals_beside_a_candidate(imatgen, vacant):
    pytest.importorskip("pyxtal")
    place = vacant(gap=[0])
    code, text, _ = imatgen("study", "vacancies", place, "--control", "1", "--seed", "5")
    found = json.loads((place / "vacancies.json").read_text())
    [row], [control] = found["candidates"], found["controls"]
    assert code == 0 and "of 1 (" in text and "controls do" in text
    assert (control["id"], control["filled_formula"], control["cells"]) == ("gap", "V4O4", row["sites"])
    assert found["controls_returned"]["of"] == found["returned"]["of"] == 1 and found["seed"] == 5
    assert found["evaluations"]["control"] == control["evaluations"] > control["cells"]


def test_a_run_without_a_candidate_that_lacks_one_cation_has_an_empty_vacancy_check(imatgen, vacant):
    from imatgen_flows.report.vacancies import vacancies_section

    place = vacant()
    assert vacancies_section(place) == ""
    code, text, _ = imatgen("study", "vacancies", place)
    assert code == 0 and "no new candidate" in text and "nothing to put back" in text
    found = json.loads((place / "vacancies.json").read_text())
    assert found["candidates"] == [] and found["evaluations_total"] == 0
    assert "nothing to put back" in vacancies_section(place)


def test_the_vacancy_check_refuses_what_it_cannot_check(imatgen, run, tmp_path):
    code, _, error = imatgen("study", "vacancies", tmp_path)
    assert code == 2 and "not a run directory" in error

    place = tmp_path / "ternary"
    shutil.copytree(run, place)
    path = place / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"system": ["V", "N", "O"]}))
    code, _, error = imatgen("study", "vacancies", place)
    assert code == 2 and "needs a binary system" in error

    place = tmp_path / "damaged"
    shutil.copytree(run, place)
    for path in (place / "artifacts" / "objects").glob("phases-*"):
        path.unlink()
    code, _, error = imatgen("study", "vacancies", place)
    assert code == 2 and "missing or damaged" in error and "--resume" in error
    assert not (place / "vacancies.json").exists()


@pytest.fixture(scope="module")
def blind(tiny, tmp_path_factory):
    small = {"slerp": 30, "prior": 5, "perturb": 0}
    config = tiny(sampling=small, known={"held_out": "structures"})
    return run_campaign(config, tmp_path_factory.mktemp("blind") / "run")


def test_evaluate_rediscovery_says_of_each_known_phase_who_found_it(imatgen, blind):
    code, text, error = imatgen("evaluate", "rediscovery", blind, "--relax", "2", "--around", "5", "--json")
    assert code == 0, error
    found = json.loads(text)
    assert found == json.loads((blind / "rediscovery.json").read_text())
    [row] = found["known"]
    group = found["summary"]["structures"]
    assert (row["id"], row["formula"], row["nsites"], row["spacegroup_number"]) == ("known:VO rocksalt", "VO", 2, 225)
    assert set(group["tiers"]) == {"T1", "T2"} and group["known"] == group["clusters"] == 1
    assert group["tiers"]["T1"]["samples"][0] <= 5 and 0 < group["tiers"]["T2"]["samples"][0] <= 35
    for name, tier in group["tiers"].items():
        for matcher in ("default", "loose"):
            here = row["structures"][name][matcher]
            assert tier[matcher]["before"]["found"] == [int(here["before"]["found"])]
            assert here["before"]["found"] or here["after"]["found"] or here["reason"]
    # rocksalt is a prototype, so that plain substitution makes it
    assert row["structures"]["substitution"]["as made"] == {"default": True, "loose": True}
    assert found["evaluations_total"] == sum(sum(tier["evaluations"]) for tier in group["tiers"].values())

    code, text, error = imatgen("evaluate", "rediscovery", blind, "--relax", "2", "--around", "5")
    assert code == 0 and "T2, before" in text and "substitution" in text
    assert json.loads((blind / "rediscovery.json").read_text()) == found


def test_rediscovery_over_runs_needs_runs_that_held_out_the_same(imatgen, blind, run, tmp_path):
    code, _, error = imatgen("evaluate", "rediscovery", run)
    assert code == 2 and "known.held_out: structures" in error and not (run / "rediscovery.json").exists()
    code, _, error = imatgen("evaluate", "rediscovery", blind, run)
    assert code == 2 and str(run) in error
    code, _, error = imatgen("evaluate", "rediscovery", blind, blind)
    assert code == 2 and "given twice" in error

    second = tmp_path / "second"
    shutil.copytree(blind, second)
    code, text, _ = imatgen("evaluate", "rediscovery", blind, second, "--around", "3", "--json")
    found = json.loads(text)
    counted = found["summary"]["structures"]["tiers"]["T2"]["loose"]["before"]
    assert code == 0 and len(found["runs"]) == 2 and counted["found"][0] == counted["found"][1] == counted["union"]


def test_rediscovery_refuses_runs_that_held_out_other_phases(imatgen, blind, tmp_path):
    from imatgen_flows.io.artifacts import ArtifactStore, read_lines
    from imatgen_flows.jobs.documents import DatasetDocument

    other = tmp_path / "other"
    shutil.copytree(blind, other)
    store = ArtifactStore(other / "artifacts")
    [path] = (other / "artifacts" / "documents").glob("build_dataset-*.json")
    document = DatasetDocument(**store.finished(path.stem))
    for rows, why in (
        ([row | {"id": "another"} for row in read_lines(document.held_out)], "held out other phases"),
        ([], "no known phase fits"),
    ):
        document.held_out = store.put_lines("held-out", rows)
        store.finish(path.stem, document.model_dump(mode="json"))
        code, _, error = imatgen("evaluate", "rediscovery", blind, other)
        assert code == 2 and why in error
