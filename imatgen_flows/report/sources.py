"""What each source of candidates was given and what it found: the report's section, and the paragraph for the methods."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from markupsafe import Markup

from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by
from imatgen_flows.errors import InputError
from imatgen_flows.metrics.statistics import rate_per_1000
from imatgen_flows.report.markup import render, words
from imatgen_flows.report.run_directory import RunDirectory, read_json
from imatgen_flows.sources.registry import ALLOCATIONS, FIXED, GENERATOR, SOURCES

ALLOCATION_FILE = "allocation.json"
NAMED = 3  # reasons that a note names


@dataclass(frozen=True)
class SourceAccount:
    """What a source was given and what it found.

    Attributes
    ----------
    name, label : of the source
    made : candidates that it proposed
    relaxations, evaluations : of these, and what they took
    new, near : new structures, and those within the threshold of the hull
    best : lowest E_hull of a new one, eV/atom; None where there is none
    """

    name: str
    label: str
    made: int
    relaxations: int
    evaluations: int
    new: int
    near: int
    best: float | None

    @property
    def rate(self) -> tuple[float, float, float] | None:
        """New structures within the threshold in 1,000 evaluations, and the 95 % interval; None where nothing was relaxed."""
        return rate_per_1000(self.near, self.relaxations, self.evaluations)


def accounts_of_sources(run: RunDirectory) -> list[SourceAccount]:
    """Sum up the sources of a run, in the order of the campaign; empty where the generator is the only one."""
    batches = _batches(run)
    names = list(dict.fromkeys(row["source"] for row in batches))
    if set(names) <= {GENERATOR}:
        return []
    made = count_by(run.table, "source")
    tried = pc.field("e_above_hull").is_valid() | (pc.field("rejected_stage") == Stage.SCREEN.value)
    relaxations = count_by(run.table.filter(tried), "source")
    spent = {
        row["source"]: row["evaluations_sum"]
        for row in run.table.group_by("source").aggregate([("evaluations", "sum")]).to_pylist()
    }
    found = []
    for name in names:
        new = [row["e_above_hull"] for row in run.new if row["source"] == name]
        near = sum(distance <= run.threshold for distance in new)
        found.append(
            SourceAccount(
                name,
                SOURCES[name].label,
                made.get((name,), 0),
                relaxations.get((name,), 0),
                spent.get(name, 0),
                len(new),
                near,
                new[0] if new else None,
            )
        )
    return found


def sources_section(run: RunDirectory) -> Markup:
    """Write the section of the report; empty where the generator is the only source."""
    accounts = accounts_of_sources(run)
    if not accounts:
        return Markup()
    settings = run.campaign.get("sources") or {}
    by_batch: dict[tuple[int, int], dict[str, int]] = {}
    for row in _batches(run):
        by_batch.setdefault((row["round"], row["batch"]), {})[row["source"]] = row["given"]
    return render(
        "sources",
        run=run,
        accounts=accounts,
        allocation=ALLOCATIONS[settings.get("allocation", FIXED)],
        batches=by_batch if len(by_batch) > 1 else {},
        samples_of_files=settings.get("samples"),
        notes=exhausted_sources(run),
    )


def exhausted_sources(run: RunDirectory) -> list[str]:
    """Say of each source that could not fill its part of the relaxations, or had none, what became of its candidates."""
    wanted, given, unused = _demand(_batches(run))
    rest = "the rest went to the other sources" if not unused else "what other sources could not take stayed unused"
    total = sum(row["given"] for row in _batches(run)) + unused
    notes = [f"{unused:,} of {total:,} relaxations stayed unused: no source had more candidates."] if unused else []
    for source, number in wanted.items():
        if not any(row["given"] or row["planned"] for row in _batches(run) if row["source"] == source):
            notes.append(
                f"{SOURCES[source].label} was asked for nothing: the allocation gave it no relaxation. In a larger first "
                "batch (a larger `screen.at_most`, fewer `sources.batches`) each source is tried before finds decide."
            )
        if given[source] >= number:
            continue
        own = run.table.filter(pc.field("source") == source)
        reasons = count_by(own, "rejected_stage", "rejected_reason")
        put_off = count_by(own, "state").get((State.UNIQUE.value,), 0)  # passed the gate, and not relaxed
        left = Counter(
            {why: number for (stage, why), number in reasons.items() if stage and stage != Stage.SCREEN.value}
        )
        why = ", ".join(f"{count:,} {words(reason)}" for reason, count in left.most_common(NAMED))
        notes.append(
            f"{SOURCES[source].label} filled {given[source]:,} of its {number:,} relaxations"
            f"{f'; {rest}' if len(wanted) > 1 else ''}. Of its candidates left before: {why or 'none, it had no more'}."
            + (f" {put_off:,} resemble something known or found, and were put off." if put_off else "")
        )
    return notes


def _demand(batches: list[dict[str, Any]]) -> tuple[Counter[str], Counter[str], int]:
    """Sum up the relaxations that each source was to have and had of these, and those that no source took.

    What a source could not fill of a batch is planned again in the next one of the round, and counts once.
    """
    last = {row["round"]: row["batch"] for row in batches}
    wanted: Counter[str] = Counter({row["source"]: 0 for row in batches})
    given: Counter[str] = Counter()
    unused: Counter[int] = Counter()
    for row in batches:
        filled = min(row["given"], row["planned"])
        given[row["source"]] += filled
        wanted[row["source"]] += row["planned"] if row["batch"] == last[row["round"]] else filled
        if row["batch"] == last[row["round"]]:
            unused[row["round"]] += row["planned"] - row["given"]
    return wanted, given, sum(max(0, number) for number in unused.values())


def _batches(run: RunDirectory) -> list[dict[str, Any]]:
    """Read what each source was given in each batch; empty for a run from before there were sources."""
    path = run.path / ALLOCATION_FILE
    if not path.is_file():
        return []
    batches = read_json(path).get("batches")
    needed = {"round", "batch", "source", "planned", "given", "made"}
    if not isinstance(batches, list) or not all(needed <= row.keys() for row in batches):
        raise InputError(f"{path}: holds no allocation by batch. `imatgen run CAMPAIGN.yaml --resume` writes it again.")
    return batches
