"""The job of phonons on crystals whose answer is known: copper as fcc is stable, and as bcc leads elsewhere."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.known_elsewhere import classify_followed
from imatgen_flows.candidates.novelty import NoveltyClassifier
from imatgen_flows.candidates.states import Geometry
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.jobs.candidate_table import candidate_rows, candidate_structures
from imatgen_flows.jobs.documents import CandidatesDocument, PhononInputs
from imatgen_flows.jobs.phonons import compute_phonons
from tests.jobs.conftest import candidate

BCC = Structure(Lattice.cubic(2.87), ["Cu"] * 2, [[0] * 3, [0.5] * 3])
FCC = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.59), ["Cu"], [[0] * 3])


def screened(sample, structure):
    """A candidate that EMT has screened: its energy is EMT's, and it lies 0.2 eV/atom above the hull."""
    potential = get_potential("emt")
    atoms = structure.to_ase_atoms()
    atoms.calc = potential.calculator()
    row, _ = candidate(sample, structure)
    energy = atoms.get_potential_energy() / len(atoms)
    return row | {"energy_per_atom": energy, "e_above_hull": 0.2, "scale": potential.scale}, structure


@pytest.fixture
def computed(shortlist, store):
    def compute(*candidates, **settings):
        inputs = {"potential": "emt", "supercell": 7.0, "fmax": 0.005, "max_atoms": 200, "phonopy": ""} | settings
        found = compute_phonons.original(
            str(store.root),
            candidates=shortlist(*candidates),
            at_most=len(candidates),
            phonons=PhononInputs(**inputs),
        )
        return found, {str(row["sample"]): row for row in candidate_rows(found.candidates)}

    return compute


def test_the_soft_mode_of_bcc_copper_leads_to_a_lower_structure_that_is_counted_apart(computed):
    found, rows = computed(screened("bcc", BCC), screened("fcc", FCC), follow=True)
    assert isinstance(found, CandidatesDocument) and set(rows) == {"bcc", "fcc"}
    bcc, fcc = rows["bcc"], rows["fcc"]
    assert fcc["dynamically_stable"] is True and not fcc["followed_id"] and not fcc["soft_mode_evaluations"]
    assert bcc["dynamically_stable"] is False and bcc["state"] == "shortlisted" and bcc["e_above_hull"] == 0.2
    (lower,) = candidate_structures(found.candidates, Geometry.FOLLOWED).values()
    atoms = lower.to_ase_atoms()
    atoms.calc = get_potential("emt").calculator()
    energy = atoms.get_potential_energy() / len(atoms)
    assert bcc["followed_e_above_hull"] == pytest.approx(0.2 + energy - bcc["energy_per_atom"], abs=1e-4)
    assert bcc["followed_e_above_hull"] < 0.199 and bcc["followed_id"] and bcc["followed_stable"] is not None
    spent = found.evaluations
    assert spent["phonons"] == bcc["phonon_evaluations"] + fcc["phonon_evaluations"]
    assert spent["soft modes"] == bcc["soft_mode_evaluations"] > 0


def test_energies_of_two_scales_are_not_subtracted(computed):
    row, structure = screened("bcc", BCC)
    _, rows = computed((row | {"scale": "another"}, structure), follow=True)
    assert rows["bcc"]["followed_id"] and rows["bcc"]["followed_e_above_hull"] is None


def test_what_a_mode_leads_to_is_told_from_what_is_known():
    hcp = Structure(Lattice.hexagonal(2.54, 4.15), ["Cu"] * 2, [[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    classifier = NoveltyClassifier({"copper": FCC}, {}, found={"bcc": BCC})
    rows = classify_followed({"a": FCC.get_primitive_structure(), "b": BCC, "c": hcp}, classifier)
    said = [(row["followed_novelty"], row["followed_match"]) for row in rows]
    assert said == [("known", "copper"), ("duplicate", "bcc"), ("new", "")]
