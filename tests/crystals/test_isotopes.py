"""A deuteride in a file is the crystal of the hydride."""

from __future__ import annotations

import json
import logging

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.known_phases import load_known
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.templates import load_templates

ZIRCONIUM = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
HYDROGEN = [[x, y, z] for x in (0.25, 0.75) for y in (0.25, 0.75) for z in (0.25, 0.75)]


def write(folder, kinds):
    """Write ZrH2 with each of some kinds of hydrogen on its site."""
    with (folder / "hydrides.jsonl").open("w") as stream:
        for number, kind in enumerate(kinds):
            row = {"id": f"r{number}", "source": "test", "lattice": Lattice.cubic(4.8).matrix.tolist()}
            stream.write(json.dumps(row | {"species": ["Zr"] * 4 + [kind] * 8, "frac_coords": ZIRCONIUM + HYDROGEN}))
            stream.write("\n")
    return folder / "hydrides.jsonl"


def test_deuterium_and_tritium_are_hydrogen_and_the_log_and_the_source_say_so(tmp_path, caplog):
    kinds = ["H", "D", "T", "D+", {"D": 0.9, "H": 0.1}, {"D+": 0.5, "H+": 0.5}]
    with caplog.at_level(logging.INFO, "imatgen_flows"):
        templates, exclusions = load_templates("file", SourceOptions(write(tmp_path, kinds)))
    assert not exclusions
    assert all(template.structure == templates[0].structure for template in templates)
    assert [template.source for template in templates] == ["test"] + ["test, deuterium as hydrogen"] * 5
    assert caplog.messages == ["crystals whose deuterium or tritium was read as hydrogen: 5, the first is r1"]


def test_a_deuteride_is_a_known_phase_of_the_hydride(tmp_path):
    (phase,), exclusions = load_known("file", ["Zr", "H"], SourceOptions(write(tmp_path, ["D"])))
    assert not exclusions and phase.structure.composition.reduced_formula == "ZrH2"


@pytest.mark.parametrize("mix", [{"D": 0.5, "Zr": 0.5}, {"D": 0.9}])
def test_a_site_that_holds_something_else_too_stays_disordered(tmp_path, mix):
    templates, exclusions = load_templates("file", SourceOptions(write(tmp_path, [mix])))
    assert not templates and [exclusion.reason for exclusion in exclusions] == ["disordered"]


def test_a_cif_of_a_deuteride_is_read(tmp_path):
    text = Structure(Lattice.cubic(4.8), ["Zr"] * 4 + ["H"] * 8, ZIRCONIUM + HYDROGEN).to(fmt="cif")
    (tmp_path / "zrd2.cif").write_text(text.replace("  H  H", "  D  D"))
    templates, exclusions = load_templates("file", SourceOptions(tmp_path))
    assert not exclusions and templates[0].source.endswith("deuterium as hydrogen")
