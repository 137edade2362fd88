"""A candidate: one record of a sample, from its latent vector to the phase that it may be."""

from __future__ import annotations

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from imatgen_flows.candidates.states import Stage, State

# relative residual of an image from which on a decode does not count as clean; a convention of the reported shares, by which
# no candidate is rejected
MAX_RESIDUAL = 0.3


class Rejection(BaseModel):
    """Why a candidate left the campaign. Each rejected candidate has exactly one."""

    model_config = ConfigDict(extra="forbid")

    stage: Stage = Field(description="Where it left.")
    reason: str = Field(description="Machine-readable cause; the report counts by it.")
    detail: str = Field("", description="For people: the number that decided, with its unit and its limit.")


class Origin(BaseModel):
    """How a sample was drawn."""

    model_config = ConfigDict(extra="forbid")

    sampler: str = Field(description="Name of the sampler, one of `SAMPLERS`.")
    prior: str = Field("", description="For the sampler `prior`: flow or gaussian.")
    seed: int = Field(description="Seed of the sampler.")
    row: int = Field(description="Row of its latent vector in the round's artifact of latent vectors.")
    parents: list[str] = Field(
        default_factory=list, description="Ids of the structures whose latent vectors it came from."
    )
    x: float = Field(description="First principal component of its latent vector.")
    y: float = Field(description="Second principal component of its latent vector.")
    stability: float | None = Field(None, description="The classifier's probability that it is stable, unrelaxed.")


class DecodeRecord(BaseModel):
    """How far the decoded structure explains its images, as `DecodeQuality.to_dict` of `representation` writes it."""

    model_config = ConfigDict(extra="forbid")

    residual: float = Field(description="Relative difference of the image from one of the atoms read; 0 is perfect.")
    cell_residual: float | None = Field(None, description="The same for the image of the cell.")
    atoms_by_mass: dict[str, float] = Field(default_factory=dict, description="Atoms of each element by image mass.")
    peaks: dict[str, int] = Field(default_factory=dict, description="Atoms of each element that were found.")
    min_distance: float | None = Field(None, description="Shortest distance of two atoms, A; None without a crystal.")
    count_matches: bool = Field(description="Whether mass and peaks agree on the number of atoms of each element.")

    @field_validator("min_distance")
    @classmethod
    def _none_for_nan(cls, value: float | None) -> float | None:
        return None if value is None or math.isnan(value) else value

    @property
    def is_clear(self) -> bool:
        """Whether the images show one crystal: matching atom counts and a residual below `MAX_RESIDUAL`."""
        return self.count_matches and self.residual < MAX_RESIDUAL


class Energy(BaseModel):
    """Energy of a structure on the scale of one energy model, with its place on the hull. Values per atom are in eV."""

    model_config = ConfigDict(extra="forbid")

    scale: str = Field(description="Energy model with its version; energies compare within one scale only.")
    energy_per_atom: float = Field(description="Total energy, eV/atom.")
    formation_energy: float = Field(description="Formation energy, eV/atom.")
    e_above_hull: float = Field(description="Distance to the hull of references, eV/atom; negative below it.")
    decomposition: dict[str, float] = Field(description="Competing phases and their atomic fractions.")
    fmax: float = Field(description="Largest force left, eV/A.")
    steps: int = Field(description="Relaxation steps.")
    note: str = Field("", description="What a reader must know of this energy, such as a guessed correction.")


class Candidate(BaseModel):
    """One sample and all that became of it."""

    model_config = ConfigDict(extra="forbid")

    sample: str = Field(description="Name of the sample, unique in the campaign.")
    id: str = Field("", description="Hash of the standardised structure; empty before a structure exists.")
    round: int = Field(0, description="Round of the campaign.")
    origin: Origin
    decode_quality: DecodeRecord | None = Field(None, description="How far the structure explains the images.")
    repaired: list[str] = Field(default_factory=list, description="Atoms that the repair dropped.")
    structure: dict[str, Any] | None = Field(None, description="As decoded and repaired (pymatgen dictionary).")
    relaxed: dict[str, Any] | None = Field(None, description="As relaxed (pymatgen dictionary).")
    validated: dict[str, Any] | None = Field(None, description="As DFT left it (pymatgen dictionary).")
    spacegroup: tuple[str, int] = Field(("", 0), description="Symbol and number, of the latest structure.")
    energies: list[Energy] = Field(default_factory=list, description="One for each energy model.")
    evaluations: int = Field(0, description="Energy-and-force evaluations that the screening spent on it.")
    validation_evaluations: int = Field(0, description="Ionic steps that its validation spent.")
    novelty: str = Field("", description="A value of `Novelty`; empty before it was classified.")
    novelty_match: str = Field("", description="What it matches.")
    state: State = State.SAMPLED
    rejection: Rejection | None = None

    @property
    def decode_order(self) -> tuple[bool, float]:
        """Sort key by the quality of its decode: matching atom counts without any repair first, then small residuals."""
        if self.decode_quality is None:
            return True, math.inf
        return not self.decode_quality.count_matches or bool(self.repaired), self.decode_quality.residual

    @property
    def is_clean(self) -> bool:
        """Whether it decoded to a valid crystal with matching atom counts, a small residual and no repair."""
        left_early = self.rejection is not None and self.rejection.stage in (Stage.DECODE, Stage.VALIDITY)
        if self.state is State.SAMPLED or self.decode_quality is None or left_early:
            return False
        return self.decode_quality.is_clear and not self.repaired

    def reject(self, stage: Stage, reason: str, detail: str = "") -> None:
        """Take the candidate out of the campaign."""
        self.state = State.REJECTED
        self.rejection = Rejection(stage=stage, reason=reason, detail=detail)
