"""The comparison of arms from a campaign file: what it conserves, what a kill leaves, and what it refuses."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from imatgen_flows.errors import InputError, Interrupted

SEEDS, BUDGET = (11, 12), 5
ARMS = ("substitution", "random_search", "genetic", "equal", "adaptive")
OPTIONS = ("--seeds", "11,12", "--arms", ",".join(ARMS), "--relaxations", BUDGET, "--batches", 2)
SCREEN = {"potential": "toy", "at_most": 9, "max_steps": 40, "fmax": 0.5}


def call(*arguments):
    from imatgen_flows.cli.main import app

    result = CliRunner().invoke(app, ["evaluate", "baselines", *map(str, arguments)])
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def campaign(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("arms") / "campaign.yaml"
    tiny(screen=SCREEN).to_file(path)
    return path


@pytest.fixture(scope="module")
def out(campaign):
    pytest.importorskip("pyxtal")
    pytest.importorskip("ase_ga")
    directory = campaign.parent / "out"
    result = call(campaign, *OPTIONS, "--out", directory)
    assert result.exit_code == 0
    (campaign.parent / "printed.txt").write_text(result.stdout)
    return directory


@pytest.fixture(scope="module")
def found(out):
    return json.loads((out / "baselines.json").read_text())


def relaxed(directory):
    """The relaxed rows of a run in the order in which they were relaxed, from its table alone."""
    rows = pq.read_table(directory / "candidates.parquet").to_pylist()
    tried = [row for row in rows if row["e_above_hull"] is not None or row["rejected_stage"] == "screen"]
    return sorted(tried, key=lambda row: (row["round"], row["batch"]))


def runs_of(out):
    return [(arm, seed, out / f"seed-{seed}" / arm) for arm in ARMS for seed in SEEDS]


def without_times(found):
    content = json.loads(json.dumps(found))
    for arm in content["arms"].values():
        for summary in (arm["pooled"], *arm["seeds"].values()):
            del summary["wall"], summary["cpu"]
    return content


def test_every_arm_spends_its_budget_and_each_relaxation_has_a_source(out, found):
    assert [(run["arm"], run["seed"]) for run in found["runs"]] == [(arm, seed) for arm, seed, _ in runs_of(out)]
    for run, (arm, _, directory) in zip(found["runs"], runs_of(out), strict=True):
        rows = relaxed(directory)
        batches = json.loads((directory / "allocation.json").read_text())["batches"]
        assert {row["batch"] for row in batches} == {0, 1}
        assert sum(run["given"].values()) == len(rows) == sum(row["given"] for row in batches)
        assert sum(run["given"].values()) + run["unfilled"] == run["budget"] == BUDGET
        assert run["unfilled"] == 0
        assert run["given"] == {source: sum(row["source"] == source for row in rows) for source in run["given"]}
        assert set(run["given"]) == ({arm} if arm in ARMS[:3] else set(ARMS[:3]))


def test_the_curves_agree_with_a_recount_of_the_tables(out, found):
    for run, (_, _, directory) in zip(found["runs"], runs_of(out), strict=True):
        ledger = json.loads((directory / "ledger.json").read_text())["evaluations"]
        curves, best = run["curves"], {}
        spent, near = 0, {"0": 0, "0.05": 0, "0.1": 0}
        for place, row in enumerate(relaxed(directory), 1):
            spent += row["evaluations"]
            energy = row["e_above_hull"]
            for limit, before in near.items():
                near[limit] = before + (row["novelty"] == "new" and energy is not None and energy <= float(limit))
            assert {limit: values[place] for limit, values in curves["new"].items()} == near
            assert curves["evaluations"][place] == spent
            if energy is not None and energy < best.get(row["formula"], (0, 9e9))[1]:
                best[row["formula"]] = (spent, energy)
        assert spent == ledger["screen"] > 0
        assert run["preparation"] == ledger["labels"] + ledger["references"] > 0
        assert curves["with_preparation"][-1] == spent + run["preparation"]
        assert {formula: tuple(steps[-1]) for formula, steps in run["best"].items()} == best


def test_labels_and_references_are_made_once_for_all_arms_and_seeds(out):
    jobs = [path.name.rpartition("-")[0] for path in (out / "artifacts" / "documents").iterdir()]
    assert [jobs.count(job) for job in ("build_dataset", "label_dataset", "extend_hull", "relax_references")] == [1] * 4
    assert jobs.count("finish_round") == len(ARMS) * len(SEEDS)
    assert not [job for job in jobs if job.startswith("train_")]


def test_the_summaries_say_what_the_tables_say(out, found):
    for arm in ARMS:
        rows = [row for seed in SEEDS for row in relaxed(out / f"seed-{seed}" / arm)]
        pooled, ends = found["arms"][arm]["pooled"], [row for row in rows if row["e_above_hull"] is not None]
        assert (pooled["relaxations"], pooled["relaxed"]) == (len(rows), len(ends))
        assert pooled["unique"]["count"] == sum(row["novelty"] != "duplicate" for row in ends)
        assert pooled["novel"]["count"] == sum(row["novelty"] == "new" for row in ends)
        assert pooled["sun"]["count"] == pooled["within"][-1]["new"] and pooled["sun"]["total"] == len(rows)
        assert 0 < pooled["matched"]["total"] == len(ends) and pooled["valid"]["count"] <= pooled["valid"]["total"]
        assert pooled["wall"]["search"] > 0 and pooled["cpu"]["search"] > 0 == pooled["wall"]["training"]


def test_table_figure_and_sentence_are_there(out, found, campaign):
    with (out / "baselines.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["arm"], row["seed"]) for row in rows] == [(arm, seed) for arm in ARMS for seed in ("11", "12", "all")]
    for row in rows:
        part = found["arms"][row["arm"]]
        summary = part["pooled"] if row["seed"] == "all" else part["seeds"][row["seed"]]
        assert int(row["new_0.1"]) == summary["within"][-1]["new"]
    assert (out / "baselines.png").read_bytes().startswith(b"\x89PNG")
    printed = (campaign.parent / "printed.txt").read_text()
    assert found["verdict"]["sentence"] in printed.replace("\n", " ")
    assert all(arm in printed for arm in ARMS) and "substitution made the same relaxations" in printed


def test_the_tables_are_as_readable_in_a_terminal_of_80_columns_as_in_a_wide_one(monkeypatch, capsys):
    from imatgen_flows.cli.evaluate_arms import print_comparison
    from imatgen_flows.metrics.arm_comparison import ArmComparison
    from imatgen_flows.metrics.arms import ArmRelaxation, ArmRun

    def run(arm, seed):
        found = [ArmRelaxation(arm, "AB", 37, -0.123, "new", 0.123)] * 590 + [ArmRelaxation(arm, "AB", 1)] * 810
        return ArmRun(arm, seed, 1400, found, 9999, 9900, {arm: 1400}, 99_999, {"search": 9e5}, {"search": 9e6})

    comparison = ArmComparison.of(
        [run(arm, seed) for arm in ("random_search", "substitution") for seed in (11, 12, 13)]
    )
    printed = []
    for columns in (80, 300):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_comparison(comparison, "V-O, E_hull of chgnet")
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] and "random_search" in printed[0]
    assert max(len(line) for line in printed[0].splitlines() if line.startswith(" ")) <= 80


def test_a_comparison_that_was_killed_goes_on_with_the_same_command(out, found, campaign, tmp_path, monkeypatch):
    killed = tmp_path / "killed"
    shutil.copytree(out, killed, symlinks=True)
    for path in killed.glob("baselines.*"):
        path.unlink()
    for arm in ("equal", "adaptive"):
        shutil.rmtree(killed / "seed-12" / arm)
    documents = sorted((killed / "artifacts" / "documents").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in documents[-4:]:
        path.unlink()
    from imatgen_flows.managers import comparison, local

    def stop(config, directory, resume):
        if directory.name == "adaptive":
            raise Interrupted("stopped", 2)
        return local.run_campaign(config, directory, resume)

    monkeypatch.setattr(comparison, "run_campaign", stop)
    with pytest.raises(Interrupted):
        call(campaign, *OPTIONS, "--out", killed)
    assert (killed / "seed-12" / "equal" / "provenance.json").is_file() and not list(killed.glob("baselines.*"))
    monkeypatch.undo()
    again = json.loads(call(campaign, *OPTIONS, "--out", killed, "--json").stdout)
    assert without_times(again) == without_times(found)
    whole = [again["arms"]["genetic"][key] for key in ("pooled", "seeds")]
    assert whole == [found["arms"]["genetic"][key] for key in ("pooled", "seeds")]  # recorded times are kept


def test_the_same_seed_gives_the_same_table(out, campaign, tmp_path, same_table):
    other = tmp_path / "other"
    call(campaign, "--seeds", "12", "--arms", "random_search", "--relaxations", BUDGET, "--batches", 2, "--out", other)
    assert same_table(*(path / "seed-12" / "random_search" for path in (out, other)))


def test_a_run_of_an_arm_opens_like_any_other(out):
    from imatgen_flows.run import Run

    run = Run.open(out / "seed-11" / "genetic")
    assert len(run.candidates) > 0


@pytest.mark.slow
def test_the_generator_takes_part(tiny, run_once_trained, tmp_path):
    small = {"slerp": 30, "prior": 5, "perturb": 10}
    config = tiny(sampling=small, screen=SCREEN | {"at_most": 4, "max_steps": 20})
    config.to_file(tmp_path / "campaign.yaml")
    trained = run_once_trained(config, tmp_path / "trained")
    options = ("--arms", "generator,rattled,equal", "--batches", 1, "--out", tmp_path / "out", "--json")
    found = json.loads(call(tmp_path / "campaign.yaml", *options).stdout)
    assert [run["given"] for run in found["runs"]][0] == {"generator": 4}
    assert found["arms"]["generator"]["pooled"]["wall"]["training"] > 0
    assert relaxed(tmp_path / "out" / "seed-7" / "generator") == relaxed(trained)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", "11,twelve"), "`twelve` is no seed"),
        (("--seeds", "-1"), "`-1` is no seed"),
        (("--seeds", ","), "--seeds names none"),
        (("--seeds", "11,11"), "--seeds names 11 twice"),
        (("--arms", "genetik"), "unknown arm `genetik`. Did you mean `genetic`"),
        (("--arms", ","), "--arms names none"),
        (("--arms", "files"), "the arm `files` needs structures"),
        (("--arms", "genetic,adaptive"), "the arm `adaptive` shares its relaxations among the other arms"),
        (("--relaxations", 3, "--batches", 4), "--relaxations 3 is too few for 4 batches"),
        (("--batches", 10), "--relaxations 9 is too few for 10 batches"),
        (("--per-source", 10), "is a campaign file, for which --per-source means nothing"),
        (("--seed", 3), "is a campaign file, for which --seed means nothing"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_runs(campaign, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        call(campaign, *options, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_of_nothing_is_refused(campaign, tmp_path):
    assert call(campaign, "--relaxations", 0, "--out", tmp_path / "out").exit_code == 2


def test_a_missing_directory_or_package_is_named(campaign, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="needs --out"):
        call(campaign)
    with pytest.raises(InputError, match="--seeds means nothing: it goes with a campaign file"):
        call(tmp_path, "--seeds", "11")
    monkeypatch.setattr("imatgen_flows.sources.registry.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install 'imatgen-flows\\[search\\]'"):
        call(campaign, "--arms", "genetic", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_of_another_comparison_is_refused(out, tiny, campaign, tmp_path):
    with pytest.raises(InputError, match="other seeds: 11,12, not 11"):
        call(campaign, "--seeds", "11", *OPTIONS[2:], "--out", out)
    with pytest.raises(InputError, match="another campaign: `screen` differ"):
        call(campaign, *OPTIONS[:4], "--relaxations", 6, "--batches", 2, "--out", out)
    tiny(screen=SCREEN, limits={"max_sites": 5, "max_edge": 6}).to_file(tmp_path / "other.yaml")
    with pytest.raises(InputError, match="another campaign: `limits` differ"):
        call(tmp_path / "other.yaml", *OPTIONS, "--out", out)
    with pytest.raises(InputError, match="is not empty and holds no comparison"):
        call(campaign, *OPTIONS, "--out", tmp_path)


PAPER = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "paper_setting.py"))


def test_the_paper_setting_has_its_nine_cases():
    campaigns = [case.campaign(400, "chgnet") for case in PAPER["CASES"]]
    assert len(campaigns) == 9 == len({case.name for case in PAPER["CASES"]})
    searches = {(c["search"]["compositions"][0], c["search"]["sites"], c["search"]["pressure"]) for c in campaigns}
    sizes = {("V3O4", "7"), ("V3O4", "14"), ("V5O8", "13")}
    assert searches == {(*size, pressure) for size in sizes for pressure in (0, 10, 100)}
    assert {c["screen"]["at_most"] for c in campaigns} == {400}
    assert yaml.safe_load(yaml.safe_dump(campaigns[0])) == campaigns[0]


def test_the_paper_setting_writes_a_command_that_the_program_knows(tmp_path):
    given = PAPER["arguments"]([str(tmp_path), "--seeds", "11,12", "--relaxations", "8", "--write"])
    words = PAPER["command"](tmp_path / "case.yaml", given)
    assert words[:3] == ["imatgen", "evaluate", "baselines"] and words[-1] == str(tmp_path / "case")
    assert call(*words[3:], "--help").exit_code == 0
    assert PAPER["lowest"]({"runs": [{"arm": "a", "best": {"AB": [[5, 0.3], [9, 0.1]]}}]}, "AB") == {"a": (0.1, 9)}
