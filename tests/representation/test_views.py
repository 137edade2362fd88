"""Views of one crystal: the same crystal from another origin, inverted, at another volume, or hardly strained."""

import numpy as np
import pytest
import torch
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from imatgen_flows.crystals.standard import standardise
from imatgen_flows.representation import PackError, pack
from imatgen_flows.representation.crystal import pack_roles
from imatgen_flows.representation.views import at_volume, fits, random_views, volumes_per_atom

SAME = StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.5, scale=False, primitive_cell=False)
LOW_SYMMETRY = standardise(
    Structure(
        Lattice.from_parameters(3.1, 4.2, 5.6, 82, 97, 104),
        ["Ti", "O", "O", "O"],
        [[0.1, 0.2, 0.3], [0.6, 0.7, 0.2], [0.3, 0.55, 0.8], [0.85, 0.1, 0.65]],
    )
)


def rutile(metal, a=4.6, c=2.96):
    return standardise(
        Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(a, c), [metal, "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    )


def copies(structure, n):
    return pack([structure] * n, ("Ti", "O"))


def test_a_view_without_strain_is_the_same_crystal_or_its_mirror_image():
    views = random_views(copies(LOW_SYMMETRY, 20), torch.Generator().manual_seed(1))
    mirrored = Structure(LOW_SYMMETRY.lattice, LOW_SYMMETRY.species, -LOW_SYMMETRY.frac_coords)
    same = [SAME.fit(view, LOW_SYMMETRY) for view in views.structures()]
    mirror = [SAME.fit(view, mirrored) for view in views.structures()]
    assert all(one or other for one, other in zip(same, mirror, strict=True))
    assert 3 < sum(same) <= 20  # StructureMatcher holds a crystal and its mirror image for one
    assert len({tuple(np.round(places.flatten().tolist(), 3)) for places in views.positions}) > 10


def test_views_stay_in_the_frame_of_the_images():
    crystals = copies(LOW_SYMMETRY, 50)
    views = random_views(crystals, torch.Generator().manual_seed(2), strain=0.02)
    assert torch.allclose(views.lattices, views.lattices.tril())  # standard orientation
    assert torch.allclose(volumes_per_atom(views), volumes_per_atom(crystals), rtol=1e-4)
    middle = torch.stack([places[mask].mean(0) for places, mask in zip(views.positions, views.mask, strict=True)])
    assert torch.allclose(middle, torch.full_like(middle, views.box / 2), atol=1e-4)
    assert torch.equal(views.mask, crystals.mask)
    assert fits(views).all()


def test_the_strain_is_as_large_as_is_asked_for():
    crystals = copies(LOW_SYMMETRY, 400)
    views = random_views(crystals, torch.Generator().manual_seed(3), strain=0.02)
    deformation = torch.linalg.solve(crystals.lattices, views.lattices)
    assert 0.015 < (deformation - torch.eye(3))[:, 1, 0].std() < 0.025


def test_equal_seeds_give_equal_views():
    crystals = copies(LOW_SYMMETRY, 5)
    one, again, other = (random_views(crystals, torch.Generator().manual_seed(seed), 0.01) for seed in (4, 4, 5))
    assert torch.equal(one.positions, again.positions)
    assert not torch.equal(one.positions, other.positions)


def test_a_view_without_room_is_replaced_by_the_crystal():
    long = standardise(
        Structure(Lattice.from_parameters(3, 3, 14.5, 60, 65, 60), ["Ti", "O"], [[0, 0, 0.5], [0.5, 0.5, 0.51]])
    )
    crystals = copies(long, 60)
    views = random_views(crystals, torch.Generator().manual_seed(6))
    assert fits(views).all()
    replaced = (views.positions == crystals.positions).all(dim=(1, 2, 3))
    assert 0 < replaced.sum() < 60


def test_at_a_volume_a_crystal_keeps_its_shape():
    small, large = pack([rutile("Ti")], ("Ti", "O")), pack([rutile("Ti", 9.2, 5.92)], ("Ti", "O"))
    one, other = at_volume(small, 18.0), at_volume(large, 18.0)
    assert float(volumes_per_atom(one)) == pytest.approx(18.0, rel=1e-4)
    assert torch.allclose(one.positions, other.positions, atol=1e-3)
    assert torch.allclose(one.lattices, other.lattices, atol=1e-3)


def test_rutile_of_any_metal_is_one_prototype():
    packed = at_volume(pack_roles([rutile("Ti"), rutile("V"), rutile("Pb")], 5), 18.0)
    assert packed.counts().tolist() == [[2, 4, 0, 0, 0]] * 3
    assert torch.allclose(packed.positions[0], packed.positions[2], atol=1e-3)


def test_roles_follow_the_electronegativity_and_not_the_alphabet():
    # Ag is more electronegative than Ti
    packed = pack_roles([Structure(Lattice.cubic(3), ["Ag", "Ti"], [[0, 0, 0], [0.5, 0.5, 0.5]])], 2)
    assert torch.allclose(packed.positions[0, 0, 0], torch.full((3,), packed.box / 2 + 0.75))


def test_more_elements_than_roles_are_refused():
    with pytest.raises(PackError, match="has 2 elements, but the images have 1 channels"):
        pack_roles([rutile("Ti")], 1)
