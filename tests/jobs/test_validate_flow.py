"""The whole validation, references first, with each back end: all energies are on one scale, and the ledger balances."""

from __future__ import annotations

import pytest
from jobflow import Flow
from pymatgen.core import Structure

from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.config import Validate
from imatgen_flows.energetics.backends import MP2020, R2SCAN
from imatgen_flows.energetics.references import molecular_solids
from imatgen_flows.energetics.relax import single_points
from imatgen_flows.flows import ValidateMaker
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.calculations import collect_calculations
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.place_calculations import place_candidates, place_references

from .conftest import VO, VO2, candidate

pytestmark = pytest.mark.slow
SCALES = {"vasp-mp-gga": MP2020, "vasp-mp24": R2SCAN, "force-field": "CHGNet by atomate2"}


@pytest.fixture
def validated(store, published, shortlist, run):
    """Validate the best two of three candidates; return the documents and the candidates."""

    def validate(settings, run_vasp_kwargs):
        maker = ValidateMaker(
            validate=Validate(at_most=2, fmax=0.5, **settings), walltime=1000, run_vasp_kwargs=run_vasp_kwargs
        )
        screened = [
            candidate("third", VO, e_above_hull=0.3),
            candidate("second", VO, e_above_hull=0.2),
            candidate("best", VO2, e_above_hull=-0.1),
        ]
        references = maker.make_references(str(store.root), published, ["V", "O"])
        judged = maker.make(str(store.root), shortlist(*screened), references.output)
        documents = run(Flow([references, judged]))
        placed = candidate_rows(documents[place_candidates.spec.name].candidates)
        return documents, {row["sample"]: row for row in placed}

    return validate


@pytest.mark.parametrize("backend", ["vasp-mp-gga", "force-field"])
def test_a_validation_at_a_pressure_is_one_of_enthalpies_throughout(backend, store, published, shortlist, run, vasp):
    """Of each calculation E + pV is found again from its structure, by a program that is asked for nothing but E."""
    (solid, *_) = molecular_solids(["O"])
    rows = [
        row
        | ({"name": solid.name, "structure": solid.structure.as_dict(), "molecule": False} if row["molecule"] else {})
        for row in read_lines(published.phases)
    ]
    phases = published.model_copy(update={"phases": store.put_lines("phases", rows)})
    validate = Validate(at_most=1, fmax=0.5, backend=backend)
    maker = ValidateMaker(validate=validate, walltime=1000, run_vasp_kwargs=vasp, pressure=20.0)
    references = maker.make_references(str(store.root), phases, ["V", "O"])
    placed = maker.make(str(store.root), shortlist(candidate("best", VO2, e_above_hull=-0.1)), references.output)
    documents = run(Flow([references, placed]))
    scale = f"{SCALES[backend]} at 20 GPa"
    assert documents[place_references.spec.name].potential == scale
    assert {row["state"] for row in read_lines(documents[place_references.spec.name].phases)} == {"accepted"}
    (row,) = candidate_rows(documents[place_candidates.spec.name].candidates)
    assert (row["state"], row["validated_scale"]) == (State.VALIDATED, scale)
    structure = candidate_structures(documents[place_candidates.spec.name].candidates, Geometry.VALIDATED)["best"]
    assert structure.volume < VO2.volume
    if backend == "force-field":
        [alone] = single_points([structure], "chgnet", workers=1)
        enthalpy = alone.energy_per_atom + 20 / 160.21766 * structure.volume / len(structure)
        assert row["validated_energy_per_atom"] == pytest.approx(enthalpy, abs=1e-3)


@pytest.mark.parametrize(
    "settings",
    [{"backend": "vasp-mp-gga", "antiferro": True}, {"backend": "vasp-mp24"}, {"backend": "force-field"}],
    ids=lambda settings: settings["backend"],
)
def test_references_and_candidates_end_on_one_scale_and_every_step_is_counted(settings, validated, vasp):
    documents, candidates = validated(settings, vasp)
    references, placed = documents[place_references.spec.name], documents[place_candidates.spec.name]
    assert references.potential == SCALES[settings["backend"]]
    rows = read_lines(references.phases)
    second_start = [" antiferro"] if settings.get("antiferro") else []
    assert [row["name"] for row in rows] == ["V bcc", *(f"V bcc{end}" for end in second_start), "O2 molecule"]
    assert {row["state"] for row in rows} == {"accepted"}
    assert all(row["evaluations"] > 0 for row in rows)
    assert references.evaluations == {"validate references": sum(row["evaluations"] for row in rows)}
    box = Structure.from_dict(rows[-1]["structure"]).lattice
    assert box.abc == pytest.approx((7.0, 7.1, 8.2))  # a molecule keeps its box

    states = {name: row["state"] for name, row in candidates.items()}
    assert states == {"best": State.VALIDATED, "second": State.VALIDATED, "third": State.SHORTLISTED}
    relaxed, validated_to = (
        candidate_structures(placed.candidates, geometry) for geometry in (Geometry.RELAXED, Geometry.VALIDATED)
    )
    assert set(validated_to) == {"best", "second"} < set(relaxed)
    for name in ("best", "second"):
        row = candidates[name]
        assert (row["scale"], row["validated_scale"]) == ("toy", SCALES[settings["backend"]])
        assert row["validation_evaluations"] > 0
        assert validated_to[name] != relaxed[name]
    spent = sum(row["validation_evaluations"] for row in candidates.values())
    assert placed.evaluations == {"screen": 24, "validate": spent}

    names = [row["name"] for row in read_lines(documents[collect_calculations.spec.name].calculations)]
    assert names == ["best", *(f"best{end}" for end in second_start), "second"]  # the other cell holds one V
