"""The public API on a run: what it reads agrees with the files, and what it cannot do is a sentence."""

from __future__ import annotations

import doctest
import gzip
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

import imatgen_flows as imf
from imatgen_flows.candidates.table import read_part, rows_of, table_part, write_table
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.energetics.optimisers import OPTIMISER, OPTIMISERS
from imatgen_flows.errors import ImatgenError, InputError, Interrupted
from imatgen_flows.managers.run_files import FAILURE_FILE, RunState

ROOT = Path(__file__).parents[1]
PLACE = "runs/vanadium-oxides"  # where README, docs and docstrings have their run


@pytest.fixture(scope="module")
def folder(tiny, run_once_trained, tmp_path_factory):
    """A folder with a finished run of V-O where the docs have one."""
    folder = tmp_path_factory.mktemp("api")
    run_once_trained(small(tiny), folder / PLACE)
    return folder


def small(tiny):
    """Build a campaign in whose few samples something is new."""
    return tiny(limits={"max_sites": 8, "max_edge": 7}, sampling={"slerp": 60, "prior": 30, "perturb": 30})


@pytest.fixture
def run(folder):
    return imf.Run.open(folder / PLACE)


# Importing


def test_importing_the_package_loads_nothing_heavy_and_takes_no_time():
    code = (
        "import sys, time; began = time.perf_counter(); import imatgen_flows; spent = time.perf_counter() - began\n"
        "heavy = 'torch numpy pandas pymatgen jobflow pydantic ase pyarrow yaml typer'.split()\n"
        "print(spent, [name for name in heavy if name in sys.modules])"
    )
    spent, loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split(" ", 1)
    assert loaded.strip() == "[]" and float(spent) < 0.2


def test_every_public_name_is_there_and_no_other():
    for name in imf.__all__:
        assert getattr(imf, name).__doc__, name
        assert name in dir(imf)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = imf.nothing
    assert (Path(imf.__file__).parent / "py.typed").is_file()


# A finished run


def test_the_table_is_that_of_the_files(run):
    ledger = json.loads((run.path / "ledger.json").read_text())
    assert run.state is RunState.FINISHED and run.failure == ""
    assert run.candidates["state"].value_counts().to_dict() == ledger["states"]
    assert run.candidates.index.is_unique and run.candidates.attrs["units"]["volume_per_atom"] == "Å³/atom"
    assert (run.shortlist["novelty"] == "new").all() and run.shortlist["e_above_hull"].is_monotonic_increasing
    assert (run.shortlist["e_above_hull"] <= run.config.screen.threshold).all() and len(run.shortlist)


def test_an_id_names_one_crystal_at_each_stage(run):
    row = run.shortlist.iloc[0]
    relaxed, decoded = run.structure(row.name), run.structure(row.name, stage="decoded")
    assert structure_id(relaxed) == row.relaxed_id and structure_id(decoded) == row.id
    assert run.structure(row.relaxed_id) == relaxed and run.structure(row.id) == decoded
    assert run.structure(row.id, stage="decoded") == run.structure(row.id[:9].upper()) == decoded
    if row.relaxed_id != row.id:
        with pytest.raises(
            InputError, match=f"is the id of {row.name} as decoded, not as relaxed: leave out the stage"
        ):
            run.structure(row.id, stage="relaxed")
    assert relaxed.composition.reduced_formula == row.formula and len(relaxed) == row.nsites
    on_disk = Structure.from_file(run.path / "structures" / f"{row.relaxed_id}.cif")
    assert StructureMatcher(primitive_cell=False, scale=False, stol=1e-3).fit(on_disk, relaxed)


def test_the_parents_of_a_candidate_open_too(run):
    parent = next(name for parents in run.candidates["parents"] for name in parents)
    assert {element.symbol for element in run.structure(parent).composition} <= {"V", "O"}
    with pytest.raises(InputError, match="is a training structure, which was not relaxed"):
        run.structure(parent, stage="relaxed")


def test_the_hull_places_the_candidates_where_the_table_has_them(run):
    for row in run.candidates[run.candidates["e_above_hull"].notna()].itertuples():
        assert run.hull.e_above_hull(row.formula, row.energy_per_atom) == pytest.approx(row.e_above_hull, abs=1e-9)
        # pymatgen's diagram agrees, which has the references alone
        entry = run.phase_diagram().get_hull_energy_per_atom(
            Structure.from_file(run.path / "structures" / f"{row.relaxed_id}.cif").composition
        )
        assert row.energy_per_atom - entry == pytest.approx(row.e_above_hull, abs=1e-6)


def test_the_model_gives_its_own_training_structures_the_latent_vectors_of_the_run(run, documents):
    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.jobs.build_dataset import build_dataset
    from imatgen_flows.jobs.sample_candidates import sample_candidates

    (dataset,), (sampled,) = documents(run.path, build_dataset), documents(run.path, sample_candidates)
    structures = [Structure.from_dict(row["structure"]) for row in read_lines(dataset.crystals)[:6]]
    with np.load(sampled.extra["latents"].path()) as stored:
        expected = stored["training"][:6]
    assert run.model.encode(structures) == pytest.approx(expected, abs=1e-4)


def test_neighbours_are_valid_repeatable_and_screened_on_the_run_in_a_few_lines(run):
    decoded = run.structure(run.shortlist.index[0], stage="decoded")
    near = run.model.neighbours(decoded, n=3, width=0.5, seed=4)
    assert near and near == run.model.neighbours(decoded, n=3, width=0.5, seed=4)
    table = imf.screen([*near, decoded, near[0]], on=run)
    assert len(table) == len(near) + 2
    relaxed = table[table["structure"].notna()]
    assert len(relaxed) and set(relaxed["novelty"]) <= {"new", "known", "substituted", "duplicate"}
    # what the run relaxed already, and what stands twice in the list, are no finds
    assert not {"new", "shortlisted"} & {table["novelty"].iloc[len(near)], table["novelty"].iloc[-1]}
    same = run.candidates.loc[run.shortlist.index[0], "e_above_hull"]
    assert table["e_above_hull"].iloc[len(near)] == pytest.approx(same, abs=1e-6)


def test_different_seeds_draw_different_vectors_and_equal_seeds_the_same(run, monkeypatch):
    decoded = run.structure(run.shortlist.index[0], stage="decoded")
    drawn: list[tuple[float, ...]] = []

    def decode_none(_, samples, workers=1):
        drawn.extend(map(tuple, samples.latent.tolist()))
        return []

    monkeypatch.setattr("imatgen_flows.sources.trained_model.TrainedModel._decode", decode_none)
    for draw in (
        lambda seed: run.model.neighbours(decoded, n=1, seed=seed),
        lambda seed: run.model.generate(1, seed=seed).structures,
    ):
        drawn.clear()
        for seed in range(8):
            draw(seed)
        every = list(drawn)
        assert len(every) == len(set(every)) == 8 * 20  # 20 batches of one vector each
        drawn.clear()
        draw(5)
        assert drawn == every[5 * 20 : 6 * 20]


def test_fewer_crystals_than_asked_for_come_with_the_reasons(run, caplog):
    found = imf.generate("V-O", n=3, model=run, formula="V3O5", seed=1)
    assert len(found) < 3
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert f"gave {len(found)} of the 3 structures: of 60 draws" in warning and "Ask without `formula`" in warning
    counts = [int(number) for number in re.findall(r"(\d+) were", warning)]
    assert counts and sum(counts) + len(found) == 60


def test_what_substitution_gives_is_not_new_wherever_it_relaxes_to(run):
    (path,) = (run.path / "artifacts" / "objects").glob("crystals-*.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    made = [Structure.from_dict(row["structure"]) for row in rows if not row["known"]]
    for structure in made:
        structure.scale_lattice(1.3 * structure.volume)  # it is the same prototype all the same
    table = imf.screen(made, on=run)
    assert table["structure"].notna().any()
    assert "new" not in set(table["novelty"]) and "shortlisted" not in set(table["state"])


def test_a_screening_has_the_same_columns_for_every_list(run):
    close = Structure(Lattice.cubic(4), ["V", "O"], [[0, 0, 0], [0, 0, 0.02]])
    none, rejected = imf.screen([], on=run), imf.screen([close], on=run)
    some = imf.screen([run.structure(run.shortlist.index[0])], on=run)
    assert none.dtypes.to_dict() == rejected.dtypes.to_dict() == some.dtypes.to_dict() and len(none) == 0
    assert len(none[["formula", "spacegroup", "novelty", "e_above_hull"]]) == 0
    [row] = rejected.to_dict("records")
    assert row["state"] == "rejected" and row["novelty"] == "" and np.isnan(row["e_above_hull"])
    assert row["structure"] is None and row["formula"] == "VO" and row["rejected_detail"]


def test_generated_crystals_have_the_formula_that_was_asked_for(run):
    found = imf.generate("O-V", n=2, model=run, formula="VO", seed=3)
    assert found and all(crystal.composition.reduced_formula == "VO" for crystal in found)
    assert found == imf.generate("V-O", n=2, model=run, formula="OV", seed=3)
    # one that is not reduced gives the contents of the cell, as in the section `search` of a campaign
    exact = imf.generate("V-O", n=2, model=run, formula="V2O2", seed=3)
    assert exact and all(crystal.composition.formula == "V2 O2" for crystal in exact)
    assert all(structure_id(crystal) == crystal.properties["id"] for crystal in found)


def test_a_model_file_generates_without_its_run_or_says_why_not(run, tmp_path):
    from imatgen_flows.jobs.model_export import export_model

    path, _ = export_model(run.path, tmp_path / "vo.safetensors")
    model = imf.load_model(path)
    crystal = run.structure(run.shortlist.index[0], stage="decoded")
    assert model.encode([crystal]) == pytest.approx(run.model.encode([crystal]), abs=1e-5)
    assert model.neighbours(crystal, n=2, seed=1) == run.model.neighbours(crystal, n=2, seed=1)
    with pytest.raises(InputError, match="too few structures for a prior"):
        imf.generate("V-O", n=1, model=model)


def test_relax_isolates_each_crystal(run):
    good = run.structure(run.shortlist.index[0])
    flat = Structure(Lattice.cubic(40), ["V", "O"], [[0, 0, 0], [0.01, 0, 0]])
    first, second = imf.relax([good, flat], potential="toy", fmax=0.3, max_steps=50, workers=1)
    assert first.state == "relaxed" and second.state == "rejected" and second.reason


def test_the_methods_paragraph_holds_the_numbers_of_the_files(run):
    text = run.methods()
    ledger, dataset = (json.loads((run.path / f"{name}.json").read_text()) for name in ("ledger", "dataset"))
    assert f"{dataset['counts']['kept']:,} crystals" in text
    assert f"{ledger['evaluations_total']:,} energy-and-force evaluations" in text
    assert f"by {OPTIMISERS[OPTIMISER].label} to forces below" in text
    assert "seed 7" in text and "Toy potential 1" in text and "10.1016/j.matt.2019.08.017" in text
    assert "chgnet" not in text.lower()  # which this run did not use
    assert "the cell needs no training" in text


# A run that is not finished, and faults


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder / PLACE, tmp_path / "copy"))


def test_a_run_without_artifacts_gives_what_its_files_hold(copy):
    shutil.rmtree(copy / "artifacts")
    run = imf.Run.open(copy)
    best = run.shortlist.iloc[0]
    assert run.structure(best.name).composition.reduced_formula == best.formula
    with pytest.raises(InputError, match="decoded structure of .* is gone"):
        run.structure(best.name, stage="decoded")
    with pytest.raises(InputError, match="imatgen run --resume"):
        _ = run.model


def test_a_run_that_still_goes_shows_how_far_it_has_come(copy):
    import fcntl

    for name in ("provenance.json", "candidates.parquet", "hull.json"):
        (copy / name).unlink()
    for path in (copy / "artifacts" / "documents").glob("finish_round-*"):
        path.unlink()
    with (copy / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = imf.Run.open(copy)
        assert run.state is RunState.RUNNING and len(run.candidates) == 120
        with pytest.raises(InputError, match="still going"):
            _ = run.model
    assert imf.Run.open(copy).state is RunState.STOPPED


def test_a_run_that_failed_says_why_until_it_succeeds(tiny, tmp_path):
    empty = {"slerp": 0, "prior": 0, "perturb": 1}
    config = tiny(limits={"max_sites": 2, "max_edge": 2.7}, sampling=empty)
    with pytest.raises(ImatgenError) as error:
        imf.run_campaign(config, tmp_path / "run")
    run = imf.Run.open(tmp_path / "run")
    assert run.state is RunState.FAILED and run.failure == str(error.value)
    with pytest.raises(InputError, match="(?s)no samples have been drawn yet: the run failed .* goes on with it"):
        _ = run.candidates
    with pytest.raises(InputError, match="the run failed"):
        run.methods()


def test_a_run_that_was_stopped_on_purpose_did_not_fail(tiny, tmp_path, monkeypatch):
    def stop(*_):
        raise Interrupted("stopped by SIGINT", 2)

    monkeypatch.setattr("imatgen_flows.managers.local._run", stop)
    with pytest.raises(Interrupted):
        imf.run_campaign(tiny(), tmp_path / "run")
    run = imf.Run.open(tmp_path / "run")
    assert run.state is RunState.STOPPED and run.failure == ""


def test_one_lost_file_of_structures_is_named_or_replaced_by_the_crystals_own_file(copy):
    for path in (copy / "artifacts" / "objects").glob("*-structures-*"):
        path.unlink()
    run = imf.Run.open(copy)
    best = run.shortlist.iloc[0]
    assert run.structure(best.name).composition.reduced_formula == best.formula
    with pytest.raises(InputError, match="decoded structure of .* is gone"):
        run.structure(best.name, stage="decoded")


def test_a_run_with_a_shortlist_ends_with_status_0(imatgen, copy):
    code, text, error = imatgen("run", copy / "campaign.yaml", "--directory", copy, "--resume")
    assert code == 0 and "report.html" in text and "no result" not in error


def test_resuming_a_finished_run_opens_it_and_clears_an_old_failure(copy, tiny):
    (copy / FAILURE_FILE).write_text("the disk was full\n")
    assert imf.Run.open(copy).state is RunState.FAILED
    assert imf.run_campaign(small(tiny), copy).state is RunState.FINISHED


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda run: run.structure("r0-slerp-00000x"), r"no candidate `r0-slerp-00000x`\. Nearest: r0-slerp-0"),
        (lambda run: run.structure(run.shortlist.index[0], stage="validated"), "was never validated: it came as far as"),
        (lambda run: run.structure(run.shortlist.index[0], stage="melted"), "Known: decoded, relaxed, followed, validated"),
        (lambda run: run.structure(run.candidates.index[run.candidates["state"] == "rejected"][0]), "was never relaxed"),
        (lambda run: imf.generate("Ti-O", model=run), "is a model of V-O, not of Ti-O"),
        (lambda run: imf.generate("V-O", model=run, formula="TiO2"), "has Ti, which the system V-O has not"),
        (lambda run: imf.generate("V-O", model=run, formula="V7O13"), "the limit of .* is 8"),
        (lambda run: imf.generate("V-O", model=run, n=0), "n is 0; give a whole number from 1 on"),
        (lambda run: imf.generate("V-O", model=run, n=1.5), "n is 1.5; give a whole number"),
        (lambda run: imf.generate("V-O", model=run, seed=None), "seed is None; give a whole number from 0"),
        (lambda run: imf.generate("V-O", model=run, seed=2**64), "seed is 18446744073709551616; give"),
        (lambda run: imf.generate(["V", "O"], model=run), "of type list; give a text, as V-O"),
        (lambda run: imf.generate("v-o", model=run), r"Did you mean V-O\?"),
        (lambda run: imf.generate("V-O", model=3), "`model` is of type int; give a trained model"),
        (lambda run: imf.screen([], on=run.model), "`on` is of type TrainedModel; give a finished run"),
        (lambda run: imf.screen(run.structure(run.shortlist.index[0]), on=run), "give a list of pymatgen structures"),
        (lambda run: imf.relax(run.structure(run.shortlist.index[0])), "give a list of pymatgen structures"),
        (lambda run: imf.relax(["abc", None]), "structure 0 of the list is 'abc'"),
        (lambda run: imf.relax([], workers=-1), "workers is -1; give a whole number from 1 on"),
        (lambda run: imf.relax([], workers=0), "workers is 0"),
        (lambda run: imf.relax([], fmax=0), "fmax is 0; give a number above zero, in eV/A"),
        (lambda run: imf.relax([], max_steps=0), "max_steps is 0; give a whole number from 1 on"),
        (lambda run: run.hull.e_above_hull("abc", -1), "`abc` is no composition"),
        (lambda run: run.model.neighbours([], n=1), "neighbours are those of one pymatgen structure"),
        (lambda run: run.structure(run.shortlist.iloc[0]), "give a sample or an id.*of type Series.*`row.name`"),
        (lambda run: run.structure(None), "give a sample or an id"),
        (lambda run: run.structure(float("nan")), "give a sample or an id"),
        (lambda run: run.structure(""), "give a sample or an id"),
        (lambda run: run.structure("r0-slerp"), "begins 60 names of candidates: r0-slerp-0"),
        (lambda run: imf.generate("vanadium oxide", model=run), "A system is written V-O"),
        (lambda run: imf.load_model("pretrained"), "suits any system: say which"),
        (lambda run: imf.load_model("nowhere.safetensors"), "no such model file"),
        (lambda run: imf.screen([Structure(Lattice.cubic(3), ["Ti"], [[0, 0, 0]])], on=run), "has Ti; .* is a run of V-O"),
        (lambda run: run.model.encode([Structure(Lattice.cubic(3), ["Ti"], [[0, 0, 0]])]), "has Ti; .* is a model of V-O"),
        (lambda run: imf.Run.open(run.path / "structures"), "not a run directory"),
        (lambda run: imf.Run.open(run.path / "nowhere"), "no such directory"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_sentence(run, ask, answer):
    with pytest.raises(InputError, match=answer):
        ask(run)


def test_a_damaged_table_is_named(copy):
    table = copy / "candidates.parquet"
    table.write_bytes(table.read_bytes()[:-500])
    run = imf.Run.open(copy)
    for ask in (lambda: run.candidates, lambda: run.shortlist, lambda: run.structure("r0-slerp-000000")):
        with pytest.raises(InputError, match=f"{table}: cannot be read as parquet.*--resume"):
            ask()


def test_a_folder_of_imatgen_init_says_where_its_run_is(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    camp = tmp_path / "my camp"
    camp.mkdir()
    shutil.copy(folder / PLACE / "campaign.yaml", camp)
    with pytest.raises(
        InputError, match=r"never run there. `imatgen run '.*my camp/campaign.yaml'` runs it, in runs/my"
    ):
        imf.Run.open(camp)
    (tmp_path / "runs" / "my camp").mkdir(parents=True)
    shutil.copy(camp / "campaign.yaml", tmp_path / "runs" / "my camp")
    with pytest.raises(InputError, match="Its run is in runs/my camp: open that directory"):
        imf.Run.open(camp)
    with pytest.raises(InputError, match="is a file; give the run directory"):
        imf.Run.open(camp / "campaign.yaml")


def test_a_run_with_spaces_in_its_path_suggests_a_command_that_can_be_typed(copy):
    spaced = copy.rename(copy.with_name("a run"))
    (spaced / "provenance.json").unlink()
    with pytest.raises(InputError, match=r"`imatgen run '.*a run/campaign.yaml' --directory '.*a run' --resume`"):
        imf.Run.open(spaced).methods()


def test_a_run_of_version_1_says_what_to_do(copy):
    campaign = (copy / "campaign.yaml").read_text().replace("version: 2", "version: 1")
    (copy / "campaign.yaml").write_text(campaign)
    with pytest.raises(InputError, match=r"version 1.*imatgen init"):
        imf.Run.open(copy)


# Plots


def test_plots_show_what_the_table_has(run):
    relaxed = run.candidates[run.candidates["e_above_hull"].notna()]
    hull = run.plot.hull()
    shown = {name[-1] for trace in hull.data for name in trace.customdata or []}
    assert shown == set(relaxed["relaxed_id"])
    curves = list(run.plot.energies().select_traces({"mode": "lines+markers"}))
    assert sorted(x for trace in curves for x in trace.x) == pytest.approx(sorted(relaxed["e_above_hull"]), abs=1e-5)
    placed = run.plot.latent_map().data[-1]
    assert set(placed.x) <= set(run.candidates["latent_x"].round(5))
    assert sum(trace.x[0] for trace in run.plot.funnel().select_traces({"type": "bar"})) == len(run.candidates)
    for figure in (hull, run.plot.latent_map(), run.plot.funnel(), run.plot.energies()):
        assert json.loads(figure.to_json())["layout"]["xaxis"]


def test_phonons_are_plotted_of_those_that_have_some(copy):
    run = imf.Run.open(copy)
    with pytest.raises(InputError, match="no phonons were computed. Write `phonons: {at_most: 10}`"):
        run.plot.phonons(run.shortlist.index[0])
    first, second = run.shortlist.index[:2]
    table = read_part(copy / "candidates.parquet")
    rows = [row | ({"phonon_evaluations": 3} if row["sample"] in (first, second) else {}) for row in rows_of(table)]
    write_table(copy / "candidates.parquet", table_part(rows))
    bands = {"distances": [[0, 1]], "frequencies": [[[0.0, 1.0], [2.0, 3.0]]], "labels": [["GAMMA", "X"]]}
    computed = {"state": "computed", "bands": bands, "density": {"frequencies": [0, 2], "states": [0.0, 1.0]}}
    crystals = [{"sample": first} | computed, {"sample": second, "state": "failed"}]
    (copy / "phonons.json").write_text(json.dumps({"crystals": crystals}))
    run = imf.Run.open(copy)
    figure = run.plot.phonons(first)
    assert figure.data == run.plot.phonons(run.candidates.loc[first, "relaxed_id"]).data
    assert figure.data[0].y == (0.0, 2.0, None, 1.0, 3.0)
    with pytest.raises(InputError, match=f"{second} has no phonons: they were not asked for. Computed: {first}"):
        run.plot.phonons(second)
    with pytest.raises(InputError, match="no candidate `nothing`. "):
        run.plot.phonons("nothing")


def test_plots_of_what_a_run_has_not_are_sentences(copy):
    (copy / "latent.json").write_text(json.dumps({"training": []}))
    with pytest.raises(InputError, match="no latent space: the generator is none of its sources"):
        imf.Run.open(copy).plot.latent_map()
    table = read_part(copy / "candidates.parquet")
    write_table(copy / "candidates.parquet", table_part([row | {"e_above_hull": None} for row in rows_of(table)]))
    with pytest.raises(InputError, match="no candidate was relaxed"):
        imf.Run.open(copy).plot.energies()
    (copy / "provenance.json").unlink()
    for ask in ("hull", "energies", "latent_map"):
        with pytest.raises(InputError, match="`imatgen run .* --resume` goes on with it"):
            getattr(imf.Run.open(copy).plot, ask)()


# Examples


@pytest.mark.parametrize("module", ["imatgen_flows.run", "imatgen_flows.run_plots", "imatgen_flows.toolkit"])
def test_the_examples_of_the_public_functions_run(module, folder, monkeypatch):
    monkeypatch.chdir(folder)
    failed, attempted = doctest.testmod(
        import_module(module), extraglobs={"imf": imf}, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert attempted > 0 and failed == 0


def test_every_public_function_has_an_example():
    for name in imf.__all__:
        assert name == "CampaignConfig" or ">>> " in getattr(imf, name).__doc__, name


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "notebook").glob("*.md"))]
BLOCKS = [
    pytest.param(code, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.mark.parametrize("code", BLOCKS)
def test_the_python_of_the_pages_runs_as_it_stands(code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(code, "page", "exec"), {})


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebooks_run_as_they_stand_and_are_kept_without_outputs(notebook, folder, monkeypatch):
    nbclient, nbformat = (
        pytest.importorskip(name, reason="needs the extra `notebooks`") for name in ("nbclient", "nbformat")
    )
    content = nbformat.read(notebook, 4)
    assert not any(cell.get("outputs") for cell in content.cells)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    nbclient.NotebookClient(content, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
