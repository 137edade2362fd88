"""What is handed to a trained model: each fault is a sentence that names the item."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure

from imatgen_flows.errors import InputError
from imatgen_flows.sources.model_inputs import latent_vectors, standard_structures

ELEMENTS = ("V", "O")


def cell(matrix, species=("V",), coords=((0, 0, 0),)):
    return Structure(Lattice(matrix), species, coords)


@pytest.fixture
def sound(prototypes):
    return prototypes["rocksalt"].get_primitive_structure()


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (None, "is None .* leave it out"),
        ("abc", "is 'abc': give pymatgen structures"),
        (cell(np.eye(3) * 3, ["Ti"]), r"\(Ti\) has Ti; the model is a model of V-O"),
        (cell(np.diag([np.nan, 3, 3])), "not finite numbers"),
        (cell(np.eye(3) * 3, coords=[[np.nan, 0, 0]]), "not finite numbers"),
        (cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), "has no standard cell"),
        (cell(np.eye(3) * 4, [{"V": 0.5, "O": 0.5}]), "has disordered sites.*order it first"),
        (cell(np.eye(3) * 4, ["V", "O"], [[0, 0, 0], [0, 0, 0.01]]), "has two atoms at 0.04 A, the limit is 0.5 A"),
        (
            cell(np.diag([4, 4, 40]), ["V", "O"], [[0, 0, 0], [0, 0, 0.4]]),
            "needs a box of 16.00 A in its standard cell",
        ),
        (cell(np.eye(3) * 4, [], []), "has no atoms"),
    ],
)
def test_a_bad_crystal_is_named_by_its_place(sound, item, says):
    with pytest.raises(InputError, match=f"structure 1 of the list.*{says}"):
        standard_structures([sound, item], ELEMENTS, "the model")


def test_a_list_is_asked_for(sound):
    assert standard_structures([], ELEMENTS, "the model") == []
    assert len(standard_structures((item for item in [sound]), ELEMENTS, "the model")) == 1
    for given in (sound, "abc", None):
        with pytest.raises(InputError, match="give a list of pymatgen structures"):
            standard_structures(given, ELEMENTS, "the model")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (np.zeros(4), r"of shape \(4,\). For one vector, decode\(\[vector\]\)"),
        (np.zeros((2, 3)), r"of shape \(n, 4\).*these are of shape \(2, 3\)"),
        ([[0, 0, 0, 0], [0, 0, np.nan, 0]], "latent vector 1 has numbers that are not finite"),
        (None, "of shape"),
        ("abc", "numbers of shape"),
        ([[1, 2], [3]], "numbers of shape"),
    ],
)
def test_a_bad_vector_is_named(given, says):
    with pytest.raises(InputError, match=says):
        latent_vectors(given, 4)


def test_vectors_are_taken_as_lists_arrays_and_tensors():
    wanted = torch.arange(8.0).reshape(2, 4)
    for given in (wanted, wanted.tolist(), wanted.numpy(), wanted.double().requires_grad_()):
        assert torch.equal(latent_vectors(given, 4), wanted)
    assert latent_vectors([], 4).shape == (0, 4)
