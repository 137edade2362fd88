"""atomate2's makers of the DFT back ends.

VASP runs as the Materials Project runs it, but for four things: its relaxations smear by a Gaussian, since the
tetrahedra of ISMEAR = -5 are refused for what turns out a metal; custodian's handlers are fresh, since those that
atomate2 shares remember what they saw; custodian stops VASP before the walltime of its job; and it notices within a
second that VASP ended, not within ten.
"""

from __future__ import annotations

from typing import Any

from jobflow import Maker

from imatgen_flows.config import Validate
from imatgen_flows.energetics.pressure import KILOBAR

# s; and after how many of them custodian searches the output for errors: every 300 s, as it does by default
POLLING_STEP, CHECK_AFTER = 1, 300


def mp_gga(section: Validate, walltime: float | None, run_vasp_kwargs: dict) -> Maker:
    """Build the maker of PBE+U: two relaxations and a static calculation."""
    from atomate2.vasp.flows.mp import MPGGADoubleRelaxStaticMaker
    from atomate2.vasp.jobs.mp import MPGGARelaxMaker

    smearing = {"input_set_generator->user_incar_settings": {"ISMEAR": 0, "SIGMA": 0.05}}
    maker: Any = MPGGADoubleRelaxStaticMaker().update_kwargs(
        {"_set": smearing}, class_filter=MPGGARelaxMaker, dict_mod=True
    )
    return _with_run_settings(maker, walltime, run_vasp_kwargs)


def mp24(section: Validate, walltime: float | None, run_vasp_kwargs: dict) -> Maker:
    """Build the maker of r2SCAN: two relaxations and a static calculation; its sets choose the smearing by the gap."""
    from atomate2.vasp.flows.mp import MP24DoubleRelaxStaticMaker

    return _with_run_settings(MP24DoubleRelaxStaticMaker(), walltime, run_vasp_kwargs)


def force_field(section: Validate, walltime: float | None, run_vasp_kwargs: dict) -> Maker:
    """Build the maker of a relaxation by a force field, to half the force that is accepted."""
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    relax = {"fmax": section.fmax / 2, "final_atoms_object_file": None}
    return ForceFieldRelaxMaker(force_field_name=section.force_field, relax_kwargs=relax)


def with_pressure(maker: Any, pressure: float) -> Maker:
    """Let a maker relax at a pressure, GPa.

    In VASP, PSTRESS goes to the relaxations alone. With it, what VASP calls the energy holds pV in one place of its output
    and not in another; the static calculation at the end, whose energy is compared, is free of it, and
    `energetics.dft` adds pV itself.
    """
    if hasattr(maker, "relax_kwargs"):
        from ase.units import GPa

        return maker.update_kwargs(
            {"relax_kwargs": {**maker.relax_kwargs, "filter_kwargs": {"scalar_pressure": pressure * GPa}}}
        )
    from atomate2.vasp.jobs.base import BaseVaspMaker

    stress = {"_set": {"input_set_generator->user_incar_settings->PSTRESS": pressure * KILOBAR}}
    return maker.update_kwargs(stress, name_filter="relax", class_filter=BaseVaspMaker, dict_mod=True)


def force_field_calculator(device: str, name: str) -> Any:
    """Load the ASE calculator that the relaxations of a force field use; atomate2 itself chooses the device."""
    return force_field(Validate(force_field=name), None, {}).calculator  # type: ignore[attr-defined]  # of its mixin


def _with_run_settings(maker: Any, walltime: float | None, run_vasp_kwargs: dict) -> Maker:
    """Give every VASP job fresh handlers, and one that stops VASP before its walltime where there is one."""
    from atomate2.vasp.jobs.base import BaseVaspMaker
    from atomate2.vasp.run import DEFAULT_HANDLERS

    settings = {
        "handlers": [type(handler)() for handler in DEFAULT_HANDLERS],
        "custodian_kwargs": {"polling_time_step": POLLING_STEP, "monitor_freq": CHECK_AFTER},
        **run_vasp_kwargs,
    }
    if walltime:
        from imatgen_flows.flows.walltime import CalculationWalltimeHandler

        settings["handlers"] = [*settings["handlers"], CalculationWalltimeHandler(walltime)]
    return maker.update_kwargs({"run_vasp_kwargs": settings}, class_filter=BaseVaspMaker)
