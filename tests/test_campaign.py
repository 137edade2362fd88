"""The whole campaign on this machine: what it must conserve, and what it must survive."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Structure

from imatgen_flows.candidates.selection import SELECTION_COLUMNS, select_candidates
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.config import CampaignConfig
from imatgen_flows.crystals import is_charge_balanced
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_json, read_lines
from imatgen_flows.jobs.candidate_scores import score_candidates
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures, samples_in
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.known_elsewhere import known_elsewhere
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.references import extend_hull
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.jobs.sample_candidates import sample_candidates
from imatgen_flows.managers.local import run_campaign
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.run import Run

JOBS_OF_A_ROUND = 15  # with one batch


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    return run_once_trained(tiny(), tmp_path_factory.mktemp("run") / "vo")


def rows_of(directory):
    return pq.read_table(directory / "candidates.parquet").to_pylist()


def finished_files(directory):
    return {path.name: path.stat().st_mtime_ns for path in (directory / "artifacts" / "documents").iterdir()}


def test_every_sample_is_counted_out_once(run):
    rows, ledger = rows_of(run), json.loads((run / "ledger.json").read_text())
    assert len(rows) == len({row["sample"] for row in rows}) == ledger["samples"] == 60
    assert sum(ledger["states"].values()) == 60
    rejected = [row for row in rows if row["state"] == "rejected"]
    assert all(row["rejected_stage"] and row["rejected_reason"] for row in rejected)
    assert sum(item["count"] for item in ledger["rejections"]) == len(rejected)


def test_every_decoded_sample_says_whether_it_is_charge_balanced_and_what_is_not_was_rejected(run):
    rows = rows_of(run)
    assert all((row["charge_balanced"] is None) == (row["rejected_stage"] == "decode") for row in rows)
    for row in rows:
        if row["formula"]:
            assert row["charge_balanced"] is is_charge_balanced(Composition(row["formula"]))
    assert all(row["charge_balanced"] is False for row in rows if row["rejected_reason"] == "charge_balance")
    assert all(row["charge_balanced"] for row in rows if row["id"])


def test_evaluations_add_up_to_what_was_spent(run, documents):
    ledger = json.loads((run / "ledger.json").read_text())
    screened = sum(document.evaluations["screen"] for document in documents(run, relax_batch))
    assert ledger["evaluations"]["screen"] == screened == sum(row["evaluations"] for row in rows_of(run)) > 0
    dataset = json.loads((run / "dataset.json").read_text())
    assert ledger["evaluations"]["labels"] == dataset["counts"]["kept"]
    assert ledger["evaluations_total"] == sum(ledger["evaluations"].values())


def test_everything_read_from_the_templates_is_kept_or_left_out_with_a_reason(run):
    dataset = json.loads((run / "dataset.json").read_text())
    assert all(item["reason"] and item["detail"] for item in dataset["exclusions"])
    substitution_losses = [
        item for item in dataset["exclusions"] if ":" in item["id"] and not item["id"].startswith("known")
    ]
    assert dataset["counts"]["substituted"] + len(substitution_losses) == 2 * dataset["counts"]["templates"]


def test_relaxed_candidates_carry_their_full_record(run):
    relaxed = [row for row in rows_of(run) if row["e_above_hull"] is not None]
    assert relaxed
    for row in relaxed:
        structure = Structure.from_file(run / "structures" / f"{row['relaxed_id']}.cif")
        assert structure.composition.reduced_formula == row["formula"]
        assert row["scale"] == "toy 1" and row["spacegroup_number"] >= 1 and row["novelty"]
        assert row["seed"] >= 7 and row["sampler"] in SAMPLERS


def test_draws_from_the_prior_say_which_prior_it_was(run):
    rows = rows_of(run)
    assert {(row["sampler"], row["prior"]) for row in rows} == {("perturb", ""), ("slerp", ""), ("prior", "gaussian")}


@pytest.mark.parametrize(("geometry", "column"), [(Geometry.DECODED, "id"), (Geometry.RELAXED, "relaxed_id")])
def test_ids_are_the_hash_of_the_structure_as_decoded_and_as_relaxed(run, documents, geometry, column):
    (ranked,) = documents(run, rank_candidates)
    structures = candidate_structures(ranked.candidates, geometry)
    ids = {row["sample"]: row[column] for row in candidate_rows(ranked.candidates, [column])}
    with_id = {sample for sample, name in ids.items() if name}
    assert with_id and with_id <= set(structures)
    if geometry is Geometry.RELAXED:
        assert with_id == set(structures)
    for sample in with_id:
        assert structure_id(structures[sample]) == ids[sample]


def test_the_files_of_relaxed_structures_are_named_by_the_ids_of_the_crystals_in_them(run, documents):
    (ranked,) = documents(run, rank_candidates)
    structures = candidate_structures(ranked.candidates, Geometry.RELAXED)
    by_id = {row["relaxed_id"]: structures[row["sample"]] for row in rows_of(run) if row["relaxed_id"]}
    files = {path.stem: Structure.from_file(path) for path in (run / "structures").iterdir()}
    assert set(files) == set(by_id)
    strict = StructureMatcher(ltol=1e-3, stol=1e-3, angle_tol=0.01, scale=False, primitive_cell=False)
    for name, read in files.items():
        assert strict.fit(read, by_id[name]), name
        assert structure_id(read) == name


def test_structures_of_decoded_candidates_are_written_once_and_referred_to_ever_after(run, documents):
    objects = run / "artifacts" / "objects"
    jobs = (sample_candidates, filter_candidates, rank_candidates, known_elsewhere, finish_round)
    (drawn,), (filtered,), (ranked,), (looked_up,), (finished,) = (documents(run, job) for job in jobs)
    (decoded,) = drawn.candidates.structures[Geometry.DECODED.value]
    assert list(objects.glob(f"{Geometry.DECODED.value}-structures-*")) == [decoded.path()]
    for document in (filtered, ranked, looked_up, finished):
        assert document.candidates.structures[Geometry.DECODED.value] == [decoded]
    # each job puts one part behind those of the jobs before it, and rewrites none
    parts = [document.candidates.parts for document in (drawn, filtered, ranked, looked_up)]
    assert [len(part) for part in parts] == [1, 2, 3, 4]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(parts))
    assert finished.candidates == looked_up.candidates
    assert set(objects.glob("candidates-*")) == {part.path() for part in parts[3]}
    samples = {row["sample"] for row in rows_of(run)}
    held = candidate_structures(finished.candidates, Geometry.DECODED)
    assert set(held) == samples - {row["sample"] for row in rows_of(run) if row["rejected_stage"] == "decode"}


def test_each_job_writes_its_own_columns_alone(run, documents):
    (ranked,) = documents(run, rank_candidates)
    drawn, filtered, placed = (set(pq.read_schema(part.path()).names) for part in ranked.candidates.parts)
    assert {"sampler", "latent_row", "residual", "id"} <= drawn and not {"novelty", "e_above_hull"} & drawn
    rejection = {"rejected_stage", "rejected_reason", "rejected_detail"}
    assert {"sample", "novelty", "novelty_match", "state"} <= filtered
    assert filtered <= {"sample", "novelty", "novelty_match", "state"} | rejection
    assert {"e_above_hull", "relaxed_id", "evaluations"} <= placed and not {"sampler", "id", "residual"} & placed


def test_the_hull_distance_agrees_with_an_independent_phase_diagram(run, documents):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    (references,) = documents(run, extend_hull)
    phases = read_lines(references.phases)
    entries = []
    for phase in phases:
        composition = Structure.from_dict(phase["structure"]).composition
        entries.append(PDEntry(composition, phase["energy_per_atom"] * composition.num_atoms))
    diagram = PhaseDiagram(entries)
    for row in rows_of(run):
        if row["e_above_hull"] is not None:
            composition = Composition(row["formula"])
            entry = PDEntry(composition, row["energy_per_atom"] * composition.num_atoms)
            expected = diagram.get_decomp_and_e_above_hull(entry, allow_negative=True)[1]
            assert row["e_above_hull"] == pytest.approx(expected, abs=1e-6)


def test_the_first_round_relaxes_last_what_the_reference_phases_put_high(run, tmp_path):
    root, candidates, data = Run.open(run).first_round()
    store, hull = ArtifactStore(tmp_path), read_json(data["references"].hull)
    # those that a relaxation rejected were candidates for it
    formulas = {
        row["sample"]: row["formula"]
        for row in rows_of(run)
        if row["state"] not in ("rejected", "sampled") or row["rejected_stage"] == "screen"
    }
    oxygen = {formula: Composition(formula).get_atomic_fraction("O") for formula in formulas.values()}
    richest = max(oxygen, key=lambda formula: oxygen[formula])
    for sign, place in ((1, -1), (-1, 0)):  # energies that rise with oxygen, and that fall with it
        for entry in hull["entries"]:
            if len(entry["composition"]) == 2:
                shares = Composition(entry["composition"])
                entry["energy_per_atom"] = sign * 9 * shares.get_atomic_fraction("O")
            else:
                entry["energy_per_atom"] = -100.0
        references = data["references"].model_copy(update={"hull": store.put_json("hull", hull)})
        table = candidates.candidates
        unique = candidate_rows(table, SELECTION_COLUMNS, samples_in(table, State.UNIQUE))
        scores = score_candidates(unique, candidates, data | {"references": references}, kappa=0.0)
        chosen = [str(row["sample"]) for row in select_candidates(unique, 100, scores)]
        assert set(chosen) == set(formulas)
        assert formulas[chosen[place]] == richest


def test_resume_repeats_no_finished_job(run, tiny):
    before, table = finished_files(run), (run / "candidates.parquet").read_bytes()
    run_campaign(tiny(), run, resume=True)
    assert finished_files(run) == before
    assert (run / "candidates.parquet").read_bytes() == table


def test_resume_writes_a_lost_table_again(run, tiny):
    table = (run / "candidates.parquet").read_bytes()
    (run / "candidates.parquet").unlink()
    run_campaign(tiny(), run, resume=True)
    assert (run / "candidates.parquet").read_bytes() == table


def test_a_run_that_was_moved_still_resumes(run, tiny, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(run, moved)
    before = finished_files(moved)
    run_campaign(tiny(), moved, resume=True)
    assert finished_files(moved) == before


def test_a_damaged_artifact_is_made_again(run, tiny, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(run, damaged)
    victim = next((damaged / "artifacts" / "objects").glob("relaxations-*"))
    victim.write_bytes(victim.read_bytes()[:-5])
    run_campaign(tiny(), damaged, resume=True)
    assert victim.read_bytes() == next((run / "artifacts" / "objects").glob(victim.name)).read_bytes()


@pytest.mark.slow
def test_a_kill_in_every_job_changes_nothing(run, tiny, tmp_path):
    campaign, directory = tmp_path / "tiny.yaml", tmp_path / "killed"
    tiny().to_file(campaign)
    command = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()", "run", str(campaign)]
    command += ["--directory", str(directory), "--resume"]
    kills, seen, finished = 0, set(), {}
    for _ in range(JOBS_OF_A_ROUND + 5):
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )
        for line in process.stderr:
            job, begins, _ = line[10:].partition(" ... (")
            if begins and job not in seen:
                seen.add(job)
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
        process.stderr.close()
        assert finished.items() <= finished_files(directory).items()  # no finished job was repeated
        finished = finished_files(directory)
        if process.wait() == 0:
            break
    assert process.returncode == 0
    assert kills >= JOBS_OF_A_ROUND - 1  # a quick job may end before the signal comes
    kept = ("sample", "id", "state", "formula", "e_above_hull", "novelty", "evaluations")
    assert [[row[k] for k in kept] for row in rows_of(directory)] == [[row[k] for k in kept] for row in rows_of(run)]


def test_another_system_needs_only_another_campaign_file(tiny, tmp_path):
    directory = run_campaign(
        tiny(
            system=("Mn", "S"),
            sampling={"slerp": 12, "prior": 4, "perturb": 4},
            validity={"charge": "flag"},
        ),
        tmp_path / "mns",
    )
    rows = rows_of(directory)
    assert len(rows) == 20
    assert not any(row["rejected_reason"] == "charge_balance" for row in rows)  # flagged, and kept
    assert all(row["charge_balanced"] is not None for row in rows if row["formula"])
    symbols = {symbol for row in rows if row["formula"] for symbol in re.findall("[A-Z][a-z]?", row["formula"])}
    assert symbols <= {"Mn", "S"}


def test_no_element_is_wired_into_the_code():
    package = Path(__file__).parents[1] / "imatgen_flows"
    # the diatomic gases, nonmetals, and a correction scheme that names its own elements
    marks = ("DIATOMIC", "NONMETALS", "MP2020")
    rules = ("charge_balance.py", "oxidation_states.py")  # these are about elements, all of them
    for path in package.rglob("*.py"):
        if path.name in rules:
            continue
        lines = path.read_text().splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if isinstance(node, ast.Constant) and node.value in ("V", "O", "Ti", "Mn", "S"):
                line = lines[node.lineno - 1]
                assert any(mark in line for mark in marks), f"{path}:{node.lineno}: {line}"


@pytest.mark.parametrize("name", ["vanadium-oxides", "titanium-oxides", "manganese-sulfides"])
def test_the_campaign_files_that_ship_are_valid(name):
    path = Path(__file__).parents[1] / "workflows" / "campaigns" / f"{name}.yaml"
    assert CampaignConfig.from_file(path).name == name


def test_a_directory_of_another_campaign_is_refused(run, tiny):
    with pytest.raises(InputError, match="another campaign"):
        run_campaign(tiny(system=("Ti", "O")), run, resume=True)


def test_a_second_start_needs_resume(run, tiny):
    with pytest.raises(InputError, match="--resume"):
        run_campaign(tiny(), run)


def test_a_directory_with_other_files_is_refused(tiny, tmp_path):
    (tmp_path / "thesis.tex").write_text("do not touch")
    with pytest.raises(InputError, match="not empty"):
        run_campaign(tiny(), tmp_path)


def test_a_directory_that_cannot_be_made_is_refused(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        run_campaign(tiny(), tmp_path / "file" / "run")


def test_a_missing_potential_is_named_before_anything_runs(tiny, tmp_path):
    config = tiny(labels={"potential": "mattersim"}, screen={"potential": "mattersim"})
    with pytest.raises(InputError, match="pip install mattersim"):
        run_campaign(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_key_for_the_materials_project_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.delenv("MP_API_KEY", raising=False)
    with pytest.raises(InputError, match="MP_API_KEY is not set"):
        run_campaign(tiny(templates={"source": "mp"}), tmp_path / "run")


def test_a_full_disk_is_said_and_the_run_can_go_on(run, tiny, tmp_path, monkeypatch):
    directory = tmp_path / "full"
    shutil.copytree(run, directory)
    for path in (directory / "artifacts" / "documents").glob(f"{finish_round.spec.name}-*"):
        path.unlink()

    def full(*_):
        raise OSError(28, "No space left on device", str(directory))

    with monkeypatch.context() as patch:
        patch.setattr(ArtifactStore, "finish", full)
        with pytest.raises(ImatgenError, match=r"No space left on device.*--resume"):
            run_campaign(tiny(), directory, resume=True)
    run_campaign(tiny(), directory, resume=True)


def test_too_few_templates_are_said(tiny, tmp_path):
    with pytest.raises(InputError, match="can be a template of .*limits.max_sites"):
        run_campaign(tiny(limits={"max_sites": 2, "max_edge": 2.7}), tmp_path / "run")


def test_a_gpu_that_is_not_there_is_said(run, tiny, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    from imatgen_flows.jobs.device import use_device

    monkeypatch.setenv("IMATGEN_DEVICE", "cuda")
    with pytest.raises(InputError, match="sees no GPU"):
        use_device()


def test_two_processes_cannot_run_one_directory(run, tiny):
    import fcntl

    with (run / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            run_campaign(tiny(), run, resume=True)


def test_a_potential_that_knows_no_such_element_is_said_by_the_plan(tiny):
    from imatgen_flows.managers.preflight import make_plan

    with pytest.raises(ImatgenError, match="potential emt: .* it fails for V alone"):
        make_plan(tiny(labels={"potential": "emt"}, screen={"potential": "emt"}))
