"""One batch of candidates: sources propose, the gate admits, and what one source leaves of its budget goes to the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pymatgen.core import Structure

from imatgen_flows.candidates.candidate import describe_crystal, rejection
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.gate import keep_unique
from imatgen_flows.candidates.novelty import NoveltyClassifier
from imatgen_flows.candidates.schema import Row
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.validity import check_validity
from imatgen_flows.crystals.charge_balance import is_charge_balanced
from imatgen_flows.crystals.identity import structure_id
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.sources.registry import GENERATOR, SOURCES
from imatgen_flows.sources.search import Candidate, SearchContext, SearchSpace

# calls of a source for one share of a batch; where those of so many calls do not fill it, the rest goes to other sources
CALLS = 8

Allocate = Callable[
    [Sequence[str], int], Mapping[str, int]
]  # sources that have more, relaxations -> relaxations of each


@dataclass
class Batch:
    """Candidates of one batch, as they are collected.

    Attributes
    ----------
    number : of the round and of the batch in it, from 0
    space : that candidates must lie in
    classifier : of all that is known; what is admitted is added to it
    resemblance : the same with looser tolerances: what it does not call new is relaxed last; None where order is no matter
    seed : of the campaign
    samples : of each source before this batch in the round, from which names go on
    rows : of all candidates that were looked at, admitted or rejected
    crystals : of the proposed ones that are valid, by sample
    chosen : samples to be relaxed, by source
    deferred : source and sample of what is relaxed only where there is nothing better, in its order
    made : candidates that each source made for this batch
    """

    number: tuple[int, int]
    space: SearchSpace
    classifier: NoveltyClassifier
    seed: int
    resemblance: NoveltyClassifier | None = None
    samples: dict[str, int] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    crystals: dict[str, Structure] = field(default_factory=dict)
    chosen: dict[str, list[str]] = field(default_factory=dict)
    deferred: list[tuple[str, str]] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)

    def admit(self, source: str, names: Sequence[tuple[str, str]], structures: Mapping[str, Structure]) -> list[str]:
        """Pass valid candidates (sample, id) through the gate; return the samples that are chosen."""
        kept = (Novelty.NEW, Novelty.SUBSTITUTED) if SOURCES[source].repeats_dataset else (Novelty.NEW,)
        passed = keep_unique(names, structures, self.classifier, kept=kept)
        admitted = [str(row["sample"]) for row in passed if row["state"] == State.UNIQUE.value]
        distinct = []
        for sample, name in names:
            if sample not in admitted:
                continue
            self.classifier.add_found(name, structures[sample])
            if self._resembles(structures[sample], kept):
                self.deferred.append((source, sample))
            else:
                distinct.append(sample)
                if self.resemblance:
                    self.resemblance.add_found(name, structures[sample])
        # the generator's samples have passed a gate of their own: only what is rejected now is news of them
        self.rows += [row for row in passed if source != GENERATOR or row["sample"] not in admitted]
        self.chosen[source] = self.chosen.get(source, []) + distinct
        return distinct

    def _resembles(self, structure: Structure, kept: Sequence[Novelty]) -> bool:
        """Whether a crystal resembles one that is known, found or chosen."""
        return self.resemblance is not None and self.resemblance.classify(structure)[0] not in kept

    def choose_deferred(self, source: str, number: int) -> int:
        """Choose some of what a source put off, the first ones first; return how many there were."""
        taken = [sample for owner, sample in self.deferred if owner == source][:number]
        self.deferred = [(owner, sample) for owner, sample in self.deferred if sample not in taken]
        self.chosen.setdefault(source, []).extend(taken)
        return len(taken)

    def restore(self, source: str, names: Sequence[tuple[str, str]], structures: Mapping[str, Structure]) -> None:
        """Take over what a source put off in an earlier batch, but for what has been found since."""
        before = len(self.chosen.get(source, []))
        distinct = self.admit(source, names, structures)
        self.chosen[source] = self.chosen[source][:before]
        self.deferred += [(source, sample) for sample in distinct]  # it waits, whatever it resembles now

    def enter(self, source: str, candidates: Sequence[Candidate], seed: int) -> list[str]:
        """Examine proposals of a source, write their rows, and pass the valid ones through the gate."""
        valid: list[tuple[str, str]] = []
        for candidate in candidates:
            sample = self._name(source)
            row, crystal = examine_proposal(candidate.structure, self.space)
            origin: Row = {"source": source, "sampler": source, "round": self.number[0], "seed": seed}
            origin |= {"parents": list(candidate.parents), "made_by": candidate.made_by}
            self.rows.append({"sample": sample} | origin | row)
            if crystal is not None:
                self.crystals[sample] = crystal
                valid.append((sample, str(row["id"])))
        return self.admit(source, valid, {sample: self.crystals[sample] for sample, _ in valid})

    def reject(self, source: str, faults: Sequence[Row]) -> None:
        """Write down what a source made that holds no crystal at all."""
        for fault in faults:
            origin: Row = {"sample": self._name(source), "source": source, "sampler": source, "round": self.number[0]}
            self.rows.append(origin | fault)

    def _name(self, source: str) -> str:
        place = self.samples.get(source, 0)
        self.samples[source] = place + 1
        self.made[source] = self.made.get(source, 0) + 1
        return f"r{self.number[0]}-{source}-{place:06d}"

    def seed_of(self, source: str, call: int) -> int:
        """Derive the seed of a call of a source from those of campaign, round and batch."""
        return self._derive(SOURCES.names.index(source), call)

    def seed_of_allocation(self, turn: int) -> int:
        """Derive the seed by which relaxations are shared, once in a batch and again for what a source leaves over."""
        return self._derive(len(SOURCES), turn)

    def _derive(self, place: int, turn: int) -> int:
        return int(np.random.SeedSequence((self.seed, *self.number, place, turn)).generate_state(1)[0])


def examine_proposal(structure: Structure, space: SearchSpace) -> tuple[Row, Structure | None]:
    """Check that a proposed crystal is valid, and bring it to its standard cell.

    Returns
    -------
    its columns, and the crystal; None where the columns say why it is rejected
    """
    row: Row = {"formula": structure.composition.reduced_formula, "nsites": len(structure)}
    row["charge_balanced"] = is_charge_balanced(structure.composition)
    foreign = sorted({element.symbol for element in structure.composition} - set(space.elements))
    fault = ("other_elements", f"holds {', '.join(foreign)}") if foreign else None
    fault = fault or check_validity(structure, space.elements, space.max_sites, space.max_edge, space.charge)
    fault = fault or space.fault(structure)
    if fault is None:
        try:
            standard = standardise(structure)
        except ValueError as error:
            fault = "no_standard_cell", str(error)
        else:
            valid: Row = {"state": State.VALID.value, "id": structure_id(standard)}
            return row | valid | describe_crystal(standard), standard
    return row | rejection(Stage.VALIDITY, *fault), None


def fill_batch(
    batch: Batch,
    number: int,
    sources: Sequence[str],
    allocate: Allocate,
    ask: Callable[[str, int, int], list[str]],
) -> dict[str, int]:
    """Fill a batch from its sources; what one cannot fill of its part goes to those that have more.

    A source fills its part with candidates that resemble nothing known, and then with those that it put off.

    Parameters
    ----------
    batch : to be filled
    number : of candidates to relax
    sources : that compete
    allocate : divides relaxations among sources
    ask : source, number, call -> the samples that it brought through the gate

    Returns
    -------
    relaxations that were meant for each source at first
    """
    missing, open_sources, first = number, list(sources), dict[str, int]()
    calls = dict.fromkeys(sources, 0)
    while missing and open_sources:
        parts = allocate(open_sources, missing)
        first = first or {source: parts.get(source, 0) for source in sources}
        for source, part in parts.items():
            wanted = part
            for _ in range(CALLS):
                if not wanted:
                    break
                before = batch.made.get(source, 0), len(batch.rows)
                wanted -= len(ask(source, wanted, calls[source]))
                calls[source] += 1
                if before == (batch.made.get(source, 0), len(batch.rows)):
                    break  # it has nothing more to offer
            wanted -= batch.choose_deferred(source, wanted)
            if wanted:
                open_sources.remove(source)
            missing -= part - wanted
    return first


def ask_source(batch: Batch, context: SearchContext) -> Callable[[str, int, int], list[str]]:
    """Make the function by which `fill_batch` asks a source; it tells the source what it proposed in this batch before."""
    taken: dict[str, set[str]] = {}

    def ask(source: str, number: int, call: int) -> list[str]:
        seed = batch.seed_of(source, call)
        here = replace(context, taken=context.taken_by.get(source, frozenset()) | taken.get(source, set()))
        candidates = SOURCES[source].load()(here, number, seed)
        taken.setdefault(source, set()).update(parent for candidate in candidates for parent in candidate.parents)
        return batch.enter(source, candidates, seed)

    return ask
