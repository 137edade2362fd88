"""The outcome of a campaign that has no shortlist: where its samples left, and what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.ledger import Ledger, LedgerTable
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by

if TYPE_CHECKING:
    import pyarrow

REASONS = 3  # that are named, the most frequent ones
MORE_SAMPLES = "draw more samples (`sampling`)"
TRAIN = f"Train the networks longer (`model.epochs`), give them more templates, or {MORE_SAMPLES}."
# state that no sample reached -> what is said of those before it, and the cure
NEXT = {
    State.VALID: ("none of {} samples is a valid crystal", TRAIN),
    State.UNIQUE: (
        "none of {} valid samples is new as it was drawn",
        f"{MORE_SAMPLES.capitalize()}, or add templates: what is drawn repeats what is known or substituted.",
    ),
    State.SCREENED: (
        "none of {} new samples could be relaxed",
        "Raise `screen.max_steps`, or take another potential (`screen.potential`).",
    ),
    State.SHORTLISTED: (
        "none of {} relaxed candidates is new and within `screen.threshold` of the hull",
        f"{MORE_SAMPLES.capitalize()}, relax more of them (`screen.at_most`), or raise `screen.threshold`.",
    ),
    State.VALIDATED: (
        "validation refused each of {} shortlisted candidates",
        "The report has the reasons; mend what failed, then go on with the run.",
    ),
}
# most frequent reason of samples that are not valid -> the cure, where it is another than training
CURES = {
    "charge_balance": "Their compositions are not charge balanced; `imatgen plan` counts such ones. See `validity.charge`.",
    "too_many_sites": "Raise `limits.max_sites`.",
    "other_composition": "Few samples have the formulas of `search.compositions`: draw more samples (`sampling`), or add "
    "templates.",
    "other_size": "Few samples have the sizes of `search.sites`: draw more samples (`sampling`), or allow more sizes.",
    "edge_too_long": "Raise `limits.max_edge`.",
}

# the same where the generator is none of the sources, so that there are no networks and no samples to draw
OTHER_SOURCES = "give other sources a share (`sources.shares`)"
NEXT_WITHOUT_NETWORKS = {
    State.VALID: f"{OTHER_SOURCES.capitalize()}.",
    State.UNIQUE: f"{OTHER_SOURCES.capitalize()}: what these propose repeats what is known or substituted.",
    State.SHORTLISTED: f"Relax more of them (`screen.at_most`), {OTHER_SOURCES}, or raise `screen.threshold`.",
}
CURES_WITHOUT_NETWORKS = {
    "other_composition": f"They do not have the formulas of `search.compositions`: {OTHER_SOURCES}, or allow more formulas.",
    "other_size": f"They do not have the sizes of `search.sites`: {OTHER_SOURCES}, or allow more sizes.",
}
NOTHING_PROPOSED = (
    "Perhaps no structure of the dataset is within `search` and `limits` and charge balanced (see `validity.charge`); "
    f"`imatgen plan` counts them. Widen these, or {OTHER_SOURCES}."
)
GENERATOR = "generator"  # the source of that name


def count_outcomes(table: pyarrow.Table) -> list[tuple[str, str, int]]:
    """Count the rows of a table of crystals that were screened, by what became of them.

    Returns
    -------
    state, novelty or reason of the rejection, and number, in words, in the order in which they first occur
    """
    counted = count_by(table, "state", "novelty", "rejected_stage", "rejected_reason")
    return [
        (
            State(state).label,
            f"{Stage(stage).label}: {reason.replace('_', ' ')}" if stage else Novelty(novelty).label,
            number,
        )
        for (state, novelty, stage, reason), number in counted.items()
    ]


def explain_empty(table: Mapping[str, Any]) -> str:
    """Say why a campaign has no shortlist, and what to change; empty where it has one.

    Parameters
    ----------
    table : content of ledger.json

    Examples
    --------
    >>> ledger = Ledger(samples=2)
    >>> ledger.count(State.REJECTED, Stage.VALIDITY, "too_many_sites", 2)
    >>> explain_empty(ledger.to_dict())
    'no result: none of 2 samples is a valid crystal (validity: 2 too many sites). Raise `limits.max_sites`.'
    """
    if "states" not in table or "rejections" not in table:  # of a run that was put together by hand
        return ""
    ledger = Ledger.from_dict(cast("LedgerTable", table))
    if ledger.states[State.SHORTLISTED.value] or ledger.states[State.VALIDATED.value]:
        return ""
    if not ledger.samples:
        return f"no result: no source proposed a candidate. {NOTHING_PROPOSED}"
    order, funnel = State.ordered(), ledger.funnel
    missing = next(place for place in range(1, len(order)) if not funnel[order[place].value])
    said, cure = NEXT[order[missing]]
    cures = CURES
    if ledger.sources and GENERATOR not in ledger.sources:
        cure = NEXT_WITHOUT_NETWORKS.get(order[missing], cure)
        cures = CURES | CURES_WITHOUT_NETWORKS
    before = order[missing - 1]
    left = [(Stage(stage), why, number) for (stage, why), number in ledger.rejections.most_common()]
    left = [row for row in left if row[0].reached is before][:REASONS]
    if order[missing] is State.VALID and left:
        cure = cures.get(left[0][1], cure)
    reasons = ", ".join(f"{stage.label.lower()}: {number:,} {why.replace('_', ' ')}" for stage, why, number in left)
    return f"no result: {said.format(f'{funnel[before.value]:,}')}{f' ({reasons})' if reasons else ''}. {cure}"
