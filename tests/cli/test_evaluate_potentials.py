"""`imatgen evaluate potentials`: from a file of crystals to the threshold that a campaign should use."""

from __future__ import annotations

import gzip
import json

import pytest

from imatgen_flows.energetics.references import reference_phases
from imatgen_flows.jobs import calibration
from imatgen_flows.jobs.calibration import read_known_energies


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Write a file of vanadium oxides with energies that nobody calculated."""
    path = tmp_path_factory.mktemp("known") / "known.jsonl.gz"
    rows = []
    for number, phase in enumerate(reference_phases(["V", "O"])):
        if phase.kind != "compound" or len(phase.structure) > 10:
            continue
        row = {
            "id": phase.name,
            "lattice": phase.structure.lattice.matrix.tolist(),
            "species": [site.specie.symbol for site in phase.structure],
            "frac_coords": phase.structure.frac_coords.tolist(),
            "ef_mp2020": -1.5 - 0.1 * number,
        }
        rows += [row, row | {"id": f"{phase.name} again", "ef_mp2020": -1.4}, row | {"id": "none", "ef_mp2020": None}]
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def test_a_file_is_relaxed_by_each_potential_and_relaxed_only_once(known, tmp_path, imatgen, monkeypatch):
    command = ["evaluate", "potentials", known, "--potentials", "toy", "--cache", tmp_path, "--thresholds", "0.1,0.4"]
    status, out, err = imatgen(*command)
    assert status == 0, err
    out = " ".join(out.split())  # the title of a table is wrapped
    assert "errors in eV/atom" in out and "Threshold for toy:" in out and "energy evaluations" in out

    def never(*arguments, **options):
        raise AssertionError("relaxed again")

    monkeypatch.setattr("imatgen_flows.energetics.isolated.run_isolated", never)
    status, out, err = imatgen(*command, "--json")
    assert status == 0, err
    found = json.loads(out)
    number = len(read_known_energies(known).structures)
    assert found["formation"]["toy"]["number"] == number == len(found["crystals"]) > 4
    assert [item["threshold"] for item in found["decisions"]] == [0.1, 0.4]
    assert found["shared_training"] == "" and found["evaluations"]["toy"] > number


def test_a_file_without_energies_says_which_fields_there_are(tmp_path, imatgen):
    crystal = {"lattice": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "species": ["V"], "frac_coords": [[0, 0, 0]]}
    path = tmp_path / "bare.jsonl"
    path.write_text(json.dumps(crystal | {"id": "a", "my_energy": -1.0, "ef_mp2020": None}) + "\n")
    status, _, err = imatgen("evaluate", "potentials", path, "--potentials", "toy", "--cache", tmp_path / "c")
    assert status == 2
    assert "none of its 1 rows has a number in `ef_mp2020`" in err and "ef_mp2020, my_energy" in err
    assert read_known_energies(path, "my_energy").energies == {"a": -1.0}
    status, _, err = imatgen(
        "evaluate", "potentials", path, "--potentials", "toy", "--energy", "my_energy", "--cache", tmp_path / "c"
    )
    assert status == 2 and "too few for a calibration" in err and not list((tmp_path / "c").glob("**/*.json"))


def test_what_is_no_energy_or_no_json_is_named_before_anything_relaxes(tmp_path, imatgen, caplog):
    crystal = {"lattice": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "species": ["V"], "frac_coords": [[0, 0, 0]]}
    path = tmp_path / "some.jsonl"
    rows = [json.dumps(crystal | {"id": f"c{number}", "ef_mp2020": -1.0}) for number in range(3)]
    path.write_text("\n".join([rows[0], rows[1][:40], rows[2]]) + "\n")
    with caplog.at_level("WARNING", logger="imatgen_flows"):
        assert len(read_known_energies(path).energies) == 2
    assert "1 lines are no JSON objects, the first of them line 2" in caplog.text
    path.write_text("\n".join([*rows, rows[0].replace("c0", "c9").replace("-1.0", "NaN")]) + "\n")
    status, _, err = imatgen("evaluate", "potentials", path, "--potentials", "toy", "--cache", tmp_path / "c")
    assert status == 2 and "line 4: `ef_mp2020` of c9 is nan" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--potentials", "toy,toy"), "toy is named twice"),
        (("--potentials", ","), "--potentials names nothing"),
        (("--potentials", "chgnt"), "Did you mean `chgnet`"),
        (("--potentials", "toy", "--thresholds", "near"), "--thresholds near: give numbers"),
        (("--potentials", "toy", "--thresholds", "-1"), "a threshold of -1 eV/atom is none"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_relaxed(known, tmp_path, imatgen, options, said):
    status, _, err = imatgen("evaluate", "potentials", known, *options, "--cache", tmp_path)
    assert status == 2 and said in err and not list(tmp_path.rglob("*.json"))


def test_a_name_that_stands_twice_and_a_crystal_that_cannot_be_read_are_refused(tmp_path, imatgen):
    crystal = {"id": "a", "lattice": [[3, 0, 0], [0, 3, 0], [0, 0, 3]], "species": ["V"], "frac_coords": [[0, 0, 0]]}
    path = tmp_path / "twice.jsonl"
    path.write_text(2 * (json.dumps(crystal | {"ef_mp2020": -1.0}) + "\n"))
    assert "line 2: `a` stands twice" in imatgen("evaluate", "potentials", path, "--potentials", "toy")[2]
    faults = (
        ({"species": ["Xx"]}, "sites that hold no single element"),
        ({"lattice": [3]}, "an energy, and no crystal"),
    )
    for fault, said in faults:
        path.write_text(json.dumps(crystal | {"ef_mp2020": -1.0} | fault))
        assert said in imatgen("evaluate", "potentials", path, "--potentials", "toy")[2]
    missing = imatgen("evaluate", "potentials", tmp_path / "nothing.jsonl", "--potentials", "toy")
    assert missing[0] == 2 and "cannot be read" in missing[2]


def test_the_field_that_the_command_line_names_is_that_of_the_job():
    from imatgen_flows.cli.evaluate_potentials import FORMATION_FIELD

    assert calibration.ENERGY == FORMATION_FIELD
