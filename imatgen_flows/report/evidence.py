"""The report's section on the evidence for the shortlist beside its E_hull, and what a referee will ask of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from imatgen_flows.candidates.classes import CommitteeVerdict
from imatgen_flows.candidates.known_words import SUBSTITUTED
from imatgen_flows.energetics.phonon_spectrum import STABLE_ABOVE
from imatgen_flows.energetics.potentials import POTENTIALS, Potential
from imatgen_flows.report.markup import energy, plural, render, share
from imatgen_flows.report.referee import referee_answers, verdict_counts
from imatgen_flows.report.result_directory import ResultDirectory, read_json, require_keys
from imatgen_flows.report.run_directory import RunDirectory

COMMITTEE_FILE = "committee.json"
FEWEST = 3  # votes from which on a rank correlation is given
# what the table of candidates can be restricted to, where the column holds such a value: column, value, words
FILTERS: tuple[tuple[str, object, str], ...] = (
    ("committee", CommitteeVerdict.AGREED.value, "agreed on by the committee"),
    ("dynamically_stable", True, "dynamically stable"),
    ("clean", True, "decoded cleanly"),
)


@dataclass(frozen=True)
class MemberSummary:
    """What a potential of the committee said of the candidates, beside the first potential.

    Attributes
    ----------
    label : name of the potential
    scale : energy scale of its hull; empty where it has none
    relaxed, failed : phases of its hull
    voted, lost : candidates that it voted on, and those where it lost its vote
    higher : mean of its E_hull less that of the first potential, eV/atom; None without votes
    rank : Spearman's correlation of both; None where there are too few votes, or all are equal
    note : what its hull lacks
    """

    label: str
    scale: str
    relaxed: int
    failed: int
    voted: int
    lost: int
    higher: float | None
    rank: float | None
    note: str


def evidence_section(run: RunDirectory) -> Markup:
    """Write what the committee says of the shortlist, where there is one, and what a referee will ask."""
    verdicts = Counter(row["committee"] for row in run.relaxed if row.get("committee"))
    members = read_members(run) if verdicts else []
    return render(
        "evidence",
        run=run,
        threshold=read_json(run.path / COMMITTEE_FILE)["threshold"] if members else None,
        asked=verdicts.total(),
        counts=verdict_counts([row for row in run.relaxed if row.get("committee")]),
        verdicts=[
            (each.label, each.description, share(verdicts[each.value], verdicts.total())) for each in CommitteeVerdict
        ],
        members=members,
        answers=referee_answers(run),
    )


def further_potentials(results: ResultDirectory) -> list[Potential]:
    """List the potentials of the committee that are on the list, beside that of the screening."""
    names = (results.campaign.get("committee") or {}).get("potentials") or []
    return [POTENTIALS[name] for name in names if name in POTENTIALS]


def committee_sentence(run: RunDirectory) -> str:
    """Say for a paper what the committee did; empty where there is none."""
    asked = [row for row in run.relaxed if row.get("committee")]
    if not asked:
        return ""
    names = (run.campaign.get("committee") or {}).get("potentials") or []
    labels = [
        f"{POTENTIALS[name].label} {POTENTIALS[name].weights}".strip() if name in POTENTIALS else name for name in names
    ]
    threshold = read_json(run.path / COMMITTEE_FILE)["threshold"]
    return (
        f"{len(asked):,} shortlisted candidate{plural(len(asked))} went to {' and '.join(labels)} too, to be relaxed from "
        f"where the first potential had left them and placed on hulls of the same phases by each; within {threshold:g} "
        f"eV/atom: {verdict_counts(asked)}."
    )


def phonons_sentence(run: RunDirectory) -> str:
    """Say for a paper how phonons were computed; empty where none were."""
    section = run.campaign.get("phonons") or {}
    computed = [row for row in run.relaxed if row.get("dynamically_stable") is not None]
    if not computed:
        return ""
    name = section.get("potential") or (run.campaign.get("screen") or {}).get("potential", "")
    label = POTENTIALS[name].label if name in POTENTIALS else name
    return (
        f"Harmonic phonons of {len(computed):,} candidate{plural(len(computed))}, relaxed to "
        f"{section.get('fmax', 0.005):g} eV/A before, were "
        f"computed with phonopy and {label}, by displacements of 0.01 A in supercells of about "
        f"{section.get('supercell', 10):g} A; "
        f"{sum(row['dynamically_stable'] is True for row in computed):,} have no frequency below {STABLE_ABOVE:g} THz."
    )


def evidence_line(row: Mapping[str, Any]) -> str:
    """Write the evidence for one candidate in a line; empty where there is none."""
    parts = []
    if row.get("committee"):
        verdict = CommitteeVerdict(row["committee"]).label
        mean, spread = row["committee_mean"], row["committee_spread"]
        votes = "" if spread is None else f": {energy(mean)} eV/atom in the mean, spread {energy(spread)}"
        parts.append(f"{verdict}{votes}")
    if (stable := row.get("dynamically_stable")) is not None:
        parts.append(f"{'Dynamically stable' if stable else 'Unstable'}, lowest {row['lowest_frequency']:.2f} THz")
    if row.get("variant_of"):
        parts.append(f"Ordered variant of {row['variant_of']}")
    elif row.get("nearest") and row.get("nearest_distance") is not None:
        name, made = row["nearest"].removesuffix(SUBSTITUTED), row["nearest"].endswith(SUBSTITUTED)
        parts.append(f"Nearest {'substituted' if made else 'known'} {name}, distance {row['nearest_distance']:.2f}")
    return ". ".join(parts)


def verdict_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the verdicts on candidates in a word each, by the heading of a column; what nobody was asked is left out.

    Examples
    --------
    >>> verdict_columns([{"committee": "agreed", "dynamically_stable": None}, {"committee": "", "dynamically_stable": None}])
    {'committee': ['agreed', '']}
    """
    phonons = {None: "", True: "stable", False: "unstable"}
    columns = {
        "committee": [row.get("committee") or "" for row in rows],
        "phonons": [phonons[row.get("dynamically_stable")] for row in rows],
    }
    return {heading: cells for heading, cells in columns.items() if any(cells)}


def evidence_filters(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List what the table of candidates can be restricted to."""
    return [
        {"column": column, "value": value, "label": words}
        for column, value, words in FILTERS
        if any(row.get(column) == value for row in rows)
    ]


def read_members(run: RunDirectory) -> list[MemberSummary]:
    """Read what each member of the committee of a run said."""
    table = require_keys(run.path / COMMITTEE_FILE, "members", "votes", "threshold")
    votes: dict[str, dict[str, float | None]] = {}
    changed: Counter[str] = Counter()
    for vote in table["votes"]:
        votes.setdefault(vote["potential"], {})[vote["sample"]] = vote["e_above_hull"]
        changed[vote["potential"]] += vote["e_above_hull"] is not None and bool(vote["detail"])
    first = next(iter(votes.values()), {})
    members = []
    for member in table["members"]:
        moved = changed[member["potential"]]
        said = f"{moved} of its votes are on another structure, into which it relaxed the candidate" if moved else ""
        note = "; ".join(filter(None, (member["note"], said)))
        members.append(_member(member | {"note": note}, votes.get(member["potential"], {}), first))
    return members


def _member(
    member: Mapping[str, Any], votes: Mapping[str, float | None], first: Mapping[str, float | None]
) -> MemberSummary:
    from scipy.stats import spearmanr

    pairs = [
        (one, other) for sample, other in votes.items() if other is not None and (one := first[sample]) is not None
    ]
    before, now = np.array(pairs, dtype=float).reshape(-1, 2).T
    rank = float(spearmanr(before, now)[0]) if len(pairs) >= FEWEST else float("nan")
    name = member["potential"]
    return MemberSummary(
        label=POTENTIALS[name].label if name in POTENTIALS else name,
        scale=member["scale"],
        relaxed=member["counts"].get("relaxed", 0),
        failed=member["counts"].get("failed", 0),
        voted=len(pairs),
        lost=len(votes) - len(pairs),
        higher=float((now - before).mean()) if pairs else None,
        rank=None if np.isnan(rank) else rank,
        note=member["note"],
    )
