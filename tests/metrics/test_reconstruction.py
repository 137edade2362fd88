from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.substitution import substitute
from imatgen_flows.crystals.templates import load_templates
from imatgen_flows.metrics.reconstruction import ReconstructionError, compare, intrinsic, summarise
from imatgen_flows.representation import CrystalCodec, pack

ELEMENTS = ("O", "V")


@pytest.fixture(scope="module")
def embedded():
    templates, _ = load_templates()
    return [crystal.structure for crystal in substitute(templates, ("V", "O"))[0]]


def crystal(shift=0.0, lattice=(4.0, 5.0, 6.0), symbols=("O", "O", "V")):
    places = np.array([[0.5, 0.5, 0.5], [2.5, 1.0, 3.0], [1.0, 3.0, 4.0]])
    places[0, 0] += shift
    return Structure(Lattice.orthorhombic(*lattice), symbols, places[: len(symbols)], coords_are_cartesian=True)


def test_images_of_all_embedded_structures_are_exact(embedded):
    assert len(embedded) > 200
    ours, published = intrinsic(embedded, ELEMENTS)
    assert ours.crystals == published.crystals == len(embedded)
    assert ours.no_cell == ours.wrong_counts == 0
    assert ours.atoms == sum(map(len, embedded))
    assert ours.length_max < 0.001
    assert ours.angle_max < 0.01
    assert ours.atom_max < 0.001
    assert published.atom_rmse == pytest.approx(0.11, abs=0.01)


def test_small_images_of_all_embedded_structures_are_exact(embedded):
    codec = CrystalCodec(ELEMENTS, grid=32, sigma=0.35)
    packed = pack(embedded, ELEMENTS)
    decoded, _ = codec.read(codec.encode(packed))
    errors = compare(packed, decoded)
    assert all(error.fully_reconstructed for error in errors)
    assert summarise(errors).rmse["atoms"] < 0.001


def test_a_crystal_is_itself():
    (error,) = compare([crystal()], [crystal()])
    assert error.fully_reconstructed
    assert error.atom_rmse == pytest.approx(0, abs=1e-5)


def test_a_moved_atom_is_as_far_as_it_moved():
    packed, moved = pack([crystal()], ELEMENTS), pack([crystal()], ELEMENTS)
    moved.positions[0, 0, 1] += torch.tensor([0.0, 0.12, 0.05])
    (error,) = compare(packed, moved)
    assert error.atom_max == pytest.approx(0.13, abs=1e-5)
    assert error.atom_rmse == pytest.approx(0.13 / math.sqrt(3), abs=1e-5)
    assert error.fully_reconstructed
    moved.positions[0, 0, 1] += torch.tensor([0.0, 0.2, 0.0])
    (error,) = compare(packed, moved)
    assert error.cell_reconstructed
    assert not error.fully_reconstructed


def test_order_and_place_of_the_whole_do_not_matter():
    reference = crystal()
    other = Structure.from_sites(reference.sites[::-1])
    other.translate_sites(range(3), [0.21, 0.1, 0.05], to_unit_cell=False)
    (error,) = compare([reference], [other])
    assert error.atom_max < 1e-5


def test_the_frame_of_the_box_is_periodic():
    packed, moved = pack([crystal()], ELEMENTS), pack([crystal()], ELEMENTS)
    moved.positions += 15.0
    (error,) = compare(packed, moved)
    assert error.atom_max < 1e-5


def test_errors_of_the_cell_have_their_sign_and_their_limits():
    errors = compare([crystal()] * 2, [crystal(lattice=(4.05, 5.0, 5.92)), crystal(lattice=(4.0, 5.11, 6.0))])
    np.testing.assert_allclose(errors[0].length, [0.05, 0, -0.08], atol=1e-5)
    np.testing.assert_allclose(errors[0].angle, 0, atol=1e-4)
    assert [error.cell_reconstructed for error in errors] == [True, False]


@pytest.mark.parametrize("symbols", [("O", "V", "V"), ("O", "O")])
def test_other_atoms_are_another_crystal(symbols):
    (error,) = compare([crystal()], [crystal(symbols=symbols)])
    assert not error.counts_match
    assert not error.fully_reconstructed
    assert math.isnan(error.atom_rmse)
    assert error.cell_reconstructed


def test_nothing_decoded_is_counted_and_not_hidden():
    errors = compare([crystal(), crystal()], [None, crystal()])
    assert not errors[0].cell_reconstructed
    assert not errors[0].counts_match
    summary = summarise(errors)
    assert (summary.n, summary.cells, summary.fully_reconstructed) == (2, 1, 1)
    assert summary.fraction_fully_reconstructed == 0.5
    json.dumps(summary.to_dict(), allow_nan=False)


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="2 crystals .* cannot be compared with 1"):
        compare([crystal()] * 2, [crystal()])
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(pack([crystal()], ELEMENTS), pack([crystal()], ("V", "O")))


def test_a_summary_is_over_what_is_known():
    nan = math.nan
    errors = [
        ReconstructionError((0.03, 0, 0), (0, 0, 1.0), True, 0.01, 0.02),
        ReconstructionError((-0.04, 0, 0), (0, 0, 3.0), True, 0.03, 0.05),
        ReconstructionError((nan,) * 3, (nan,) * 3, False, nan, nan),
    ]
    summary = summarise(errors)
    assert summary.rmse["a"] == pytest.approx(0.05 / math.sqrt(2))
    assert summary.median["a"] == pytest.approx(0.035)
    assert summary.rmse["atoms"] == pytest.approx(math.sqrt(5e-4))
    assert (summary.cells_reconstructed, summary.counts_match, summary.fully_reconstructed) == (1, 2, 1)
    assert summarise([]).rmse["a"] is None
