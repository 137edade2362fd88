"""The dataset of a campaign's own files: rows are chosen, known phases join or are held out, all are counted."""

from __future__ import annotations

import gzip
import json

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.artifacts import read_lines
from imatgen_flows.config import CampaignConfig
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.dataset import build_dataset

CELLS = {
    "rocksalt": Structure.from_spacegroup(225, Lattice.cubic(4.2), ["Mg", "O"], [[0, 0, 0], [0.5] * 3]),
    "fluorite": Structure.from_spacegroup(225, Lattice.cubic(5.4), ["Ca", "F"], [[0, 0, 0], [0.25] * 3]),
    "rutile": Structure.from_spacegroup(
        136, Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    ),
    "caesium": Structure.from_spacegroup(221, Lattice.cubic(4.1), ["Cs", "Cl"], [[0, 0, 0], [0.5] * 3]),
    "zincblende": Structure.from_spacegroup(216, Lattice.cubic(5.4), ["Zn", "S"], [[0, 0, 0], [0.25] * 3]),
    "nickeline": Structure.from_spacegroup(
        194, Lattice.hexagonal(3.6, 5.0), ["Ni", "As"], [[0, 0, 0], [1 / 3, 2 / 3, 1 / 4]]
    ),
    "own": Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5] * 3]),
}
# a dataset of fewer than ten is refused
for height in (3.0, 3.3, 3.6, 5.2, 5.6, 6.0):
    CELLS[f"filler {height}"] = Structure.from_spacegroup(
        123, Lattice.tetragonal(4.0, height), ["Sr", "Se"], [[0, 0, 0], [0.5, 0, 0.5]]
    )


def write(path, names):
    with gzip.open(path, "wt") as stream:
        for number, name in enumerate(names):
            cell = CELLS[name]
            species = [site.species_string for site in cell]
            row = {"id": name, "lattice": cell.lattice.matrix.tolist(), "species": species, "era": number % 2 == 0}
            stream.write(json.dumps(row | {"frac_coords": cell.frac_coords.tolist()}) + "\n")
    return str(path)


@pytest.fixture
def build(tmp_path):
    def run(held_out="none", where=None, known=True):
        config = CampaignConfig.model_validate(
            {
                "system": ["V", "O"],
                "templates": {
                    "source": "file", "path": write(tmp_path / "templates.jsonl.gz", CELLS), "where": where or {}
                },
                "known": {
                    "path": write(tmp_path / "known.jsonl.gz", ["own"]) if known else None, "held_out": held_out
                },
            }
        )  # fmt: skip
        return build_dataset.original(
            str(tmp_path / f"{held_out}-{bool(where)}-{known}"),
            system=config.system,
            templates=plain(config.templates),
            known=plain(config.known),
            limits=plain(config.limits),
            content=[],
        )

    return run


def made(document):
    return {row["id"] for row in read_lines(document.crystals) if not row["known"]}


def test_known_phases_of_a_file_join_those_that_ship_once_each(build):
    own, shipped = build(), build(known=False)
    names = {row["id"] for row in read_lines(own.crystals) if row["known"]}
    assert names == {row["id"] for row in read_lines(shipped.crystals) if row["known"]}  # rocksalt VO ships already
    (repeated,) = (row for row in read_lines(own.left_out) if row["id"] == "own" and row["reason"] == "duplicate")
    assert "same structure as VO" in repeated["detail"]


def test_held_out_structures_are_in_no_training_row_and_none_is_lost(build):
    document = build("structures")
    rows = read_lines(document.crystals)
    assert not any(row["known"] for row in rows) and not any("own:" in row["id"] for row in rows)
    assert any(row["id"].startswith("rocksalt:") for row in rows)
    assert len(read_lines(document.held_out)) == document.counts["known"] == 5
    assert document.counts["left out: held_out"] == 1


def test_held_out_prototypes_take_their_templates_along(build):
    assert not any(row.startswith(("rocksalt:", "rutile:")) for row in made(build("prototypes")))
    assert any(row.startswith("caesium:") for row in made(build("prototypes")))


def test_only_the_rows_that_are_asked_for_become_templates(build):
    document = build(where={"era": True})
    assert document.counts["templates"] == 7 and document.counts["left out: not_selected"] == 6
