"""The dataset of a campaign's own files: rows are chosen, known phases join or are held out, all are counted."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import SINGLE_POINT, relax_one
from imatgen_flows.errors import InputError
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.io.artifacts import read_lines
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.documents import ReferenceDocument
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.references import subsystems
from imatgen_flows.representation import PackedCrystals

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


def build_from(root, config):
    return build_dataset.original(
        str(root),
        system=config.system,
        templates=with_files(config.templates),
        known=with_files(config.known),
        limits=plain(config.limits),
    )


@pytest.fixture
def build(tmp_path):
    def run(held_out="none", where=None, known=True, cells=CELLS, **sections):
        config = CampaignConfig.model_validate(
            {
                "system": ["V", "O"],
                "templates": {
                    "source": "file", "path": write(tmp_path / "templates.jsonl.gz", cells), "where": where or {}
                },
                "known": {
                    "path": write(tmp_path / "known.jsonl.gz", ["own"]) if known else None, "held_out": held_out
                },
            } | sections
        )  # fmt: skip
        return build_from(tmp_path / f"{held_out}-{bool(where)}-{known}", config)

    return run


def made(document):
    return {row["id"] for row in read_lines(document.crystals) if not row["known"]}


def test_a_system_in_another_order_gives_the_same_dataset_under_the_same_key(tmp_path):
    templates = {"source": "file", "path": write(tmp_path / "templates.jsonl.gz", CELLS)}
    first, second = (
        build_from(tmp_path / "".join(order), CampaignConfig(system=order, templates=templates))
        for order in (["V", "O"], ["O", "V"])
    )
    # later jobs take the dataset by its key, so that labels, networks and candidates are shared too
    assert first.key == second.key and first.counts == second.counts
    assert read_lines(first.crystals) == read_lines(second.crystals)
    assert first.packed.sha256 == second.packed.sha256


def test_known_phases_of_a_file_join_those_that_ship_once_each(build):
    own, shipped = build(), build(known=False)
    names = {row["id"] for row in read_lines(own.crystals) if row["known"]}
    assert names == {row["id"] for row in read_lines(shipped.crystals) if row["known"]}  # rocksalt VO ships already
    (repeated,) = (row for row in read_lines(own.exclusions) if row["id"] == "own" and row["reason"] == "duplicate")
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


def test_too_few_structures_are_refused_with_each_reason_and_the_key_that_decides_it(build):
    tight = {"limits": {"max_sites": 3, "max_edge": 3.2}}
    with pytest.raises(InputError, match=r"only 2 training structures are left \(templates: 1\)") as error:
        build(cells=["caesium", "filler 3.0", "rutile", "own"], **tight, known=False)
    assert "8 too many sites (`limits.max_sites`)" in str(error.value)  # published phases among them
    assert "edge too long (`limits.max_edge`)" in str(error.value)


@pytest.mark.parametrize("cells", [["caesium"], ["caesium", "zincblende"]])
def test_a_dataset_of_one_or_two_templates_is_refused(build, cells):
    with pytest.raises(InputError, match=rf"structures are left \(templates: {len(cells)}\); .* needs 10 at least"):
        build(cells=cells, known=False, limits={"max_sites": 4})


def test_templates_without_the_number_of_elements_are_refused_before_anything_else(build):
    with pytest.raises(
        InputError, match="none of the 13 crystals .* can be a template of Li-V-O, which has 3"
    ) as error:
        build(system=["Li", "V", "O"])
    assert "13 wrong number of elements (`templates`, `system`)" in str(error.value)


def test_nothing_within_the_limits_says_which_limit(build):
    with pytest.raises(InputError, match=r"13 too many sites \(`limits.max_sites`\)"):
        build(limits={"max_sites": 1})


def test_a_choice_that_chooses_nothing_says_what_there_is(build):
    with pytest.raises(InputError, match=r"templates: `where` chooses none of the 13 crystals of .*There `era` is"):
        build(where={"era": "2018"})


@pytest.mark.parametrize(
    ("limit", "said"), [(-100.0, "unstable at `labels.stable_below` -100"), (100.0, "stable at"), (0.0, "")]
)
def test_labels_of_one_kind_are_noted_and_the_campaign_goes_on(build, store, caplog, monkeypatch, limit, said):
    monkeypatch.setattr("imatgen_flows.energetics.relax.single_points", evaluate_here)
    hull = Hull([HullEntry(symbol, Composition(symbol), -1.0) for symbol in ("V", "O")], potential="toy 1")
    references = ReferenceDocument(
        key="r-0",
        potential="toy",
        hull=store.put_json("hull", hull.to_dict()),
        phases=store.put_lines("p", []),
        counts={},
    )
    dataset = build(known=False)
    labels = label_dataset.original(
        str(store.root), dataset=dataset, references=references, potential="toy", stable_below=limit
    )
    assert labels.counts["labelled"] == dataset.counts["kept"]
    assert said in labels.note and bool(said) == bool(labels.note) == ("nothing to tell apart" in caplog.text)
    assert labels.note in caplog.text


def evaluate_here(structures, potential, *, on_result, **_resources):
    """Compute single points in this process, without the workers that would protect it."""
    for index, structure in enumerate(structures):
        on_result(index, relax_one(structure, get_potential(potential).calculator(), SINGLE_POINT))


def perovskite(*anions):
    """A cell of five atoms, one kind at each face."""
    faces = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Structure(Lattice.cubic(4.0), ["Ba", "Ti", *anions], [[0, 0, 0], [0.5] * 3, *faces])


@pytest.mark.parametrize(
    ("system", "anions", "different"),
    [
        (["Li", "V", "O"], ["O", "O", "O"], 6),
        (["Li", "V", "Ti", "O"], ["O", "O", "N"], 24),
        (["Li", "V", "Ti", "Mn", "O"], ["O", "N", "F"], 120 // 6),  # symmetry exchanges the faces
    ],
)
def test_three_to_five_elements_take_every_place_of_a_template_once(tmp_path, monkeypatch, system, anions, different):
    monkeypatch.setattr("imatgen_flows.jobs.build_dataset.FEWEST", 1)
    (tmp_path / "templates").mkdir()
    perovskite(*anions).to(str(tmp_path / "templates" / "perovskite.cif"))
    config = CampaignConfig(system=system, templates={"source": "file", "path": tmp_path / "templates"})
    document = build_from(tmp_path / "run", config)
    assert document.counts["substituted"] == different and len(document.elements) == len(system)
    packed = PackedCrystals.load(document.packed.path())
    assert packed.counts().sum(1).tolist() == [5] * different and (packed.counts() > 0).all()


@pytest.mark.parametrize("system", [["Li", "O"], ["Li", "V", "O"], ["Li", "V", "O", "S"], ["Li", "V", "O", "S", "P"]])
def test_every_system_within_competes_on_the_hull_and_none_twice(system):
    """All sets of two elements and more but the whole: the elements are published or guessed, the whole is labelled."""
    parts = {frozenset(part) for part in subsystems(system)}
    assert len(parts) == len(subsystems(system)) == 2 ** len(system) - len(system) - 2
    assert all(2 <= len(part) < len(system) and part < set(system) for part in parts)


def test_a_file_of_templates_at_another_path_is_found_and_not_read_again(tmp_path):
    write(tmp_path / "templates.jsonl.gz", CELLS)
    shutil.copy(tmp_path / "templates.jsonl.gz", tmp_path / "renamed.jsonl.gz")
    keys = []
    for name in ("templates.jsonl.gz", "renamed.jsonl.gz"):
        templates = {"source": "file", "path": tmp_path / name}
        keys.append(build_from(tmp_path / "run", CampaignConfig(system=["V", "O"], templates=templates)).key)
    assert keys[0] == keys[1] and len(list((tmp_path / "run" / "documents").iterdir())) == 1


def test_a_file_that_is_left_out_of_templates_and_known_phases_says_of_which(tmp_path):
    path = write(tmp_path / "own.jsonl.gz", list(CELLS))
    with gzip.open(path, "at") as stream:
        stream.write("no crystal\n")
    config = CampaignConfig(system=["V", "O"], templates={"path": path}, known={"path": path})
    rows = read_lines(build_from(tmp_path / "artifacts", config).exclusions)
    unreadable = [row for row in rows if row["reason"] == "unreadable"]
    assert [row["section"] for row in unreadable] == ["templates", "known"]
    assert unreadable[0]["id"] == unreadable[1]["id"] and {row["section"] for row in rows} == {"templates", "known"}
