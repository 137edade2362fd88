"""`imatgen screen`: everything that enters is counted out, and a killed screening ends as one that was not killed."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyarrow import parquet
from pymatgen.core import Lattice, Structure

import imatgen_flows as imf
from imatgen_flows.candidates.schema import arrow_schema
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.errors import InputError
from imatgen_flows.io.lock import locked
from imatgen_flows.jobs.comparison import FinishedRunSource
from imatgen_flows.jobs.screen_files import screen_files, screened_columns


@pytest.fixture(scope="module")
def run(tiny, run_once_trained, tmp_path_factory):
    small = {"slerp": 30, "prior": 5, "perturb": 5}
    return run_once_trained(tiny(sampling=small), tmp_path_factory.mktemp("screen") / "run")


def cell(seed, symbols=("V", "V", "O")):
    """Make a small crystal whose atoms are apart; another one for each seed."""
    rng = np.random.default_rng(seed)
    while True:
        edges = rng.uniform(2.4, 4.2, 3)
        crystal = Structure(Lattice.orthorhombic(*edges), symbols, rng.random((len(symbols), 3)))
        if crystal.is_valid(1.5):
            return crystal


FORMULAS = (("V", "O"), ("V", "V", "O"), ("V", "O", "O"), ("V", "V", "O", "O"))
GOOD = [cell(seed, FORMULAS[seed % 4]) for seed in range(30)]
TEXT = GOOD[0].to(fmt="cif")


def poscar(crystal):
    return crystal.to(fmt="poscar")


# ways of a file to be broken, each with the suffix of the file and the reason that is given
BROKEN = {
    "empty": ("cif", b"", "unreadable"),
    "nonsense": ("cif", b"this is no crystal", "unreadable"),
    "cut short": ("cif", TEXT[: TEXT.index("_atom_site_type_symbol")].encode(), "unreadable"),
    "binary": ("vasp", bytes(range(256)), "unreadable"),
    "a damaged archive": ("cif.gz", gzip.compress(TEXT.encode())[:-20], "unreadable"),
    "of no element": ("vasp", poscar(GOOD[0]).replace("V O", "Qq O").encode(), "other_elements"),
    "in another encoding": ("cif", TEXT.encode("cp037"), "unreadable"),  # of mainframes
    "of no crystal": ("json", b'{"@class": "Molecule", "sites": []}', "unreadable"),
    "a link to nothing": ("cif", None, "other_format"),
    "a log": ("log", b"all went well", "other_format"),
    "disordered": (
        "cif",
        Structure(Lattice.cubic(3), [{"V": 0.5, "O": 0.5}], [[0, 0, 0]]).to(fmt="cif").encode(),
        "disordered",
    ),
    "of another system": ("cif", cell(3, ("Ti", "O")).to(fmt="cif").encode(), "other_elements"),
    "too large": ("vasp", poscar(GOOD[0] * (6, 5, 5)).encode(), "too_large"),
    "fused atoms": (
        "vasp",
        poscar(Structure(Lattice.cubic(4), ["V", "O"], [[0, 0, 0], [0, 0, 0.02]])).encode(),
        "overlap",
    ),
    "flat": ("vasp", poscar(Structure(np.diag([3, 3, 1e-4]), ["V"], [[0, 0, 0]])).encode(), "zero_volume"),
    "collapsed": ("vasp", poscar(Structure(Lattice.cubic(0.9), ["V"], [[0, 0, 0]])).encode(), "volume"),
    "not a number": (
        "jsonl",
        b'{"id": "n", "lattice": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "species": ["V"], "frac_coords": [[NaN, 0, 0]]}',
        "nan_coordinates",
    ),
    "not charge balanced": ("cif", cell(3, ("V", "O", "O", "O")).to(fmt="cif").encode(), "charge_balance"),
}


def write_folder(folder, copies=1, broken=0):
    """Write each good crystal some times, in several formats, and some broken files of each kind in turn."""
    folder.mkdir(parents=True)
    for copy in range(copies):
        for number, crystal in enumerate(GOOD):
            suffix, text = ("vasp", poscar(crystal)) if number % 2 else ("cif", crystal.to(fmt="cif"))
            (folder / f"c{number:02d}-{copy:02d}.{suffix}").write_text(text)
    kinds = list(BROKEN.values())
    for number in range(broken):
        suffix, content, _ = kinds[number % len(kinds)]
        path = folder / f"b{number:02d}.{suffix}"
        if content is None:
            path.symlink_to(folder / "nowhere.cif")
        else:
            path.write_bytes(content)
    return folder


def rows_of(out):
    with (out / "screened.csv").open() as stream:
        return list(csv.DictReader(stream))


def state_of(folder):
    """Content of a folder by size and time, to see whether anything was changed."""
    return {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in folder.rglob("*")}


def test_500_files_of_which_50_are_broken_are_accounted_for(imatgen, run, tmp_path):
    folder, out = write_folder(tmp_path / "given", copies=15, broken=50), tmp_path / "out"
    assert len(list(folder.iterdir())) == 500 and len(BROKEN) >= 12
    before = state_of(run)
    code, text, error = imatgen("screen", folder, "--on", run, "--out", out, "--json")
    assert code == 0, error
    found, rows = json.loads(text), rows_of(out)
    kinds = list(BROKEN.values())
    expected = Counter(kinds[number % len(kinds)][2] for number in range(50))
    rejected = [row for row in rows if row["state"] == "rejected"]
    assert Counter(row["rejected_reason"] for row in rejected if row["file"].startswith(f"{folder}/b")) == expected
    assert all(row["rejected_detail"] and row["rejected_stage"] for row in rejected)
    assert found["samples"] == sum(found["states"].values()) == len(rows) == 500
    assert found["states"]["rejected"] == sum(row["count"] for row in found["rejections"]) == len(rejected)
    assert sorted(row["file"] for row in rows) == sorted(map(str, folder.iterdir()))
    assert len({row["sample"] for row in rows}) == 500
    # exact repeats were relaxed once, and no two crystals of the shortlist are the same
    assert len(list((out / "artifacts").rglob("*.json"))) == len(GOOD)
    assert 0 < found["states"]["shortlisted"] <= len(GOOD)
    assert state_of(run) == before
    table = parquet.read_table(out / "screened.parquet")
    assert table.schema.equals(arrow_schema(screened_columns()), check_metadata=True) and len(table) == 500
    assert json.loads((out / "ledger.json").read_text()).items() <= found.items()


@pytest.fixture(scope="module")
def screened(run, tmp_path_factory):
    """A screening of each good crystal once, and some broken ones."""
    place = tmp_path_factory.mktemp("screened")
    folder = write_folder(place / "given", broken=15)
    screen_files(FinishedRunSource(run), [folder], place / "out")
    return folder, place / "out"


def test_the_shortlist_comes_first_and_each_relaxed_crystal_has_its_file(screened):
    rows = rows_of(screened[1])
    order = ["shortlisted", "screened", "rejected"]
    assert [row["state"] for row in rows] == sorted((row["state"] for row in rows), key=order.index)
    for state in order[:2]:
        energies = [float(row["e_above_hull"]) for row in rows if row["state"] == state]
        assert energies and energies == sorted(energies)
    relaxed = {row["relaxed_id"]: row for row in rows if row["relaxed_id"]}
    assert {path.stem for path in (screened[1] / "structures").iterdir()} == set(relaxed)
    for name, row in relaxed.items():
        crystal = Structure.from_file(screened[1] / "structures" / f"{name}.cif")
        assert structure_id(crystal) == name and crystal.composition.reduced_formula == row["formula"]
        assert row["charge_balanced"] == "True" and row["e_above_hull"] and row["novelty"]


def test_files_are_screened_as_structures_are_in_python(run, screened):
    rows = {row["sample"]: row for row in rows_of(screened[1])}
    names = [f"c{number:02d}-00" for number in range(1, 30, 2)]  # whose files have all digits
    frame = imf.screen([GOOD[number] for number in range(1, 30, 2)], on=run)
    for name, found in zip(names, frame.to_dict("records"), strict=True):
        assert found["relaxed_id"] == rows[name]["relaxed_id"] and found["id"] == rows[name]["id"]
        if found["state"] != "rejected":
            assert float(rows[name]["e_above_hull"]) == pytest.approx(found["e_above_hull"], abs=1e-6)


def test_what_is_screened_once_is_not_screened_again(imatgen, run, screened, monkeypatch):
    folder, out = screened
    tables = {name: (out / name).read_bytes() for name in ("screened.csv", "screened.parquet", "ledger.json")}
    monkeypatch.setattr("imatgen_flows.energetics.relax.relax_many", lambda *_, **__: pytest.fail("relaxed again"))
    code, text, error = imatgen("screen", folder, "--on", run, "--out", out)
    assert code == 0, error
    assert "Entered" in text and "45" in text and "Validity: other format" in text and "shortlist: " in text
    assert tables == {name: (out / name).read_bytes() for name in tables}


def stop(how, folder, out, *options, after=1):
    """Start a screening in a process of its own, and end it by a signal after some relaxations."""
    command = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()", "screen", str(folder)]
    process = subprocess.Popen(
        [*command, *map(str, options), "--out", str(out)], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while len(done := relaxations(out)) < after and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, how)
    error = process.communicate(timeout=60)[1]
    assert done and not (out / "screened.csv").exists(), error
    return process.returncode, error, done


def relaxations(out):
    """Files of relaxations, each of one crystal."""
    return list((out / "artifacts").rglob("*.json")) if out.exists() else []


def test_a_screening_that_is_killed_ends_as_one_that_was_not(imatgen, run, screened, tmp_path):
    folder, out = screened[0], tmp_path / "killed"
    code, _, done = stop(signal.SIGKILL, folder, out, "--on", run)
    assert code == -signal.SIGKILL and len(done) < len(GOOD)
    before = {path: path.stat().st_mtime_ns for path in done}
    code, _, error = imatgen("screen", folder, "--on", run, "--out", out)
    assert code == 0, error
    assert before == {path: path.stat().st_mtime_ns for path in done}  # none of them was made again
    assert (out / "ledger.json").read_bytes() == (screened[1] / "ledger.json").read_bytes()
    tables = [parquet.read_table(place / "screened.parquet").to_pylist() for place in (out, screened[1])]
    for found, expected in zip(*tables, strict=True):  # a sum in another process may differ in its last bits
        assert found == {
            name: pytest.approx(value, rel=1e-9) if isinstance(value, float) else value
            for name, value in expected.items()
        }
    assert [row["sample"] for row in rows_of(out)] == [row["sample"] for row in tables[0]]
    assert contents(out / "structures") == contents(screened[1] / "structures")


def test_ctrl_c_says_how_to_continue(run, screened, tmp_path):
    code, error, _ = stop(signal.SIGINT, screened[0], tmp_path / "stopped", "--on", run)
    assert code == 128 + signal.SIGINT and "Traceback" not in error
    assert f"`imatgen screen {screened[0]} --on {run} --out {tmp_path / 'stopped'}` continues" in error


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_directory_belongs_to_one_screening(imatgen, run, screened, tmp_path):
    given, out = screened
    folder, copy = shutil.copytree(given, tmp_path / "given", symlinks=True), tmp_path / "out"
    shutil.copytree(out, copy)
    code, _, error = imatgen("screen", folder, "--on", run, "--out", copy)
    assert code == 2 and f"{copy} holds a screening of other files" in error and "and 87 more" in error
    (given / "one-more.cif").write_text(TEXT)
    try:
        code, _, error = imatgen("screen", given, "--on", run, "--out", copy)
    finally:
        (given / "one-more.cif").unlink()
    assert code == 2 and "added, missing or changed since:" in error and "one-more.cif" in error
    inputs = json.loads((copy / "screening.json").read_text())
    (copy / "screening.json").write_text(json.dumps(inputs | {"document": "finish_round-0"}))
    code, _, error = imatgen("screen", given, "--on", run, "--out", copy)
    assert code == 2 and "holds a screening on another run" in error
    settings = inputs["settings"] | {"validity": {"charge": "none"}}
    (copy / "screening.json").write_text(json.dumps(inputs | {"settings": settings}))
    code, _, error = imatgen("screen", given, "--on", run, "--out", copy)
    assert code == 2 and "other settings" in error
    (copy / "screening.json").write_text("{")
    code, _, error = imatgen("screen", given, "--on", run, "--out", copy)
    assert code == 2 and "screening.json cannot be read" in error


def test_a_damaged_relaxation_is_made_again_and_the_files_may_be_named_from_elsewhere(
    imatgen, run, screened, tmp_path, monkeypatch
):
    given, out = screened
    copy = shutil.copytree(out, tmp_path / "out")
    damaged = next((copy / "artifacts").rglob("*.json"))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    monkeypatch.chdir(given.parent)
    code, _, error = imatgen("screen", given.name, "--on", run, "--out", copy)
    assert code == 0 and f"{damaged} is damaged" in error
    assert (copy / "ledger.json").read_bytes() == (out / "ledger.json").read_bytes()


def test_a_directory_within_the_run_is_refused(imatgen, run, screened):
    code, _, error = imatgen("screen", screened[0], "--on", run, "--out", run / "screening")
    assert code == 2 and "is the run, or lies in it" in error and not (run / "screening").exists()


def test_a_directory_among_the_files_is_no_input(imatgen, run, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "one.cif").write_text(TEXT)
    for _ in range(2):
        code, text, error = imatgen(
            "screen", folder, folder / "one.cif", "--on", run, "--out", folder / "out", "--json"
        )
        assert code in (0, 1), error
        assert json.loads(text)["samples"] == 1


def test_in_python_an_element_that_the_run_does_not_have_was_not_meant(run):
    with pytest.raises(InputError, match=r"structure 0 \(H2\) has H; .* is a run of V-O"):
        imf.screen([Structure(Lattice.cubic(3), ["D"], [[0, 0, 0]])], on=run)


def test_an_empty_shortlist_is_a_sentence_and_status_1(imatgen, run, tmp_path):
    metal = Structure(Lattice.cubic(3), ["V", "V"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    (tmp_path / "v.cif").write_text(metal.to(fmt="cif"))
    code, text, error = imatgen("screen", tmp_path / "v.cif", "--on", run, "--out", tmp_path / "out")
    assert code == 1 and "no result: none of 1 relaxed crystals is new and within 0.15 eV/atom" in error
    assert "Known" in text and len(rows_of(tmp_path / "out")) == 1
    (tmp_path / "v.vasp").write_bytes(BROKEN["fused atoms"][1])
    code, _, error = imatgen("screen", tmp_path / "v.vasp", "--on", run, "--out", tmp_path / "other")
    assert code == 1 and "none of 1 crystals could be relaxed" in error
    assert rows_of(tmp_path / "other")[0]["rejected_reason"] == "overlap"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place, run: [place / "none.cif", "--on", run], "none.cif does not exist. Give files or folders"),
        (lambda place, run: [place / "good.cif"], "on which hull? Give either --system V-O"),
        (lambda place, run: [place / "good.cif", "--on", run, "--system", "V-O"], "Give either --system V-O"),
        (lambda place, run: [place / "good.cif", "--on", run, "--potential", "toy"], "go with --system: a run has its own"),
        (lambda place, run: [place / "good.cif", "--on", run, "--known", place], "go with --system: a run has its own"),
        (lambda place, run: [place / "good.cif", "--system", "V-Xx"], "`Xx` is not a chemical element"),
        (lambda place, run: [place / "good.cif", "--system", "vanadium"], "--system vanadium: "),
        (lambda place, run: [place / "good.cif", "--system", "V"], "one element is no system"),
        (lambda place, run: [place / "ti.cif", "--system", "V-O"], "the system is V-O, and none of the 1 crystals"),
        (lambda place, run: [place / "good.cif", "--system", "V-O", "--potential", "chgnte"], "Did you mean `chgnet`?"),
        (lambda place, run: [place / "good.cif", "--system", "V-O", "--known", place / "x"], "x does not exist"),
        (lambda place, run: [place / "good.cif", "--on", place], "not a run directory"),
        (lambda place, run: [place / "good.cif", "--on", place / "stopped"], "was stopped before its end"),
        (lambda place, run: [place / "ti.cif", "--on", run], "is a run of V-O, and none of the 1 crystals has only these"),
        (lambda place, run: [place / "log.txt", "--on", run], "hold no crystal that can be read. The first fault: "),
        (lambda place, run: [place / "void", "--on", run], "there is no file to read"),
        (lambda place, run: [place / "good.cif", "--on", run, "--out", place / "log.txt"], "log.txt is a file"),
        (lambda place, run: [place / "good.cif", "--on", run, "--out", place / "log.txt" / "o"], "cannot write to"),
        (lambda place, run: [place / "good.cif", "--on", run, "--out", run], "is the run, or lies in it"),
        (
            lambda place, run: [place / "good.cif", "--on", run, "--out", place / "stopped"],
            "is not empty and holds no screening",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_screened_is_a_sentence_and_status_2(imatgen, run, tmp_path, make, said):
    (tmp_path / "good.cif").write_text(TEXT)
    (tmp_path / "ti.cif").write_bytes(BROKEN["of another system"][1])
    (tmp_path / "log.txt").write_text("all went well")
    (tmp_path / "void").mkdir()
    (tmp_path / "stopped" / "artifacts").mkdir(parents=True)
    shutil.copy(run / "campaign.yaml", tmp_path / "stopped")
    arguments = make(tmp_path, run)
    if "--out" not in arguments:
        arguments += ["--out", tmp_path / "out"]
    code, text, error = imatgen("screen", *arguments)
    assert code == 2 and said in error and not text
    assert "Traceback" not in error and not (tmp_path / "out").exists()


@pytest.fixture
def potential(monkeypatch):
    """Name a potential that takes no time, for this process and those that it starts."""
    place = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([place, os.environ.get("PYTHONPATH", "")]))
    return "still_potential:make"


def test_500_files_are_screened_on_the_published_phases_of_a_system(imatgen, potential, tmp_path):
    folder, out = write_folder(tmp_path / "given", copies=15, broken=50), tmp_path / "out"
    options = (folder, "--system", "V-O", "--potential", potential, "--out", out)
    code, text, error = imatgen("screen", *options, "--json")
    assert code == 0, error
    found, rows = json.loads(text), rows_of(out)
    assert found["system"] == "V-O" and found["samples"] == len(rows) == 500 == sum(found["states"].values())
    assert all(row["rejected_detail"] for row in rows if row["state"] == "rejected")
    assert found["evaluations"]["references"] == len(reference_phases(["V", "O"]))  # one each: no atom moves
    assert {row["scale"] for row in rows} == {potential, ""} and {row["novelty"] for row in rows} >= {
        "new",
        "duplicate",
    }
    hull = json.loads((out / "hull.json").read_text())
    assert {row["kind"] for row in hull["references"]} == {"element", "compound"}
    page = (out / "report.html").read_text()
    assert "Screening of V–O" in page and "8 shipped with the program" in page and "Unlike a run" in page
    record = json.loads((out / "provenance.json").read_text())
    assert record["settings"]["screen"] == {"potential": potential, "fmax": 0.05, "max_steps": 500, "threshold": 0.15}
    before = {path: path.stat().st_mtime_ns for path in relaxations(out)}
    assert len(before) == len(GOOD) + len(reference_phases(["V", "O"]))
    code, text, error = imatgen("screen", *options)
    assert code == 0 and "Unlike a run" in text and "report.html" in text
    assert before == {path: path.stat().st_mtime_ns for path in relaxations(out)}


@pytest.mark.parametrize("after", [3, 15], ids=["the hull", "the files"])
def test_a_screening_with_its_own_hull_that_is_killed_ends_as_one_that_was_not(
    imatgen, potential, tmp_path, after, undisturbed
):
    folder, whole = undisturbed
    out, options = tmp_path / "killed", ("--system", "V-O", "--potential", potential)
    code, _, done = stop(signal.SIGKILL, folder, out, *options, after=after)
    assert code == -signal.SIGKILL and after <= len(done) < len(relaxations(whole))
    before = {path: path.stat().st_mtime_ns for path in done}
    code, _, error = imatgen("screen", folder, *options, "--out", out)
    assert code == 0, error
    assert before == {path: path.stat().st_mtime_ns for path in done}  # none of them was made again
    assert {path.name for path in relaxations(out)} == {path.name for path in relaxations(whole)}
    for name in ("screened.csv", "screened.parquet", "ledger.json", "hull.json", "screening.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.fixture
def undisturbed(imatgen, potential, tmp_path):
    """A screening on the published phases that nothing stopped."""
    folder, out = write_folder(tmp_path / "given", broken=18), tmp_path / "whole"
    code, _, error = imatgen("screen", folder, "--system", "V-O", "--potential", potential, "--out", out)
    assert code == 0, error
    return folder, out


def test_published_phases_are_known_and_files_of_further_ones_too(imatgen, potential, tmp_path):
    folder, known = tmp_path / "given", tmp_path / "known.cif"
    folder.mkdir()
    compounds = [phase for phase in reference_phases(["V", "O"]) if phase.kind == "compound"]
    for number, phase in enumerate(compounds):
        (folder / f"p{number}.cif").write_text(phase.structure.to(fmt="cif", significant_figures=12))
    (folder / "mine.cif").write_text(TEXT)
    known.write_text(TEXT)
    options = ("--system", "V-O", "--potential", potential)
    code, _, error = imatgen("screen", folder, *options, "--out", tmp_path / "one")
    assert code == 0, error
    assert {row["sample"] for row in rows_of(tmp_path / "one") if row["novelty"] == "new"} == {"mine"}
    code, text, error = imatgen("screen", folder, *options, "--known", known, "--out", tmp_path / "two")
    assert code == 1 and "none of 9 relaxed crystals is new" in error and "1 from known.cif" in text
    assert {row["novelty"] for row in rows_of(tmp_path / "two")} == {"known"}
    code, _, error = imatgen("screen", folder, *options, "--out", tmp_path / "two")
    assert code == 2 and "other settings" in error


def test_without_published_compounds_the_hull_says_so(imatgen, potential, tmp_path):
    (tmp_path / "zn.cif").write_text(
        Structure.from_spacegroup(216, Lattice.cubic(4.6), ["Zn", "O"], [[0, 0, 0], [0.25] * 3]).to(fmt="cif")
    )
    options = ("--system", "Zn-O", "--potential", potential, "--out", tmp_path / "out")
    code, text, error = imatgen("screen", tmp_path / "zn.cif", *options)
    assert code == 0, error
    assert "energies above it are relative to the elements, and nothing can be said to lie below it" in text
    assert "substituted structures" not in text and "--known FILE" in text


def test_two_screenings_do_not_share_a_directory(imatgen, screened, run, tmp_path):
    out = shutil.copytree(screened[1], tmp_path / "out")
    with locked(out, "never said"):
        code, _, error = imatgen("screen", screened[0], "--on", run, "--out", out)
    assert code == 2 and f"{out} is at work in another process. Wait for its end" in error
    assert imatgen("screen", screened[0], "--on", run, "--out", out)[0] == 0


def test_a_run_whose_campaign_was_edited_after_its_end_is_refused(imatgen, screened, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    campaign = yaml.safe_load((copy / "campaign.yaml").read_text())

    def write(**screen):
        (copy / "campaign.yaml").write_text(yaml.safe_dump(campaign | {"screen": campaign["screen"] | screen}))

    write(threshold=0.3, fmax=0.2)
    code, _, error = imatgen("screen", screened[0], "--on", copy, "--out", tmp_path / "out")
    assert code == 2 and not (tmp_path / "out").exists()
    assert "was edited after the run ended: `screen.fmax` is 0.2, the run had 0.3; `screen.threshold` is 0.3" in error
    with pytest.raises(InputError, match="was edited after the run ended"):
        imf.screen([GOOD[0]], on=copy)
    write(at_most=campaign["screen"]["at_most"] + 1)  # it decides nothing here
    assert FinishedRunSource(copy).identity()["settings"]["screen"]["fmax"] == 0.3


def test_in_python_a_system_is_screened_as_its_files_are_and_nothing_is_left_behind(
    potential, tmp_path, undisturbed, monkeypatch
):
    rows = {row["sample"]: row for row in rows_of(undisturbed[1])}
    names = [f"c{number:02d}-00" for number in range(1, 9, 2)]
    crystals = [GOOD[number] for number in range(1, 9, 2)]
    monkeypatch.chdir(tmp_path)
    before = state_of(tmp_path)
    frame = imf.screen(crystals, system="V-O", potential=potential)
    assert state_of(tmp_path) == before
    for name, found in zip(names, frame.to_dict("records"), strict=True):
        assert found["relaxed_id"] == rows[name]["relaxed_id"]
        assert float(rows[name]["e_above_hull"]) == pytest.approx(found["e_above_hull"], abs=1e-6)
    assert "published phases" in frame.attrs["meaning_of_new"] and "8 published compounds" in frame.attrs["hull"]
    again = imf.screen(crystals, system="V-O", potential=potential, cache=tmp_path / "cache")
    monkeypatch.setattr("imatgen_flows.energetics.relax.relax_many", lambda *_, **__: pytest.fail("relaxed again"))
    cached = imf.screen(crystals, system="V-O", potential=potential, cache=tmp_path / "cache")
    assert cached.drop(columns="structure").equals(again.drop(columns="structure"))


def test_in_python_a_run_is_left_as_it_is(run):
    before = state_of(run)
    imf.screen([GOOD[0]], on=run)
    assert state_of(run) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "give either `system`, as V-O, or `on`"),
        ({"system": "V-O", "on": "runs/vo"}, "give either `system`"),
        ({"on": "runs/vo", "potential": "toy"}, "`potential` and `known` go with `system`"),
        ({"system": "v-o"}, "Did you mean V-O"),
        ({"system": "V-O", "potential": "chgnte"}, "chgnte"),
        ({"system": "V-O", "potential": "toy", "known": ["nowhere.cif"]}, "nowhere.cif does not exist"),
        ({"system": "Ti-O", "potential": "toy"}, "has V; the system is Ti-O"),
    ],
)
def test_in_python_what_cannot_be_meant_is_a_sentence(options, said):
    with pytest.raises(InputError, match=said):
        imf.screen([GOOD[0]], **options)


@pytest.mark.parametrize("arguments", [("", "--out", "there"), ("cell.cif", "--out", "")])
def test_an_empty_path_is_not_the_working_directory(imatgen, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    cell(1).to(filename="cell.cif")
    status, _, said = imatgen("screen", *arguments, "--system", "V-O", "--potential", "toy")
    assert status == 2 and "a path is empty" in said
    assert [path.name for path in tmp_path.iterdir()] == ["cell.cif"]
