"""Types of the content of a run directory: rows of the candidate table, and the JSON files beside it."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

EnergyColumn = Literal["formation_energy", "validated_formation_energy"]
DistanceColumn = Literal["e_above_hull", "validated_e_above_hull"]


class _AddedColumns(TypedDict, total=False):
    """Columns that a table may lack, since it was written before they existed."""

    prior: str
    source: str
    made_by: str
    residual: float | None
    clean: bool | None
    validated_note: str
    committee: str
    committee_mean: float | None
    committee_spread: float | None
    dynamically_stable: bool | None
    lowest_frequency: float | None
    lowest_interpolated: float
    phonon_evaluations: int
    followed_id: str
    followed_e_above_hull: float | None
    followed_stable: bool | None
    followed_novelty: str
    followed_match: str


class Fate(TypedDict):
    """How far a sample came, or where and why it was rejected."""

    state: str
    rejected_stage: str
    rejected_reason: str
    rejected_detail: str


class MappedRow(Fate):
    """A sample on the latent map."""

    sample: str
    sampler: str
    formula: str
    latent_x: float
    latent_y: float


class SampleRow(Fate, _AddedColumns):
    """One sample: the columns of `candidates.schema.COLUMNS` that programs read by name; a row holds the others too."""

    sample: str
    id: str
    relaxed_id: str
    validated_id: str
    round: int
    sampler: str
    parents: list[str]
    latent_x: float | None
    latent_y: float | None
    formula: str
    nsites: int
    energy_per_atom: float | None
    scale: str
    validated_e_above_hull: float | None
    validated_formation_energy: float | None
    validated_scale: str
    validation_evaluations: int
    spacegroup: str
    spacegroup_number: int
    novelty: str
    novelty_match: str
    evaluations: int
    volume_per_atom: float | None


class CandidateRow(SampleRow):
    """A sample, relaxed or not; energies in eV/atom."""

    formation_energy: float | None
    e_above_hull: float | None


class RelaxedRow(SampleRow):
    """A sample that has an energy on the hull; energies in eV/atom."""

    formation_energy: float
    e_above_hull: float


class Phase(TypedDict):
    """A reference phase of the hull; energies in eV/atom."""

    name: str
    formula: str
    kind: str
    source: str
    origin: NotRequired[str]  # later than the others
    fractions: dict[str, float]
    formation_energy: float
    e_above_hull: float


class FailedPhase(TypedDict):
    """A reference phase that could not be relaxed."""

    name: str
    formula: NotRequired[str]
    kind: NotRequired[str]
    reason: str


class HullTable(TypedDict):
    """Content of hull.json."""

    potential: str
    references: list[Phase]
    failed: NotRequired[list[FailedPhase]]


class TrainingPoint(TypedDict):
    """A training structure on the latent map."""

    id: str
    formula: str
    x: float
    y: float
    stable: bool | None
    formation_energy: float | None
    known: bool


class LatentMap(TypedDict):
    """Content of latent.json; `explained` are shares of the variance along x and y."""

    training: list[TrainingPoint]
    explained: NotRequired[list[float]]


class TrainingCurve(TypedDict):
    """Training of one network: epochs, loss of each, and time in s."""

    epochs: int
    loss: list[float]
    seconds: float


class SamplingRecord(TypedDict):
    """Number of samples of one sampler, and of those that decode to a valid crystal without a repair."""

    n: int
    clean: int


class Metrics(TypedDict, total=False):
    """Content of metrics.json; `reconstruction` holds a summary for each path, and the `errors` of single structures."""

    reconstruction: dict[str, Any]
    training: dict[str, TrainingCurve]
    sampling: dict[str, SamplingRecord]
    notes: list[str]


class Provenance(TypedDict):
    """Content of provenance.json."""

    system: list[str]
    name: NotRequired[str]
    campaign: NotRequired[str]
    seed: NotRequired[int]
    potential: NotRequired[str]
    optimiser: NotRequired[str]
    started: NotRequired[str]
    finished: NotRequired[str]
    hardware: NotRequired[str | dict[str, Any]]
    seconds: NotRequired[dict[str, float]]
    versions: NotRequired[dict[str, str]]
    settings: NotRequired[dict[str, Any]]


class RoundRow(TypedDict):
    """One round in rounds.json, with the energy evaluations that it spent."""

    round: int
    evaluations: int
