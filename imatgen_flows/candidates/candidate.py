"""A candidate: one record from the sample that it was to the phase that it may be."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from imatgen_flows.candidates.states import Stage, State


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
    parents: list[str] = Field(default_factory=list, description="Ids of the structures whose codes it came from.")
    x: float = Field(description="First principal component of its latent vector.")
    y: float = Field(description="Second principal component of its latent vector.")
    stability: float | None = Field(None, description="The classifier's probability that it is stable, unrelaxed.")


class Energy(BaseModel):
    """What one model says of a structure. Values per atom are in eV."""

    model_config = ConfigDict(extra="forbid")

    scale: str = Field(description="Energy model with its version; energies compare within one scale only.")
    energy_per_atom: float = Field(description="Total energy, eV/atom.")
    formation_energy: float = Field(description="Formation energy, eV/atom.")
    e_above_hull: float = Field(description="Distance to the hull of references, eV/atom; negative below it.")
    decomposition: dict[str, float] = Field(description="Competing phases and their atomic fractions.")
    fmax: float = Field(description="Largest force left, eV/A.")
    steps: int = Field(description="Relaxation steps.")
    note: str = Field("", description="What a reader must know of this energy, such as a guessed correction.")


MAX_RESIDUAL = 0.3  # residual of the decode_quality from which on the decoder did not see one clear crystal


class Candidate(BaseModel):
    """One sample and all that became of it."""

    model_config = ConfigDict(extra="forbid")

    sample: str = Field(description="Name of the sample, unique in the campaign.")
    id: str = Field("", description="Hash of the standardised structure; empty before a structure exists.")
    round: int = Field(0, description="Round of the campaign.")
    origin: Origin
    decode_quality: dict = Field(default_factory=dict, description="What the decoder says of its own work.")
    repaired: list[str] = Field(default_factory=list, description="Atoms that the repair dropped.")
    structure: dict | None = Field(None, description="As decoded and repaired (pymatgen dictionary).")
    relaxed: dict | None = Field(None, description="As relaxed (pymatgen dictionary).")
    validated: dict | None = Field(None, description="As DFT left it (pymatgen dictionary).")
    spacegroup: tuple[str, int] = Field(("", 0), description="Symbol and number, of the latest structure.")
    energies: list[Energy] = Field(default_factory=list, description="One for each energy model.")
    evaluations: int = Field(0, description="Energy-and-force evaluations that the screening spent on it.")
    validation_evaluations: int = Field(0, description="Ionic steps that its validation spent.")
    novelty: str = Field("", description="A value of `Novelty`.")
    novelty_match: str = Field("", description="What it matches.")
    state: State = State.SAMPLED
    rejection: Rejection | None = None

    @property
    def is_clean(self) -> bool:
        """Whether it decoded to a valid crystal without any doubt or repair."""
        if self.state is State.SAMPLED or not self.decode_quality:
            return False
        left_early = self.rejection is not None and self.rejection.stage in (Stage.DECODE, Stage.VALIDITY)
        sure = self.decode_quality["count_matches"] and self.decode_quality["residual"] < MAX_RESIDUAL
        return bool(sure and not self.repaired and not left_early)

    def reject(self, stage: Stage, reason: str, detail: str = "") -> None:
        """Take the candidate out of the campaign."""
        self.state = State.REJECTED
        self.rejection = Rejection(stage=stage, reason=reason, detail=detail)
