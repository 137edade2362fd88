"""From a shortlist to phases that DFT has judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Validate
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.validation import validate_references, validate_shortlist


@dataclass
class ValidateMaker(Maker):
    """Calculate the best candidates and the phases of their hull with the same settings, by a maker of atomate2."""

    name: str = "validate"
    validate: Validate = field(default_factory=Validate)
    walltime: float | None = None  # of a DFT job, s
    run_vasp_kwargs: dict = field(default_factory=dict)  # of atomate2, for tests and odd clusters

    def make(self, root: str, candidates: Any, references: Any) -> Flow:
        """Build the flow; `candidates` and `references`, of `make_references`, are documents or references to them."""
        validated = validate_shortlist(
            root, candidates=candidates, references=references, validate=plain(self.validate), maker=self.calculation()
        )
        return Flow([validated], output=validated.output, name=self.name)

    def make_references(self, root: str, references: Any, system: list[str]) -> Flow:
        """Build the flow of the hull; `references` are the phases as the potential relaxed them."""
        hull = validate_references(
            root, references=references, system=system, validate=plain(self.validate), maker=self.calculation()
        )
        return Flow([hull], output=hull.output, name=f"{self.name} references")

    def calculation(self) -> Maker:
        """Return atomate2's maker of the back end.

        VASP runs as the Materials Project runs it, but for three things: its relaxations smear by a Gaussian, since the
        tetrahedra of ISMEAR = -5 are refused for what turns out a metal; custodian's handlers are fresh, since those
        that atomate2 shares remember what they saw; and custodian stops VASP before the walltime of its job.
        """
        if self.validate.backend == "force-field":
            from atomate2.forcefields.jobs import ForceFieldRelaxMaker

            relax = {"fmax": self.validate.fmax / 2, "final_atoms_object_file": None}
            return ForceFieldRelaxMaker(force_field_name=self.validate.force_field, relax_kwargs=relax)
        from atomate2.vasp.flows.mp import MP24DoubleRelaxStaticMaker, MPGGADoubleRelaxStaticMaker
        from atomate2.vasp.jobs.base import BaseVaspMaker
        from atomate2.vasp.jobs.mp import MPGGARelaxMaker
        from atomate2.vasp.run import DEFAULT_HANDLERS

        settings = {"handlers": [type(handler)() for handler in DEFAULT_HANDLERS], **self.run_vasp_kwargs}
        if self.walltime:
            from imatgen_flows.flows.walltime import CalculationWalltimeHandler

            settings["handlers"] = [*settings["handlers"], CalculationWalltimeHandler(self.walltime)]
        if self.validate.backend == "vasp-mp24":  # its sets choose the smearing by the gap
            maker: Any = MP24DoubleRelaxStaticMaker()
        else:
            smearing = {"input_set_generator->user_incar_settings": {"ISMEAR": 0, "SIGMA": 0.05}}
            maker = MPGGADoubleRelaxStaticMaker().update_kwargs(
                {"_set": smearing}, class_filter=MPGGARelaxMaker, dict_mod=True
            )
        return maker.update_kwargs({"run_vasp_kwargs": settings}, class_filter=BaseVaspMaker)
