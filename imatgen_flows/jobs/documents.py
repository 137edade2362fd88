"""What the stages hand to each other: small documents whose bulk lies in artifacts."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from imatgen_flows.io.artifacts import ArtifactRef

__all__ = [
    "BatchDocument",
    "CalculationsDocument",
    "CandidatesDocument",
    "DatasetDocument",
    "JobDocument",
    "LabelDocument",
    "ModelDocument",
    "ReconstructionDocument",
    "ReferenceDocument",
    "RoundDocument",
]


class JobDocument(BaseModel):
    """Common to every stage's output: who made it, from what, and what it cost."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(description="Hash of the stage's inputs, settings and code version.")
    seed: int | None = Field(None, description="Seed of its random steps, if it has any.")
    parents: list[str] = Field(default_factory=list, description="Keys of the stages that it builds on.")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the libraries that decided it.")
    seconds: float = Field(0.0, description="Wall time, s.")
    evaluations: dict[str, int] = Field(default_factory=dict, description="Energy evaluations by purpose.")

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self.key.rpartition("-")[0].replace("_", " ")


class DatasetDocument(JobDocument):
    """Training structures made by substitution."""

    elements: list[str] = Field(description="In the order of the image channels.")
    crystals: ArtifactRef = Field(description="Rows: id, structure, template, formula.")
    packed: ArtifactRef = Field(description="The same crystals as arrays, as the codecs read them.")
    exclusions: ArtifactRef = Field(description="Rows: id, reason, detail.")
    found: ArtifactRef | None = Field(None, description="Rows: id, structure; what earlier rounds relaxed.")
    held_out: ArtifactRef | None = Field(None, description="Rows as in `crystals`: known phases to be found again.")
    counts: dict[str, int] = Field(description="Templates read, structures made, kept, and left out by reason.")


class LabelDocument(JobDocument):
    """Energies of the unrelaxed training structures."""

    potential: str
    labels: ArtifactRef = Field(description="Rows: id, energy_per_atom, formation_energy (eV/atom), stable, reason.")
    counts: dict[str, int]
    note: str = Field("", description="What a person should know of them: all stable, or none.")


class ReferenceDocument(JobDocument):
    """Reference phases relaxed with one potential, and their hull."""

    potential: str
    hull: ArtifactRef = Field(description="The hull, as `Hull.to_dict` writes it.")
    phases: ArtifactRef = Field(description="Rows: name, structure, kind, source, energy_per_atom, fmax, steps.")
    counts: dict[str, int]


class ModelDocument(JobDocument):
    """One trained network."""

    role: str = Field(description="cell, basis or generator.")
    preset: str
    settings: dict
    weights: ArtifactRef = Field(description="safetensors")
    metrics: ArtifactRef = Field(description="JSON lines, one an epoch.")
    epochs: int
    loss: float = Field(description="Training loss of the last epoch.")
    extra: dict[str, ArtifactRef] = Field(default_factory=dict, description="Other results, for example codes.")


class ReconstructionDocument(JobDocument):
    """How well the trained networks give the training structures back."""

    errors: ArtifactRef
    summaries: dict[str, dict] = Field(
        description="Of `images` (the autoencoders alone) and `generator` (the whole path), each also `_held_out`, and that "
        "with codes that were refined, `_refined_held_out`."
    )


class CandidatesDocument(JobDocument):
    """Candidates at some stage of their life."""

    candidates: ArtifactRef = Field(description="Rows: `Candidate`.")
    counts: dict[str, int] = Field(description="Number of candidates in each state.")
    extra: dict[str, ArtifactRef] = Field(default_factory=dict)


class BatchDocument(JobDocument):
    """Relaxations of one batch."""

    relaxations: ArtifactRef = Field(description="Rows: sample, relaxation.")
    counts: dict[str, int]


class CalculationsDocument(JobDocument):
    """Verdicts on DFT calculations, or on those of a force field in its place."""

    calculations: ArtifactRef = Field(
        description="Rows: name, state, reason, detail, attempts, evaluations, and the result."
    )
    counts: dict[str, int]
    spent: int = Field(description="Ionic steps, those of refused attempts included.")


class RoundDocument(JobDocument):
    """One pass of the campaign, with all that its run directory shows."""

    round: int
    candidates: ArtifactRef
    ledger: dict
    tables: dict[str, ArtifactRef] = Field(
        description="metrics, hull, latent, dataset and rounds, as the report reads them."
    )
