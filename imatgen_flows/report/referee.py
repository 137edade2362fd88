"""What a referee will ask of the shortlist, with the answers that the files of a run hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from imatgen_flows.candidates.classes import CommitteeVerdict
from imatgen_flows.candidates.committee import OTHER_STRUCTURE
from imatgen_flows.candidates.known_words import is_match, silent_providers
from imatgen_flows.energetics.backends import BACKENDS, NONE
from imatgen_flows.energetics.phonon_spectrum import STABLE_ABOVE
from imatgen_flows.energetics.potentials import POTENTIALS, Potential, describe_functionals, describe_shared_training
from imatgen_flows.metrics import BASELINES_FILE
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.report.markup import plural
from imatgen_flows.report.result_directory import read_json
from imatgen_flows.report.run_directory import RunDirectory

CORRECTIONS: Mapping[str, str] = {
    "none": "no corrections are added to its energies",
    "mp2020": "the corrections of the Materials Project of 2020 are added to its energies",
}
NEAR = 0.1  # eV/atom, one of the thresholds of the baseline benchmark


def referee_answers(run: RunDirectory) -> list[tuple[str, str]]:
    """Answer what a referee will ask; each answer is of this run, or says what would give one.

    Returns
    -------
    pairs of a question and its answer
    """
    shortlist = [row for row in run.new if row["e_above_hull"] <= run.threshold]
    ask: dict[str, Callable[[RunDirectory, Sequence[Mapping[str, Any]]], str]] = {
        "Whose energies are these, and how wrong are they?": _potentials,
        "Do other potentials agree?": _committee,
        "Are the crystals dynamically stable?": _phonons,
        "Is the hull complete?": _hull,
        "Are they really new?": _novelty,
        "And their magnetism?": _magnetism,
        "Would a simpler search have found them?": _baselines,
        "What does DFT say?": _dft,
    }
    return [(question, answer(run, shortlist)) for question, answer in ask.items()]


def _names(run: RunDirectory) -> list[str]:
    screen, committee = run.campaign.get("screen") or {}, run.campaign.get("committee") or {}
    return [str(screen.get("potential", "")), *(committee.get("potentials") or [])]


def _potentials(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    said = [
        _describe(POTENTIALS[name]) if name in POTENTIALS else f"{name}: a function of the user."
        for name in _names(run)
    ]
    return " ".join([*said, "Nothing here is of DFT unless it says so."])


def _describe(potential: Potential) -> str:
    """Say what a potential was trained on, its published error, and its corrections."""
    facts = [CORRECTIONS[potential.correction]]
    if potential.trained_on:
        facts.insert(
            0, f"trained on {' and '.join(potential.trained_on)} ({potential.functional or 'functional unknown'})"
        )
    if potential.f1 is not None:
        facts.append(f"it finds stable crystals with an F1 score of {potential.f1:g} ({potential.f1_source})")
    else:
        facts.append("no score of these weights is on record here")
    return f"{potential.label} {potential.weights}: {'; '.join(facts)}.".replace(" :", ":")


def _committee(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    asked = [row for row in shortlist if row.get("committee")]
    if not asked:
        return "Not asked. `committee: {potentials: [sevennet]}` in the campaign file, then `--resume`, asks."
    spreads = [row["committee_spread"] for row in asked if row["committee_spread"] is not None]
    spread = f" The median spread of their E_hull is {median(spreads):.3f} eV/atom." if spreads else ""
    alike = f"{describe_shared_training(_names(run))} {describe_functionals(_names(run))}"
    return f"Of {len(asked)} candidate{plural(len(asked))}: {verdict_counts(asked)}.{spread} {alike}".strip()


def verdict_counts(asked: Sequence[Mapping[str, Any]]) -> str:
    """Count verdicts in words, and of the agreed ones those whose votes are not all on the candidate itself.

    Examples
    --------
    >>> votes = ["chgnet: 0.02", "sevennet: 0.04 (relaxed to another structure)"]
    >>> verdict_counts([{"committee": "agreed", "committee_votes": votes}, {"committee": "refused"}])
    '1 agreed (1 of them by a vote on another structure, into which a potential relaxed it), 1 refused'
    """
    verdicts = Counter(row["committee"] for row in asked)
    counts = {each.value: f"{verdicts[each.value]} {each.value}" for each in CommitteeVerdict if verdicts[each.value]}
    agreed = [row for row in asked if row["committee"] == CommitteeVerdict.AGREED.value]
    if moved := sum(any(OTHER_STRUCTURE in vote for vote in row.get("committee_votes") or []) for row in agreed):
        counts[CommitteeVerdict.AGREED.value] += (
            f" ({moved} of them by a vote on another structure, into which a potential relaxed it)"
        )
    return ", ".join(counts.values())


def _phonons(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    computed = [row for row in shortlist if row.get("dynamically_stable") is not None]
    if not computed:
        return "Not computed. `phonons: {at_most: 10}` in the campaign file, then `--resume`, computes them."
    stable, total = sum(row["dynamically_stable"] for row in computed), len(computed)
    low, high = rate_interval(stable, total)
    plain = sum(
        row["lowest_interpolated"] > STABLE_ABOVE for row in shortlist if row.get("dynamically_stable") is not None
    )
    unchecked = "" if plain == stable else f" By interpolation alone, which is checked here, {plain} would be."
    return (
        f"{stable} of {total} {'is' if stable == 1 else 'are'}, by harmonic phonons of a potential: {stable / total:.0%} "
        f"({low:.0%} to {high:.0%} with "
        f"95 % confidence).{unchecked}"
    )


def _hull(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    failed = run.hull.get("failed") or []
    lost = f" {len(failed)} reference phase{plural(len(failed))} could not be relaxed." if failed else ""
    return f"{run.basis.sentence(run.pressure)}{lost} A phase that is not on it makes every E_hull near it too low."


def _novelty(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    known = sum(row.get("prototype_known") is True for row in shortlist)
    variants = sum(bool(row.get("variant_of")) for row in shortlist)
    said = [
        f"{len(shortlist)} match no published phase of the hull, no substituted structure and no other candidate.",
        f"{known} {'has' if known == 1 else 'have'} the prototype of a crystal of the Materials Project with other elements; "
        f"{variants} order the atoms "
        "of another crystal in a new way.",
    ]
    providers = (run.campaign.get("elsewhere") or {}).get("providers") or []
    if not providers:
        said.append("No database was asked whether it holds them: `elsewhere: {providers: [...]}` asks.")
    else:
        answers = [line for row in shortlist for line in row.get("elsewhere") or []]
        held, silent = sum(map(is_match, answers)), silent_providers([answers])
        said.append(f"Asked were {', '.join(providers)}: {held} {'matches' if held != 1 else 'match'} in all.")
        said += [f"{name} has not answered about {number}." for name, number in silent.items()]
    return " ".join(said)


def _magnetism(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    found = Counter(row.get("magnetic_order") or "" for row in shortlist)
    if not found["magnetic"] and not found["nonmagnetic"]:
        return "Not considered: the potential gives no magnetic moments."
    return (
        f"{found['magnetic']} are magnetic and {found['nonmagnetic']} nonmagnetic by the potential's moments, which have no "
        "sign: they cannot tell a ferromagnet from an antiferromagnet. `validate.antiferro` lets DFT compare the two."
    )


def _baselines(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    path = run.path / BASELINES_FILE
    if not path.is_file():
        return "Not measured for this run: `imatgen evaluate baselines RUN` compares it with random search and substitution."
    counts = []
    for name, summary in (read_json(path).get("sources") or {}).items():
        new = sum(part["new"] for part in summary["within"] if part["e_above_hull"] == NEAR)
        counts.append(f"{name.replace('_', ' ')} {new} of {summary['structures']}")
    return f"New structures within {NEAR:g} eV/atom of as many relaxations: {', '.join(counts)} ({BASELINES_FILE})."


def _dft(run: RunDirectory, shortlist: Sequence[Mapping[str, Any]]) -> str:
    backend = str((run.campaign.get("validate") or {}).get("backend", NONE))
    done = [row for row in run.relaxed if row["validated_e_above_hull"] is not None]
    if backend == NONE and not done:
        return "Nothing yet: `validate: {backend: vasp-mp-gga}` calculates the best."
    name = BACKENDS[backend].report_name if backend in BACKENDS else "another method"
    return f"{len(done)} of {len(shortlist)} were calculated by {name}."
