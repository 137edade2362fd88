"""The phases of the hull: every composition, every published phase, each under its own name."""

from __future__ import annotations

import json
import re

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.references import ReferencePhase
from imatgen_flows.errors import ImatgenError
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs import references
from imatgen_flows.jobs.round_tables import hull_table

# a and x of Wyckoff, Crystal Structures (1963); 12 sites
PYRITE = Structure.from_spacegroup("Pa-3", Lattice.cubic(5.418), ["Fe", "S"], [[0, 0, 0], [0.385] * 3])
FAILS = 64.0  # A^3
NITROGEN = Structure(Lattice.cubic(FAILS ** (1 / 3)), ["N", "N"], [[0, 0, 0], [0.3, 0, 0]])


@pytest.fixture
def relaxed(monkeypatch):
    """Let every phase relax to itself, compounds lower than elements; a cell of `FAILS` does not."""

    def relax(_scratch, _names, structures, *_, **__):
        made = {"reason": "", "fmax": 0.0, "steps": 1, "evaluations": 1}
        return [
            made
            | {
                "state": "relaxed" if abs(crystal.volume - FAILS) > 1e-6 else "rejected",
                "energy_per_atom": -len(crystal.composition),
            }
            | {"structure": crystal.as_dict()}
            for crystal in structures
        ]

    monkeypatch.setattr(references, "relax_cached", relax)


@pytest.fixture
def relax(relaxed, tmp_path):
    def run(system, crystals):
        rows = []
        for name, crystal in crystals:
            species, coords = [site.specie.symbol for site in crystal], crystal.frac_coords.tolist()
            row = {"id": name, "lattice": crystal.lattice.matrix.tolist(), "species": species, "frac_coords": coords}
            rows.append(json.dumps(row))
        (tmp_path / "known.jsonl").write_text("\n".join(rows))
        config = CampaignConfig(
            system=system, known={"path": tmp_path / "known.jsonl"}, limits={"max_sites": 4, "max_edge": 5.0}
        )
        return references.relax_references.original(
            str(tmp_path / "artifacts"),
            system=system,
            known=with_files(config.known),
            limits=plain(config.limits),
            relax={"potential": "toy", "fmax": 0.1, "max_steps": 9},
        )

    return run


def test_a_published_phase_that_no_image_can_hold_is_on_the_hull(relax):
    table = hull_table(relax(["Fe", "S"], [("pyrite", PYRITE), ("twice", PYRITE)]))
    (pyrite,) = (row for row in table["references"] if row["kind"] == "compound")
    assert (pyrite["name"], pyrite["formula"], pyrite["origin"]) == ("pyrite", "FeS2", "known.jsonl")
    assert pyrite["e_above_hull"] == pytest.approx(0)


def test_a_simple_structure_of_an_element_does_not_take_the_name_of_a_phase_that_failed(relax):
    rows = {row["name"]: row for row in read_lines(relax(["V", "N"], [("N2 molecule", NITROGEN)]).phases)}
    assert rows["N2 molecule"]["state"] == "rejected" and not rows["N2 molecule"]["molecule"]
    assert rows["N2 molecule-2"]["state"] == "relaxed" and rows["N2 molecule-2"]["molecule"]


def test_an_element_without_a_relaxed_phase_is_named_with_the_reason_and_the_cure(relax, monkeypatch):
    relax_all = references.relax_cached

    def fail_for_sulfur(scratch, names, structures, *rest, **options):
        results = relax_all(scratch, names, structures, *rest, **options)
        return [
            result | {"state": "rejected", "reason": "not_converged"} if crystal.chemical_system == "S" else result
            for crystal, result in zip(structures, results, strict=True)
        ]

    monkeypatch.setattr(references, "relax_cached", fail_for_sulfur)
    with pytest.raises(ImatgenError) as caught:
        relax(["Fe", "S"], [("pyrite", PYRITE)])
    sentence = str(caught.value)
    assert sentence.startswith("no reference phase of S could be relaxed with toy: ")
    assert re.search(r"\d+ failed, the first \(.*S.*\) with `not_converged`", sentence)
    assert "Raise `screen.max_steps`, choose another potential, or give `known` a phase of S." in sentence


def test_no_rule_of_oxidation_states_keeps_a_composition_from_the_hull():
    def phase(formula):
        species = list(formula)
        return ReferencePhase(
            formula, Structure(Lattice.cubic(4), species, [[i / 9] * 3 for i in range(len(species))]), "", ""
        )

    evaluated = [(-1.0, phase("VVVO")), (-2.0, phase("VO")), (-3.0, phase("OV")), (-0.5, phase("VOOOO"))]
    assert [one.name for one in references._lowest(evaluated, 1)] == ["OV", "VVVO", "VOOOO"]
