"""DFT back ends, by name: who calculates a shortlisted candidate, and with which settings."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from imatgen_flows.registry import Entry, Registry

if TYPE_CHECKING:
    from jobflow import Maker

MP2020 = "MP2020 GGA/GGA+U"  # scale of PBE and PBE+U energies with the Materials Project's corrections of 2020
R2SCAN = "r2SCAN"


@dataclass(frozen=True)
class Backend(Entry):
    """A way to calculate candidates by DFT, or by what takes its place.

    Parameters
    ----------
    maker : ``module:function``; called with the campaign's section `validate`, the walltime of a job (s, or None) and the
        keywords of `run_vasp`, it returns atomate2's maker of one structure
    profile : SLURM profile of its calculations
    run_type : as pymatgen's compatibility scheme names it; empty for a force field, whose document has none
    functional : of the pseudopotentials, in pymatgen's words; empty where it needs none
    scale : energy scale of its results; empty for a force field, which is a scale of its own
    report_name : the words of the report for "went to ..."
    mp_references : whether entries of the Materials Project may stand on its hull
    """

    maker: str = ""
    profile: str = "cpu_vasp"
    run_type: str = ""
    functional: str = ""
    scale: str = ""
    report_name: str = ""
    mp_references: bool = False

    @property
    def is_vasp(self) -> bool:
        """Whether VASP calculates."""
        return bool(self.run_type)

    def load_maker(self, section: Any, walltime: float | None, run_vasp_kwargs: dict) -> Maker:
        """Build the maker of one structure."""
        module, _, function = self.maker.partition(":")
        return getattr(import_module(module), function)(section, walltime, run_vasp_kwargs)


NONE = "none"

BACKENDS = Registry(
    "DFT back end",
    Backend(NONE, "None", "The campaign ends with the screening."),
    Backend(
        "vasp-mp-gga",
        "VASP, PBE+U",
        "PBE+U by VASP as the Materials Project runs it, with its corrections of 2020.",
        maker="imatgen_flows.flows.dft_makers:mp_gga",
        run_type="GGA/GGA+U",
        functional="PBE",
        scale=MP2020,
        report_name="DFT (VASP, PBE+U as the Materials Project runs it)",
        mp_references=True,
    ),
    Backend(
        "vasp-mp24",
        "VASP, r2SCAN",
        "r2SCAN by VASP as the Materials Project runs it.",
        maker="imatgen_flows.flows.dft_makers:mp24",
        run_type="r2SCAN",
        functional="PBE_64",
        scale=R2SCAN,
        report_name="DFT (VASP, r²SCAN as the Materials Project runs it)",
    ),
    Backend(
        "force-field",
        "Force field",
        "A force field of atomate2, named by `force_field`.",
        maker="imatgen_flows.flows.dft_makers:force_field",
        profile="gpu_relax",
        report_name="a second force field",
    ),
)
