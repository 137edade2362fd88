"""From a shortlist to phases that DFT has judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Validate
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.flows.common import plain
from imatgen_flows.flows.dft_makers import with_pressure
from imatgen_flows.jobs.validation import validate_references, validate_shortlist
from imatgen_flows.registry import load_object


@dataclass
class ValidateMaker(Maker):
    """Calculate the best candidates and the phases of their hull with the same settings, by a maker of atomate2."""

    name: str = "validate"
    validate: Validate = field(default_factory=Validate)
    walltime: float | None = None  # of a DFT job, s
    run_vasp_kwargs: dict = field(default_factory=dict)  # of atomate2, for tests and odd clusters
    pressure: float = 0.0  # GPa

    def make(self, root: str, candidates: Any, references: Any) -> Flow:
        """Build the flow; `candidates` and `references`, of `make_references`, are documents or references to them."""
        validated = validate_shortlist(
            root,
            candidates=candidates,
            references=references,
            validate=plain(self.validate),
            maker=self.calculation(),
            pressure=self.pressure,
        )
        return Flow([validated], output=validated.output, name=self.name)

    def make_references(self, root: str, references: Any, system: list[str]) -> Flow:
        """Build the flow of the hull; `references` are the phases as the potential relaxed them."""
        hull = validate_references(
            root,
            references=references,
            system=system,
            validate=plain(self.validate),
            maker=self.calculation(),
            pressure=self.pressure,
        )
        return Flow([hull], output=hull.output, name=f"{self.name} references")

    def calculation(self) -> Maker:
        """Return atomate2's maker of the back end."""
        make = load_object(BACKENDS[self.validate.backend].maker)
        maker = make(self.validate, self.walltime, self.run_vasp_kwargs)
        return with_pressure(maker, self.pressure) if self.pressure else maker
