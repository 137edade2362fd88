"""Registry of DFT back ends: the programs and settings with which shortlisted candidates are calculated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imatgen_flows.profiles import Profile
from imatgen_flows.registry import Entry, Registry, load_object

if TYPE_CHECKING:
    from imatgen_flows.energetics.dft_result import CalculationResult, Refusal

MP2020 = "MP2020 GGA/GGA+U"  # energy scale of PBE and PBE+U energies with the Materials Project's corrections of 2020
R2SCAN = "r2SCAN"


@dataclass(frozen=True)
class Backend(Entry):
    """A program and its settings that calculate candidates by DFT, or a force field in its place.

    Parameters
    ----------
    maker : ``module:function``; called with the campaign's section `validate`, the walltime of a job (s, or None) and the
        keywords of `run_vasp`, it returns atomate2's maker of one structure
    profile : SLURM profile of its calculations
    check : ``module:function``; accepts or refuses a finished document, see `check_document`
    run_type : of VASP, as emmet names it (without U / with U); empty for a force field, whose document has none
    input_set : ``module:class`` of pymatgen's input set, whose U and pseudopotentials a calculation must have used
    functional : of the pseudopotentials, as pymatgen names it; empty where none is needed
    scale : energy scale of its results; empty for a force field, which is a scale of its own
    report_name : in the report, after "candidates went to"
    mp_references : whether entries of the Materials Project may stand on its hull
    """

    maker: str = ""
    profile: Profile = Profile.CPU_VASP
    check: str = "imatgen_flows.energetics.dft:check_task_document"
    run_type: str = ""
    input_set: str = ""
    functional: str = ""
    scale: str = ""
    report_name: str = ""
    mp_references: bool = False

    @property
    def is_vasp(self) -> bool:
        """Whether VASP calculates."""
        return bool(self.run_type)

    @property
    def run_types(self) -> tuple[str, ...]:
        """Run types of its calculations: the first without U, the last with U."""
        return tuple(self.run_type.split("/")) if self.run_type else ()

    def check_document(
        self, task: Any, *, fmax: float, allow_stand_in: bool = False, pressure: float = 0.0
    ) -> CalculationResult | Refusal:
        """Accept or refuse a finished document of this back end, by the function that `check` names.

        Parameters
        ----------
        task : document of atomate2, or its plain form
        fmax : largest force that is accepted, eV/A
        allow_stand_in : accept a program that only imitates VASP, in tests
        pressure : at which it was relaxed, GPa
        """
        return load_object(self.check)(task, self, fmax=fmax, allow_stand_in=allow_stand_in, pressure=pressure)


NONE = "none"

BACKENDS = Registry(
    "DFT back end",
    Backend(NONE, "None", "The campaign ends with the screening."),
    Backend(
        "vasp-mp-gga",
        "VASP, PBE+U",
        "PBE+U by VASP as the Materials Project runs it, with its corrections of 2020.",
        maker="imatgen_flows.flows.dft_makers:mp_gga",
        input_set="pymatgen.io.vasp.sets:MPRelaxSet",
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
        input_set="pymatgen.io.vasp.sets:MPScanRelaxSet",
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
        profile=Profile.GPU_RELAX,
        check="imatgen_flows.energetics.dft:check_force_field_document",
        report_name="a second force field",
    ),
)
