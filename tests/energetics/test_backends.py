"""DFT back ends: one that is added to the registry is used everywhere."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.dft_result import CalculationResult, Refusal
from imatgen_flows.energetics.mp_corrections import corrected_energy, run_types_of
from imatgen_flows.errors import InputError

VO = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def force_field_document(force=0.01, energy=-8.0, structure=VO):
    forces = [[0.0, 0.0, force]] * len(VO)
    return {"output": {"forces": forces, "energy_per_atom": energy, "structure": structure.as_dict()}}


def test_a_force_field_is_checked_by_its_forces_and_energy():
    check = BACKENDS["force-field"].check_document
    assert check(force_field_document(), fmax=0.05) == CalculationResult(VO, -8.0, 0.01)
    for changes, reason in (({"force": 0.06}, "not_converged"), ({"force": float("nan")}, "not_converged")):
        assert check(force_field_document(**changes), fmax=0.05).reason == reason
    refusal = check(force_field_document(energy=float("nan")), fmax=0.05)
    assert refusal == Refusal("energy_not_finite", "the energy is nan eV/atom.")
    empty = Structure(Lattice.cubic(4), [], [])
    assert check(force_field_document(structure=empty), fmax=0.05).reason == "unreadable"


def test_an_added_back_end_brings_its_scale_and_its_settings(phases, dft_result):
    other = replace(BACKENDS["vasp-mp24"], name="vasp-other", description="r2SCAN, elsewhere.", scale="other r2SCAN")
    with pytest.raises(InputError, match="energy scale `other r2SCAN` is unknown"):
        run_types_of(other.scale)
    BACKENDS.add(other)
    try:
        result = dft_result(phases["V2O5"], -8.5, "vasp-mp24")
        assert run_types_of("other r2SCAN") == ("r2SCAN",)
        assert corrected_energy(result, "other r2SCAN") == (-8.5, "")
        assert "`vasp-other`: r2SCAN, elsewhere" in BACKENDS.help()
    finally:
        BACKENDS.remove("vasp-other")


def test_run_types_and_scales_are_declared_together():
    for backend in BACKENDS:
        assert bool(backend.run_types) == bool(backend.scale) == bool(backend.input_set) == backend.is_vasp
