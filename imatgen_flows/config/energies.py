"""Sections of a campaign on energies: labels, references, candidates, rounds."""

from __future__ import annotations

from pydantic import Field

from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL, POTENTIALS
from imatgen_flows.io.yaml_file import Section


class Labels(Section):
    """Energies of the training structures."""

    potential: str = Field(
        DEFAULT_POTENTIAL, description=f"{POTENTIALS.help()[:-1]}; or `module:function` of your own."
    )
    stable_below: float = Field(
        0.5, description="A training structure is stable up to this unrelaxed formation energy, eV/atom."
    )


class References(Section):
    """The phases that make the hull, beside the published ones that ship with the program."""

    substituted: int = Field(
        1,
        ge=0,
        le=50,
        description="Substituted structures of each composition, lowest energy first, that join the hull.",
    )


class Screen(Section):
    """Relaxation of candidates with a potential."""

    potential: str = Field(DEFAULT_POTENTIAL, description="Must be that of the labels: one hull, one energy model.")
    fmax: float = Field(0.05, gt=0, le=1, description="Relaxed below this force, eV/Å.")
    max_steps: int = Field(500, ge=1, description="Steps of a relaxation.")
    threshold: float = Field(
        0.15, description="Shortlisted up to this E_hull, eV/atom; it allows for the error of the potential."
    )
    at_most: int = Field(80, ge=1, description="Candidates relaxed in a round.")
    distinct: bool = Field(
        True,
        description="Relax candidates last that resemble something known or found; stop a relaxation that falls into it.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Candidates in one job; where unset, as many as fit into half the walltime of `gpu_relax`, at the cost "
        "that labels and references had, 500 at most.",
    )


class Rounds(Section):
    """When to stop."""

    at_most: int = Field(
        1, ge=1, le=100, description="Rounds of the campaign; raised later, it extends a campaign that ended."
    )
    evaluations: int = Field(
        200_000,
        ge=1,
        description="Energy evaluations that the first round may plan, and after which no further one begins.",
    )
    kappa: float = Field(
        1.0,
        ge=0,
        description="Standard deviations that the lower confidence bound of a predicted E_hull lies below its mean, where "
        "candidates for relaxation are chosen.",
    )
