"""What becomes of calculated candidates and references: a place on the hull of their scale, or one reason why not."""

from __future__ import annotations

import pytest
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.config import Validate
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.energetics.backends import MP2020, R2SCAN
from imatgen_flows.energetics.hull import HullEntry
from imatgen_flows.energetics.mp_settings import prescribed_u
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.documents import CalculationsDocument
from imatgen_flows.jobs.hulls import load_hull
from imatgen_flows.jobs.place_calculations import ANTIFERRO, place_candidates, place_references
from imatgen_flows.jobs.validation import validate_shortlist

from .conftest import OXYGEN, VANADIUM, VO, VO2, candidate

PER_O, PER_V = -0.687, -1.700  # eV per atom in an oxide with U, as MP2020 corrects it
MP_GGA = {"backend": "vasp-mp-gga"}
ELEMENTS = {"V bcc": (VANADIUM, -9.0), "O2 molecule": (OXYGEN, -5.0)}
V2N = Structure(Lattice.cubic(4), ["V", "V", "N"], [[0, 0, 0], [0.5] * 3, [0.5, 0, 0]])


def settings(**changes):
    return Validate(**changes).model_dump(mode="json")


def accepted(name, structure, energy_per_atom, *, run_type=None, evaluations=5, **changes):
    """A row of a calculation that the gate has let pass."""
    u = prescribed_u(structure.composition) if run_type != "r2SCAN" else {}
    symbols = {"V": "V_pv", "O": "O", "N": "N"}
    potcars = [{"titel": f"PAW_PBE {symbols[e.symbol]} X", "hash": None} for e in structure.composition.elements]
    row = {
        "name": name,
        "state": "accepted",
        "reason": "",
        "detail": "",
        "attempts": 1,
        "evaluations": evaluations,
        "structure": structure.as_dict(),
        "energy_per_atom": energy_per_atom,
        "fmax": 0.02,
        "run_type": run_type or ("GGA+U" if u else "GGA"),
        "hubbards": u,
        "potcar_spec": potcars,
        "ionic_steps": 1,
        "gap": 0.5,
        "magnetisation": 2.0,
        "directory": "here",
        "vasp_version": "6.4.2",
    }
    return row | changes


def refused(name, reason="not_converged", evaluations=9):
    return {
        "name": name,
        "state": "rejected",
        "reason": reason,
        "detail": f"why {name}",
        "attempts": 2,
        "evaluations": evaluations,
    }


@pytest.fixture
def calculations(store):
    def build(*rows):
        states = [row["state"] for row in rows]
        lines = store.put_lines("calculations", list(rows))
        return CalculationsDocument(
            key=f"collect_calculations-{lines.sha256[:8]}",
            calculations=lines,
            counts={state: states.count(state) for state in states},
            spent=sum(row["evaluations"] for row in rows),
        )

    return build


@pytest.fixture
def hull(store, calculations, run):
    """References of DFT, from given rows, or the elements."""

    def build(*rows, system=("V", "O"), **changes):
        rows = rows or [accepted(name, structure, energy) for name, (structure, energy) in ELEMENTS.items()]
        job = place_references(
            str(store.root),
            calculations=calculations(*rows),
            system=list(system),
            validate=settings(**(MP_GGA | changes)),
        )
        return run(job)[place_references.spec.name]

    return build


@pytest.fixture
def place(store, calculations, shortlist, run):
    def build(screened, rows, references, **changes):
        job = place_candidates(
            str(store.root),
            candidates=shortlist(*screened),
            calculations=calculations(*rows),
            references=references,
            validate=settings(**(MP_GGA | changes)),
        )
        document = run(job)[place_candidates.spec.name]
        return {row["sample"]: row for row in candidate_rows(document.candidates)}, document

    return build


def test_an_accepted_candidate_gets_its_corrected_energy_and_its_place_on_the_hull(hull, place):
    placed, document = place([candidate("a", VO2)], [accepted("a", VO2, -8.0)], hull())
    (row,) = placed.values()
    assert (row["scale"], row["validated_scale"]) == ("toy", MP2020)
    corrected = -8.0 + (2 * PER_O + PER_V) / 3
    assert row["validated_energy_per_atom"] == pytest.approx(corrected)
    assert row["validated_formation_energy"] == pytest.approx(corrected - (-9.0 + 2 * -5.0) / 3)
    # no other phase is on this hull
    assert row["validated_e_above_hull"] == pytest.approx(row["validated_formation_energy"])
    assert row["validated_decomposition"] == "0.6667 O2 molecule + 0.3333 V bcc"
    assert (row["energy_per_atom"], row["e_above_hull"], row["fmax"]) == (0.1, pytest.approx(0.1), 0.01)  # as screened
    assert (row["state"], row["rejected_stage"], row["rejected_reason"]) == (State.VALIDATED, "", "")
    assert (row["spacegroup"], row["spacegroup_number"], row["validated_fmax"]) == ("P4_2/mnm", 136, 0.02)
    validated = candidate_structures(document.candidates, Geometry.VALIDATED)["a"]
    assert validated == standardise(VO2) and row["validated_id"] == structure_id(validated)
    assert document.counts == {"validated": 1}


def test_of_two_magnetic_orders_the_lower_is_kept_and_both_are_paid_for(hull, place):
    for ferro, antiferro in ((-8.0, -8.1), (-8.1, -8.0)):
        rows = [accepted("a", VO2, ferro), accepted("a" + ANTIFERRO, VO2, antiferro, evaluations=7)]
        placed, _ = place([candidate("a", VO2)], rows, hull())
        assert placed["a"]["validated_energy_per_atom"] == pytest.approx(-8.1 + (2 * PER_O + PER_V) / 3)
        assert placed["a"]["validation_evaluations"] == 12
    rows = [refused("a"), accepted("a" + ANTIFERRO, VO2, -8.0, evaluations=7)]
    placed, _ = place([candidate("a", VO2)], rows, hull())
    assert (placed["a"]["state"], placed["a"]["validation_evaluations"]) == (State.VALIDATED, 16)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (
            [accepted("a", VO2, -8.0), accepted("a" + ANTIFERRO, VO2, -8.1)],
            "antiferromagnetic start, 0.100 eV/atom below the ferromagnetic one",
        ),
        (
            [accepted("a", VO2, -8.1), accepted("a" + ANTIFERRO, VO2, -8.0)],
            "ferromagnetic start, 0.100 eV/atom below the antiferromagnetic one",
        ),
        ([accepted("a", VO2, -8.1)], ""),
        ([accepted("a", VO2, -8.1), refused("a" + ANTIFERRO)], ""),
        ([refused("a"), accepted("a" + ANTIFERRO, VO2, -8.1)], ""),
    ],
)
def test_the_lower_of_two_magnetic_starts_is_said_where_both_were_accepted(hull, place, rows, words):
    placed, _ = place([candidate("a", VO2)], rows, hull())
    assert placed["a"]["validated_magnetic_order"] == words


def test_a_hull_of_published_energies_names_the_database_and_its_version(store, calculations, run, monkeypatch):
    entries = [
        HullEntry(name, Composition(name), energy, "Materials Project 2025_09_25")
        for name, energy in (("V", -9.08), ("O2", -4.95), ("VO2", -8.97))
    ]
    asked = []
    place = "imatgen_flows.energetics.mp_entries.fetch_mp_entries"
    monkeypatch.setattr(place, lambda system, *_: asked.append(system) or entries)
    job = place_references(
        str(store.root),
        calculations=calculations(),
        system=["V", "O"],
        validate=settings(**MP_GGA, references="mp"),
    )
    document = run(job)[place_references.spec.name]
    assert asked == [["V", "O"]] and document.counts == {"phases": 3, "refused": 0}
    assert document.database == "Materials Project 2025_09_25" and document.potential == MP2020
    assert {entry.source for entry in load_hull(document).entries} == {"Materials Project 2025_09_25"}


def test_a_refused_candidate_has_the_one_reason_of_its_first_start(hull, place):
    rows = [refused("a", "walltime"), refused("a" + ANTIFERRO, "not_converged"), refused("b", "job_lost")]
    placed, document = place([candidate("a", VO2), candidate("b", VO)], rows, hull())
    reasons = {name: (row["state"], row["rejected_reason"]) for name, row in placed.items()}
    assert reasons == {"a": (State.REJECTED, "walltime"), "b": (State.REJECTED, "job_lost")}
    assert placed["a"]["rejected_detail"] == "why a"
    assert placed["a"]["rejected_stage"] == "validate"
    assert all(row["validated_energy_per_atom"] is None and row["validated_id"] == "" for row in placed.values())
    assert all(row["energy_per_atom"] == 0.1 and row["scale"] == "toy" for row in placed.values())  # as screened
    assert not candidate_structures(document.candidates, Geometry.VALIDATED)
    assert document.counts == {"rejected": 2}


def test_an_energy_of_another_functional_is_off_the_scale(hull, place):
    rows = [accepted("a", VO2, -8.0, run_type="r2SCAN"), accepted("b", VO2, -8.0, hubbards={"V": 3.1})]
    placed, _ = place([candidate("a", VO2), candidate("b", VO2)], rows, hull())
    assert [row["rejected_reason"] for row in placed.values()] == ["off_the_scale"] * 2
    assert "energies of different functionals do not compare" in placed["a"]["rejected_detail"]
    assert "U of 3.1 eV on V, expected 3.25 eV" in placed["b"]["rejected_detail"]


def test_a_hull_of_another_scale_is_refused_as_a_whole_and_before_anything_is_calculated(
    hull, place, shortlist, store, run
):
    r2scan = [accepted(name, structure, -9.0, run_type="r2SCAN") for name, (structure, _) in ELEMENTS.items()]
    of_r2scan = hull(*r2scan, backend="vasp-mp24")
    assert of_r2scan.potential == R2SCAN
    for references, backend in ((of_r2scan, "vasp-mp-gga"), (hull(), "vasp-mp24"), (hull(), "force-field")):
        with pytest.raises(InputError, match="they do not compare. Compute the references with the same back end"):
            place([candidate("a", VO2)], [accepted("a", VO2, -8.0)], references, backend=backend)
        job = validate_shortlist(
            str(store.root),
            candidates=shortlist(candidate("a", VO2)),
            references=references,
            validate=settings(backend=backend),
            maker=None,
        )
        with pytest.raises(InputError, match="they do not compare"):
            run(job)


def test_an_r2scan_energy_stands_uncorrected_on_the_hull_of_its_own(hull, place):
    r2scan = [accepted(name, structure, -9.0, run_type="r2SCAN") for name, (structure, _) in ELEMENTS.items()]
    references = hull(*r2scan, backend="vasp-mp24")
    rows = [accepted("a", VO2, -9.5, run_type="r2SCAN"), accepted("b", VO2, -9.5)]
    placed, _ = place([candidate("a", VO2), candidate("b", VO2)], rows, references, backend="vasp-mp24")
    assert placed["a"]["validated_scale"] == R2SCAN
    assert placed["a"]["validated_formation_energy"] == pytest.approx(-0.5)
    assert placed["b"]["rejected_reason"] == "off_the_scale"


def test_a_candidate_with_an_f_element_is_refused_by_name_and_never_calculated(hull, place):
    cerium = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.4), ["Ce", "O"], [[0, 0, 0], [0.25] * 3])
    placed, _ = place([candidate("a", cerium), candidate("b", VO2)], [accepted("b", VO2, -8.0)], hull())
    assert placed["a"]["rejected_reason"] == "f_element"
    assert "CeO2 holds Ce" in placed["a"]["rejected_detail"]
    assert placed["b"]["state"] == State.VALIDATED


def test_the_ledger_adds_up_whatever_became_of_the_calculations(hull, place):
    screened = [candidate(name, VO2) for name in "abcd"] + [candidate("e", VO2, State.REJECTED)]
    rows = [
        accepted("a", VO2, -8.0, evaluations=11),
        refused("b", evaluations=6),
        accepted("c", VO2, -8.0, run_type="r2SCAN", evaluations=3),
        refused("c" + ANTIFERRO, "job_lost", evaluations=0),
    ]
    placed, document = place(screened, rows, hull())
    assert {name: row["validation_evaluations"] for name, row in placed.items()} == {
        "a": 11,
        "b": 6,
        "c": 3,
        "d": 0,
        "e": 0,
    }
    assert document.evaluations == {"screen": 40, "validate": 20}
    assert sum(document.counts.values()) == len(screened)
    assert placed["d"]["state"] == State.SHORTLISTED  # below `at_most`: nobody has looked at it
    assert (placed["e"]["rejected_stage"], placed["e"]["rejected_reason"]) == ("screen", "crashed")  # untouched
    assert document.seed == 3


def test_references_make_the_hull_and_failed_ones_are_counted(hull):
    rows = [accepted(name, structure, energy) for name, (structure, energy) in ELEMENTS.items()]
    found = hull(*rows, accepted("VO2 rutile", VO2, -8.0), refused("V2O5"))
    assert found.counts == {"phases": 3, "refused": 1}
    assert found.evaluations == {"validate references": 24}
    built = load_hull(found)
    corrected = -8.0 + (2 * PER_O + PER_V) / 3
    energies = {entry.name: entry.energy_per_atom for entry in built.entries}
    assert energies == pytest.approx({"V bcc": -9.0, "O2 molecule": -5.0, "VO2 rutile": corrected})
    assert built.potential == found.potential == MP2020
    assert [row["name"] for row in read_lines(found.phases)] == [*ELEMENTS, "VO2 rutile", "V2O5"]


def test_a_reference_has_as_many_starts_as_a_candidate_and_its_lower_energy_carries_the_hull(hull, place):
    elements = [accepted(name, structure, energy) for name, (structure, energy) in ELEMENTS.items()]
    both = [accepted("VO2 rutile", VO2, -8.0), accepted("VO2 rutile" + ANTIFERRO, VO2, -8.1)]
    references = hull(*elements, *both, refused("V2O5"), refused("V2O5" + ANTIFERRO))
    assert references.counts == {"phases": 3, "refused": 1}
    assert references.evaluations == {"validate references": 38}
    rows = [accepted("a", VO2, -8.0), accepted("a" + ANTIFERRO, VO2, -8.1)]
    placed, _ = place([candidate("a", VO2)], rows, references)
    # the same phase in the same order of moments is no discovery
    assert placed["a"]["validated_e_above_hull"] == pytest.approx(0)


def test_a_missing_element_is_named_with_what_was_refused(hull):
    with pytest.raises(InputError, match="has no phase of O; refused: O2 molecule: walltime. Mend what failed"):
        hull(accepted("V bcc", VANADIUM, -9.0), refused("O2 molecule", "walltime"))
    with pytest.raises(InputError, match="has no phase of O, V; refused: none"):
        hull(accepted("VO2", VO2, -8.0))


def test_a_guessed_anion_is_noted_on_references_and_candidates_alike(hull, place):
    nitrogen = Structure(Lattice.cubic(9), ["N", "N"], [[4, 4, 4], [4, 4, 5.1]], coords_are_cartesian=True)
    elements = [accepted("V bcc", VANADIUM, -9.0), accepted("N2", nitrogen, -8.3)]
    references = hull(*elements, accepted("V2N", V2N, -9.2), system=("V", "N"))
    notes = {row["name"]: row["note"] for row in read_lines(references.phases)}
    assert notes["V bcc"] == notes["N2"] == ""
    assert notes["V2N"].startswith("no oxidation states fit V2N; the scheme corrects N")
    placed, _ = place([candidate("a", V2N)], [accepted("a", V2N, -9.2)], references)
    assert placed["a"]["state"] == State.VALIDATED
    assert placed["a"]["validated_e_above_hull"] == pytest.approx(0)  # both are corrected, or neither
    assert placed["a"]["validated_note"] == notes["V2N"]


def test_energies_that_a_stand_in_may_have_calculated_say_so(hull, place, monkeypatch):
    references = hull(accepted("V bcc", VANADIUM, -9.0), accepted("O2 molecule", OXYGEN, -4.9))
    monkeypatch.setenv("IMATGEN_STAND_IN", "true")
    placed, _ = place([candidate("a", VO2)], [accepted("a", VO2, -8.0)], references)
    assert placed["a"]["validated_note"] == "a program that plays VASP may have calculated this"


def test_a_hull_at_a_pressure_takes_no_candidate_of_another(store, calculations, hull, shortlist, run):
    enthalpies = [accepted(name, structure, energy) for name, (structure, energy) in ELEMENTS.items()]
    job = place_references(
        str(store.root),
        calculations=calculations(*enthalpies),
        system=["V", "O"],
        validate=settings(**MP_GGA),
        pressure=20.0,
    )
    references = run(job)[place_references.spec.name]
    assert references.potential == f"{MP2020} at 20 GPa" == load_hull(references).potential
    assert references.key != hull().key
    common = {
        "candidates": shortlist(candidate("a", VO2)),
        "calculations": calculations(accepted("a", VO2, -8.0)),
        "validate": settings(**MP_GGA),
    }
    job = place_candidates(str(store.root), references=references, pressure=20.0, **common)
    (row,) = candidate_rows(run(job)[place_candidates.spec.name].candidates)
    assert row["validated_scale"] == f"{MP2020} at 20 GPa"
    assert row["validated_energy_per_atom"] == pytest.approx(
        -8.0 + (2 * PER_O + PER_V) / 3
    )  # corrected as energies are
    for document, pressure in ((references, {}), (references, {"pressure": 10.0}), (hull(), {"pressure": 20.0})):
        with pytest.raises(InputError, match="they do not compare"):
            place_candidates.original(str(store.root), references=document, **common, **pressure)
