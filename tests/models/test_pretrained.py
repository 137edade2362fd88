"""The networks that ship with the program."""

import pytest

import imatgen_flows as imf
from imatgen_flows.crystals.prototype_index import PrototypeIndex, index_path
from imatgen_flows.models.model_file import read_model
from imatgen_flows.models.pretrained import shipped_model

LEFT_OUT = ("V-O", "Ti-O", "Nb-O", "Mn-O", "Fe-O")  # systems that are kept for measurements


@pytest.fixture(scope="module")
def path():
    return shipped_model()


@pytest.fixture(scope="module")
def card(path):
    return read_model(path)[0]


def test_they_are_small_and_say_where_they_come_from(path, card):
    assert path.stat().st_size + index_path(path).stat().st_size < 32e6
    assert "CC BY 4.0" in card.data["licence"] and "Jain" in card.data["licence"]
    counts = card.data["counts"]
    assert counts["kept"] == counts["read"] - sum(
        counts[reason] for reason in set(counts) - {"read", "kept", "held_out"}
    )
    assert card.trained_on == counts["kept"] - counts["held_out"] == 65_407
    assert not any(card.has_seen(system.split("-")) for system in LEFT_OUT) and card.has_seen(["Li", "Fe", "O"])


def test_the_index_knows_the_prototypes_of_the_textbook_and_none_that_was_held_out(path, card):
    index = PrototypeIndex.read(index_path(path))
    textbook = ("AB_cF8_225_a_b", "AB2_tP6_136_a_f", "AB2_cF12_225_a_c", "ABC3_cP5_221_a_b_c")
    assert all(label in index for label in textbook)
    assert not any(label in index for label in card.data["unseen_templates"])


@pytest.mark.parametrize(("system", "elements"), [("V-O", 2), ("Li-Mn-O", 3), ("Li-Fe-P-O", 4)])
def test_samples_are_as_clean_as_the_card_says(card, system, elements):
    quality, number = card.samples[f"{elements} elements"], 60
    found = imf.load_model("pretrained", system=system).generate(number, seed=5)
    clean = sum(crystal.properties["clean"] for crystal in found.structures)
    _, low, _ = quality["share_clean"]
    spread = (low * (1 - low) / found.drawn) ** 0.5
    assert clean / found.drawn > low - 3 * spread  # the card draws as the data are, this one system


def test_a_crystal_comes_back_through_networks_that_never_saw_its_system():
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    rutile = Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]]
    )
    model = imf.load_model("pretrained", system="V-O")
    (again,) = model.decode(model.encode([rutile]))
    assert StructureMatcher().fit(again, rutile)
