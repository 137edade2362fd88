"""The documents that jobs hand to each other; they are small, and large data lie in artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NotRequired, Self, TypedDict

from pydantic import BaseModel, ConfigDict, Field

from imatgen_flows.io.artifacts import ArtifactRef, content_key
from imatgen_flows.io.files import file_hash

__all__ = [
    "BatchDocument",
    "CalculationsDocument",
    "CandidateTable",
    "CandidatesDocument",
    "DatasetDocument",
    "InputFile",
    "JobDocument",
    "LabelDocument",
    "MemberDocument",
    "ModelDocument",
    "ReconstructionDocument",
    "ReferenceDocument",
    "RoundDocument",
]


class InputFile(BaseModel):
    """A file or folder of the user. A job reads it by its path; the cache key of the job depends on its content alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    key: str = Field(
        description="Hash of the file, or of names and contents of the files in the folder; empty if missing."
    )

    @classmethod
    def of(cls, path: Path | None) -> Self | None:
        """Refer to a file or folder as it is now; None where there is no path."""
        if path is None:
            return None
        if path.is_file():
            return cls(path=str(path), key=file_hash(path))
        files = sorted(path.rglob("*")) if path.is_dir() else []
        content = [(file.relative_to(path).as_posix(), file_hash(file)) for file in files if file.is_file()]
        return cls(path=str(path), key=content_key(content) if content else "")


class JobDocument(BaseModel):
    """The part that all documents share: which job made it, from what, and what it cost."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(
        description="Name of the job, and a hash of its inputs and of the versions that decide its result."
    )
    seed: int | None = Field(None, description="Seed of its random steps, if it has any.")
    parents: list[str] = Field(default_factory=list, description="Keys of the documents that it was made from.")
    versions: dict[str, str] = Field(default_factory=dict, description="Versions of the libraries that decided it.")
    seconds: float = Field(0.0, description="Wall time, s.")
    cpu_seconds: float = Field(0.0, description="CPU time of its process and of those that it started and ended, s.")
    evaluations: dict[str, int] = Field(default_factory=dict, description="Energy evaluations by purpose.")

    @property
    def job(self) -> str:
        """Name of the job that made it, as in the registry of jobs."""
        return job_of(self.key)

    def made_by(self, *jobs: Any) -> bool:
        """Whether one of some job functions made it."""
        return self.job in [job.spec.name for job in jobs]


def job_of(key: str) -> str:
    """Read the name of a job from the key of its document.

    Examples
    --------
    >>> job_of("build_dataset-0123456789abcdef")
    'build_dataset'
    """
    return key.rpartition("-")[0]


class DatasetDocument(JobDocument):
    """The training structures of a round."""

    elements: list[str] = Field(description="In the order of the image channels.")
    crystals: ArtifactRef = Field(description="Rows: id, structure, template, formula.")
    packed: ArtifactRef = Field(description="The same crystals as arrays, as the codecs read them.")
    exclusions: ArtifactRef = Field(description="Rows: section, id, reason, detail.")
    found: ArtifactRef | None = Field(
        None, description="Rows: id, structure, energy_per_atom; what earlier rounds relaxed."
    )
    held_out: ArtifactRef | None = Field(None, description="Rows as in `crystals`: known phases to be found again.")
    counts: dict[str, int] = Field(description="Templates read, structures made, kept, and excluded by reason.")


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
    database: str = Field(
        "", description="Where energies of the hull were read, with its version; empty if all computed."
    )


class MemberDocument(JobDocument):
    """The reference phases as a member of the committee relaxed them, and their hull."""

    potential: str
    hull: ArtifactRef | None = Field(None, description="As in `ReferenceDocument`; None where it could not be built.")
    phases: ArtifactRef = Field(description="Rows as in `ReferenceDocument`.")
    counts: dict[str, int]
    note: str = Field("", description="Why there is no hull, or what it lacks.")


class ModelDocument(JobDocument):
    """One trained network."""

    role: str = Field(description="cell, basis or vae: a value of `ModelRole`.")
    preset: str
    settings: dict
    weights: ArtifactRef = Field(description="safetensors")
    metrics: ArtifactRef = Field(description="JSON lines, one an epoch.")
    epochs: int
    loss: float = Field(description="Training loss of the last epoch.")
    extra: dict[str, ArtifactRef] = Field(
        default_factory=dict, description="Other results: losses of the prior, and templates that it has not seen."
    )


class ReconstructionDocument(JobDocument):
    """Reconstruction errors of the trained networks, on the training set and on the held-out set."""

    errors: ArtifactRef
    summaries: dict[str, dict] = Field(
        description="Of `images` (the autoencoders alone) and `model` (the whole path), on the training set; on the held-out "
        "set `_held_out`, and `_inverted_held_out` with codes or latent vectors found by latent inversion."
    )


class CandidateTable(BaseModel):
    """Where the candidates lie: the parts that jobs wrote of their table, and their structures; see `candidates.table`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: list[ArtifactRef] = Field(default_factory=list, description="Columns by sample, in the order of the jobs.")
    structures: dict[str, list[ArtifactRef]] = Field(
        default_factory=dict, description="Crystals by sample, by the value of their `Geometry`."
    )

    def __add__(self, other: CandidateTable) -> CandidateTable:
        """Put the parts of another table behind those of this one."""
        names = list(dict.fromkeys([*self.structures, *other.structures]))
        structures = {name: self.structures.get(name, []) + other.structures.get(name, []) for name in names}
        return CandidateTable(parts=self.parts + other.parts, structures=structures)


class CandidatesDocument(JobDocument):
    """The candidates of a round, as a job left them."""

    candidates: CandidateTable
    counts: dict[str, int] = Field(description="Number of candidates in each state.")
    to_relax: int = Field(0, description="Candidates that are chosen to be relaxed next.")
    extra: dict[str, ArtifactRef] = Field(
        default_factory=dict,
        description="The generator's latent vectors and their map; the samples that are chosen; the allocation by batch; "
        "phonons, with bands and density of states, by sample.",
    )


class BatchDocument(JobDocument):
    """Relaxations of one batch of candidates."""

    relaxations: ArtifactRef = Field(description="Rows: sample, relaxation.")
    counts: dict[str, int]


class CalculationsDocument(JobDocument):
    """Results of DFT calculations, or of those of a force field in its place: accepted, or rejected with the reason."""

    calculations: ArtifactRef = Field(
        description="Rows: name, state, reason, detail, attempts, evaluations, and the result."
    )
    counts: dict[str, int]
    spent: int = Field(description="Ionic steps, those of refused attempts included.")


class RoundDocument(JobDocument):
    """One round of the campaign, with everything that its run directory shows."""

    round: int
    candidates: CandidateTable = Field(description="Of this round and of all before it.")
    ledger: dict
    tables: dict[str, ArtifactRef] = Field(
        description="metrics, hull, latent, dataset and rounds, as the report reads them."
    )


class RelaxInputs(TypedDict):
    """How structures are relaxed: potential, largest force (eV/A), number of steps at most, and optimiser.

    All of it is part of the key of a job, so that no result of one optimiser is found as that of another. `pressure` (GPa)
    is absent where it is zero: the cache keys of such campaigns are those of before it was there.
    """

    potential: str
    fmax: float
    max_steps: int
    optimiser: str
    pressure: NotRequired[float]


class MemberDocuments(TypedDict):
    """What a member of the committee made; None where its job was lost."""

    hull: MemberDocument | None
    relaxations: BatchDocument | None


class PhononInputs(TypedDict):
    """How phonons are computed: the potential, and settings of `energetics.phonon_cells.PhononSettings`.

    `phonopy` is its version. `follow`, whether imaginary modes are followed, and `pressure` (GPa) are absent where unused.
    """

    potential: str
    supercell: float
    fmax: float
    max_atoms: int
    phonopy: str
    follow: NotRequired[bool]
    pressure: NotRequired[float]


class NetworkDocuments(TypedDict, total=False):
    """The trained networks, by role."""

    cell: ModelDocument
    basis: ModelDocument
    vae: ModelDocument


class CandidateChecks(TypedDict):
    """What decides whether a sample is a valid candidate, as sections of the campaign in plain values.

    `search` is absent where it restricts nothing: the cache keys of such campaigns are those of before it was there.
    """

    limits: dict[str, Any]
    validity: dict[str, Any]
    search: NotRequired[dict[str, Any]]


class CampaignData(TypedDict, total=False):
    """What a round starts from; each job gets the part that it needs.

    `labels` belong to the dataset of the round; `evaluated` are those of the first round, which alone cost evaluations.
    `published` are the published phases as relaxed, `references` these and the substituted ones, `calculated` the hull of
    the validation, None where nothing is validated.
    """

    dataset: DatasetDocument
    labels: LabelDocument
    references: ReferenceDocument
    published: ReferenceDocument
    evaluated: LabelDocument
    calculated: ReferenceDocument | None
