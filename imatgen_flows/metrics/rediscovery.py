"""Rediscovery: the published phases, held out from the networks, that are found again among samples.

There are three tiers. T1 is that of Noh et al. (2019): samples around the latent vector of the phase itself, which tests
reconstruction. T2 is blind: the phase is never encoded, and any sample may match it. T3 is blind too, and the training set
holds nothing of the phase's prototype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.candidates.holdout import LOOSE
from imatgen_flows.candidates.validity import SHORTEST
from imatgen_flows.crystals.distances import shortest_distance
from imatgen_flows.crystals.repair import repair
from imatgen_flows.crystals.standard import extent, shift_origin, standardise
from imatgen_flows.energetics.relax import Evaluator
from imatgen_flows.matching.grouping import StructureIndex
from imatgen_flows.matching.structure_matcher import PrimitiveCell
from imatgen_flows.models.registry import PERTURB

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.sources.trained_model import TrainedModel

MATCHERS = {"default": (0.2, 0.3, 5.0), "loose": LOOSE}  # tolerances of pymatgen's StructureMatcher
STATES = ("before", "after")  # relaxation
BLIND = {"structures": "T2", "prototypes": "T3"}  # tier by what was held out
SAMPLES_AROUND = 30  # of each known phase (paper, S3.1)
ORIGIN_SHIFTS = 16  # origins of the cell from which the latent vector of a phase is found by inversion; a choice


@dataclass(frozen=True)
class KnownPhase:
    """A published phase that was held out."""

    id: str
    structure: Structure

    @cached_property
    def formula(self) -> str:
        """Reduced formula."""
        return self.structure.composition.reduced_formula

    @cached_property
    def primitive_sites(self) -> int:
        """Sites of the primitive cell, which is what the matcher compares."""
        return len(self.structure.get_reduced_structure().get_primitive_structure())


@dataclass(frozen=True)
class Sample:
    """A sample that was decoded to a structure.

    Attributes
    ----------
    name, sampler : of the sample
    structure : as decoded and repaired
    relaxed : None where it was not
    valid : whether it is within the limits and the chemistry of its campaign
    decode_order : sort key by the quality of its decode; the best is tried first
    """

    name: str
    sampler: str
    structure: Structure
    relaxed: Structure | None = None
    valid: bool = True
    decode_order: tuple[float, ...] = ()

    @cached_property
    def formula(self) -> str:
        """Reduced formula."""
        return self.structure.composition.reduced_formula

    @cached_property
    def crystals(self) -> dict[str, Structure]:
        """Structures that can be compared, by state: neither a cell without volume nor overlapping atoms."""
        both = zip(STATES, (self.structure, self.relaxed), strict=True)
        return {state: structure for state, structure in both if structure is not None and _is_crystal(structure)}

    @cached_property
    def cells(self) -> dict[str, PrimitiveCell]:
        """Primitive cells of the same, reduced once for all comparisons."""
        return {state: PrimitiveCell.of(structure) for state, structure in self.crystals.items()}


@dataclass(frozen=True)
class Hit:
    """A sample that matches a known phase.

    Attributes
    ----------
    sample, sampler, valid : of the sample
    rms : root mean square displacement from the phase, in units of (volume per atom)^(1/3)
    volume : its volume per atom over that of the phase; the matcher scales it away
    """

    sample: str
    sampler: str
    valid: bool
    rms: float
    volume: float


@dataclass(frozen=True)
class PhaseFinding:
    """Result of the search for one known phase.

    Attributes
    ----------
    hits : the best hit by matcher and state, None where nothing matches
    sampled : samples of its composition
    at_size : those of them with a number of atoms that its cell can have
    """

    hits: dict[str, dict[str, Hit | None]]
    sampled: int
    at_size: int

    def found(self, matcher: str, state: str) -> bool:
        """Whether it was found, `before` or `after` relaxation, or in `either` state."""
        states = STATES if state == "either" else (state,)
        return any(self.hits[matcher][name] for name in states)


@dataclass(frozen=True)
class Tier:
    """One search of one run.

    Attributes
    ----------
    findings : by id of the known phase
    samples : decoded samples that were compared
    relaxed : those that have been relaxed
    evaluations : energy evaluations that this search spent
    """

    findings: dict[str, PhaseFinding]
    samples: int
    relaxed: int = 0
    evaluations: int = 0


@dataclass(frozen=True)
class Substitution:
    """Known phases that plain substitution finds, by matcher, among a number of structures."""

    found: dict[str, set[str]]
    structures: int


def search(
    knowns: Sequence[KnownPhase],
    samples_of: Mapping[str, Sequence[Sample]],
    relax: Evaluator,
    relax_at_most: int = 0,
) -> Tier:
    """Search samples for known phases, and relax the most promising sample of some of them.

    Parameters
    ----------
    knowns : the phases
    samples_of : the samples to search for each, by its id
    relax : relaxes structures by name
    relax_at_most : known phases for which a sample is relaxed, those that match already first
    """
    before = {known.id: _best_hits(known, samples_of[known.id], "before") for known in knowns}
    chosen: dict[str, Sample] = {}
    for known in knowns:
        sample = choose_to_relax(known, samples_of[known.id], before[known.id])
        if sample is not None:
            chosen[known.id] = sample
    order = sorted(chosen, key=lambda name: (not any(before[name].values()), chosen[name].decode_order, name))
    waiting = {chosen[name].name: chosen[name].structure for name in order[:relax_at_most] if not chosen[name].relaxed}
    results = relax(waiting) if waiting else {}
    done = {name: result.structure for name, result in results.items() if result.state == "relaxed"}
    found, names, relaxed = {}, set(), set()
    for known in knowns:
        samples = [
            replace(sample, relaxed=done[sample.name]) if sample.name in done else sample
            for sample in samples_of[known.id]
        ]
        names |= {sample.name for sample in samples}
        relaxed |= {sample.name for sample in samples if sample.relaxed is not None}
        after = _best_hits(known, samples, "after")
        same = [sample for sample in samples if sample.formula == known.formula]
        found[known.id] = PhaseFinding(
            hits={name: {"before": before[known.id][name], "after": after[name]} for name in MATCHERS},
            sampled=len(same),
            at_size=sum(_may_match(sample, known) for sample in same),
        )
    return Tier(found, len(names), len(relaxed), sum(result.evaluations for result in results.values()))


def find_by_substitution(knowns: Sequence[KnownPhase], structures: Sequence[Structure]) -> Substitution:
    """Search structures that needed no generator for the known phases."""
    found = {}
    for name, tolerances in MATCHERS.items():
        index = StructureIndex[int](enumerate(structures), *tolerances)
        found[name] = {known.id for known in knowns if index.find(known.structure) is not None}
    return Substitution(found, len(structures))


def choose_to_relax(known: KnownPhase, samples: Iterable[Sample], hits: Mapping[str, Hit | None]) -> Sample | None:
    """Choose the sample most likely to relax to a known phase: the one that matches already, or else the nearest.

    Nearest is one of its composition and of a number of atoms that its cell can have, and of these the best decoded. None
    where no sample has the composition, since relaxation does not change that.
    """
    matching = next((hit.sample for name in MATCHERS if (hit := hits[name])), None)
    same = [sample for sample in samples if sample.formula == known.formula and "before" in sample.crystals]
    return min(
        same,
        key=lambda sample: (
            sample.name != matching,
            not _may_match(sample, known),
            not sample.valid,
            sample.decode_order,
            sample.name,
        ),
        default=None,
    )


def sample_around_own(
    trained: TrainedModel, knowns: Sequence[KnownPhase], seed: int, each: int = SAMPLES_AROUND
) -> dict[str, list[Sample]]:
    """Draw samples around the latent vectors of known phases that the networks never saw; decode and repair these.

    With the published preset all are at one distance from the encoded phase; with the others they go from the latent vector
    found by inversion (`invert_decoder_over_origins`, from several origins of the cell) to the width of `perturb`.

    Parameters
    ----------
    trained : the networks, with the structures that they saw, for the width of the noise
    knowns : in the standard frame
    seed : of the draw
    each : samples a phase

    Returns
    -------
    decoded samples, by id of the phase
    """
    import torch

    from imatgen_flows.models.crystal_model import BATCH
    from imatgen_flows.models.sampling import sample_perturbed

    model, compressor = trained.networks, trained.networks.compressor
    settings = compressor.preset.vae
    published = settings.style == "published"
    # the first sample of each phase is its own latent vector, the last the furthest from it
    turn = torch.arange(each * len(knowns)) // len(knowns)
    drawn = sample_perturbed(
        _own_latent(model, knowns, seed),
        each * len(knowns),
        seed,
        distance=settings.perturbation if published else None,
        width=None
        if published
        else settings.perturbation * trained.training.scale * (turn / max(each - 1, 1))[:, None],
    )
    found: dict[str, list[Sample]] = {known.id: [] for known in knowns}
    # without a projection: encoding again would undo the inversion
    decoded = (compressor.read(model.decode(part)) for part in drawn.latent.split(BATCH))
    pairs = (
        pair for structures, decode_qualities in decoded for pair in zip(structures, decode_qualities, strict=True)
    )
    for number, ((structure, decode_quality), (parent,)) in enumerate(zip(pairs, drawn.parents, strict=True)):
        if structure is None or not len(structure):
            continue
        repaired, known = repair(structure), knowns[parent]
        found[known.id].append(
            Sample(
                name=f"{known.id}-{number // len(knowns):03d}",
                sampler=PERTURB,
                structure=repaired.structure,
                valid=trained.is_valid(repaired.structure),
                decode_order=(not decode_quality.count_matches or bool(repaired.dropped), decode_quality.residual),
            )
        )
    return found


def _own_latent(model: CrystalModel, knowns: Sequence[KnownPhase], seed: int) -> Tensor:
    """Find the latent vector of each phase, by the encoder as published or by inversion from several origins of its cell."""
    import torch

    from imatgen_flows.models.inversion import invert_decoder_over_origins
    from imatgen_flows.representation import pack

    compressor, random = model.compressor, np.random.default_rng(seed)
    box = compressor.preset.box
    if compressor.preset.vae.style == "published":
        return model.encode(pack([known.structure for known in knowns], compressor.elements, box))
    shifted = [
        (number, cell)
        for number, known in enumerate(knowns)
        for cell in (
            known.structure,
            *(shift_origin(known.structure, random.random(3)) for _ in range(ORIGIN_SHIFTS - 1)),
        )
        if cell is known.structure or extent(cell) < box
    ]
    origin_shifts = pack([cell for _, cell in shifted], compressor.elements, box)
    return invert_decoder_over_origins(model, origin_shifts, torch.tensor([number for number, _ in shifted]))[0]


def _best_hits(known: KnownPhase, samples: Iterable[Sample], state: str) -> dict[str, Hit | None]:
    """Find the best hit by each matcher; valid hits come before close ones."""
    crystals = [
        (sample, crystal)
        for sample in samples
        if sample.formula == known.formula
        and _may_match(sample, known)  # most cannot, and a comparison takes its time
        and (crystal := sample.crystals.get(state)) is not None
    ]
    best: dict[str, Hit | None] = {}
    for name, tolerances in MATCHERS.items():
        index = StructureIndex[str]([(known.id, known.structure)], *tolerances)
        matches = index.find_matches([sample.cells[state] for sample, _ in crystals])
        hits = [
            Hit(sample.name, sample.sampler, sample.valid, match[1], _volume(crystal) / _volume(known.structure))
            for (sample, crystal), match in zip(crystals, matches, strict=True)
            if match is not None
        ]
        best[name] = min(hits, key=lambda hit: (not hit.valid, hit.rms), default=None)
    return best


def _may_match(sample: Sample, known: KnownPhase) -> bool:
    """Whether the number of atoms of a sample of the right composition allows the cell of a known phase."""
    return len(sample.structure) % known.primitive_sites == 0


def _volume(structure: Structure) -> float:
    """Return the volume per atom, A^3."""
    return structure.volume / len(structure)


def _is_crystal(structure: Structure) -> bool:
    try:
        standardise(structure)
    except ValueError:
        return False
    return shortest_distance(structure) >= SHORTEST
