"""The plan of a campaign: what it will do, in numbers and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from imatgen_flows.candidates.registry import CHARGE_CHECKS, REJECT_UNBALANCED
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.managers.stage_times import StageTime
from imatgen_flows.managers.time_left import spell
from imatgen_flows.settings import get_settings

EXAMPLES = 3  # crystals that the plan names of each reason
LONGEST_DETAIL = 120  # characters of each
MANY_UNBALANCED = 0.5  # share of the substituted structures from which on the plan warns


@dataclass
class Plan:
    """What a campaign will do, all of its rounds together.

    Numbers are upper bounds: a stop rule may end the campaign before its last round, and a round may find less.

    Attributes
    ----------
    templates, structures, exclusions : of the dataset, which is made once
    charge : what is done about candidates that are not charge balanced
    compositions, unbalanced_structures, unbalanced_compositions : of the substituted structures, all and unbalanced ones
    published : published compounds that the hull rests on, by their origin
    hull : the same as a sentence
    known_exclusions : crystals of the source of known phases that are left out, by reason
    rounds : that may begin before the budget of evaluations is spent
    samples, relaxations : of all rounds
    references : phases that the potential relaxes
    evaluations : by purpose, at the mean number of steps of a relaxation
    seconds : for the evaluations on this machine
    stages : the time of each stage on this machine
    trial : s, that its measurement took; 0 where the rates are recorded ones of another machine
    dft_chains : structures that DFT, or what takes its place, calculates: references, candidates, their second starts
    dft_runs : calculations that the chains are made of; those that are tried again count once more each time
    dft_attempts : times that a chain may be tried
    excluded : each crystal that is left out: `section`, `id`, `reason`, `detail`
    search : what is searched for, in words, and how many training structures are of it; empty where everything is
    sources : who proposes what is relaxed, in words
    trains : whether networks are trained and sampled
    committee : potentials that vote on the shortlist beside the first
    threshold, suggested_threshold : of the shortlist, eV/atom: that of the campaign, and that of the potential's calibration
    phonons : what those of the best candidates take, in words; empty where none are asked for
    """

    potential: str
    backend: str
    templates: int
    structures: int
    exclusions: dict[str, int]
    charge: str
    compositions: int
    unbalanced_structures: int
    unbalanced_compositions: int
    published: dict[str, int]
    hull: str
    known_exclusions: dict[str, int]
    rounds: int
    samples: int
    references: int
    relaxations: int
    evaluations: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stages: list[StageTime] = field(default_factory=list)
    trial: float = 0.0
    dft_chains: int = 0
    dft_runs: int = 0
    dft_attempts: int = 0
    excluded: list[dict[str, str]] = field(default_factory=list)
    search: str = ""
    sources: str = ""
    trains: bool = True
    committee: list[str] = field(default_factory=list)
    threshold: float = 0.0
    suggested_threshold: float | None = None
    phonons: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return the plan as plain values, for JSON."""
        total = dict(zip(("seconds", "low", "high"), self.total(), strict=True))
        return vars(self) | {
            "stages": [asdict(stage) for stage in self.stages],
            "total_evaluations": sum(self.evaluations.values()),
            "total": total,
            "warnings": self.warnings(),
        }

    def total(self) -> tuple[float, float, float]:
        """Return the time of all stages, s, and the range in which it probably is; without DFT."""
        known = [(stage.seconds or 0.0, stage.low, stage.high) for stage in self.stages]
        seconds, low, high = (sum(column) for column in zip(*known, strict=True)) if known else (0.0, 0.0, 0.0)
        return seconds, low, high

    def stage_lines(self) -> list[list[str]]:
        """Return the time of each stage in words: its name, the time, and the range in which it probably is."""
        rows = []
        several = bool(self.stages) and self.stages[-1].round > 1
        for number, stage in enumerate(self.stages, 1):
            title = f"{number}. {stage.title}" + (f", round {stage.round}" if several else "")
            if stage.seconds is None:
                rows.append([title, "not known: DFT", ""])
            else:
                rows.append([title, spell(stage.seconds), f"{spell(stage.low)} to {spell(stage.high)}"])
        return rows

    def total_line(self) -> str:
        """Say how long the campaign takes, how sure that is, and what it rests on."""
        seconds, low, high = self.total()
        cores = get_settings().n_workers
        basis = f"measured here in {spell(self.trial)}" if self.trial else "by recorded rates of another machine"
        without = ", without DFT" if any(stage.seconds is None for stage in self.stages) else ""
        return (
            f"about {spell(seconds)} in all{without} ({spell(low)} to {spell(high)}; {basis}; {cores} "
            f"process{'es' if cores > 1 else ''} for relaxations)"
        )

    def lines(self) -> dict[str, str]:
        """Return the plan as text: for each quantity its name and its value in words."""
        lines = {
            "templates": f"{self.templates:,}",
            "training structures": f"{self.structures:,}",
            "not trained on": _reasons(self.exclusions),
            "hull": self.hull,
            "not on the hull": _reasons(self.known_exclusions),
            "reference phases": f"at most {self.references:,}",
            "charge balance": f"{self.unbalanced_structures:,} training structures, {self.unbalanced_compositions:,} of "
            f"{self.compositions:,} compositions are not balanced; such candidates are "
            f"{CHARGE_CHECKS[self.charge].label.lower()} (`validity.charge: {self.charge}`)",
            "rounds": f"at most {self.rounds:,}",
            "samples": self._of_rounds(self.samples) if self.trains else "none: no networks are trained",
            "sources": self.sources,
            "relaxations": f"at most {self._of_rounds(self.relaxations).removeprefix('at most ')}",
            "energy evaluations": f"at most about {sum(self.evaluations.values()):,} ({self._by_potential()})",
            "time": self.total_line(),
        }
        if self.phonons:
            lines["phonons"] = self.phonons
        if self.search:
            lines = {"search": self.search} | lines
        if self.dft_chains:
            program = "VASP runs" if BACKENDS[self.backend].is_vasp else "relaxations"
            again = f"; what fails is tried up to {self.dft_attempts} times" if self.dft_attempts > 1 else ""
            lines["DFT"] = (
                f"at most {self.dft_chains:,} structures, {self.dft_runs:,} {program} ({self.backend}){again}"
            )
        return lines

    def examples(self) -> list[str]:
        """Name the first crystals that are left out for each reason, one line a section and reason."""
        groups: dict[tuple[str, str], list[dict[str, str]]] = {}
        for row in self.excluded:
            groups.setdefault((row["section"], row["reason"]), []).append(row)
        lines = []
        for (section, reason), rows in groups.items():
            named = [f"{row['id']} ({_shorten(row['detail'])})" for row in rows[:EXAMPLES]]
            more = [f"{len(rows) - EXAMPLES:,} more"] if len(rows) > EXAMPLES else []
            lines.append(f"{section}, {len(rows):,} {reason.replace('_', ' ')}: {'; '.join(named + more)}")
        return lines

    def warnings(self) -> list[str]:
        """Say what will probably make the campaign end with little or nothing."""
        said = []
        if self.suggested_threshold is not None and self.threshold < self.suggested_threshold:
            said.append(
                f"`screen.threshold: {self.threshold:g}` may lose crystals near the hull: {self.potential} kept 90 % of "
                f"those within 0.05 eV/atom of it up to {self.suggested_threshold:g} (docs/how-to/potentials.md)."
            )
        share = self.unbalanced_structures / max(1, self.structures)
        if self.charge != REJECT_UNBALANCED or share <= MANY_UNBALANCED:
            return said
        return [
            *said,
            f"`validity.charge: reject` refuses the compositions of {share:.0%} of the substituted structures"
            + (", from which the networks learn: most samples" if self.trains else ": most candidates")
            + " will be rejected. `validity: {charge: flag}` keeps and marks them.",
        ]

    def _by_potential(self) -> str:
        """Say which potentials evaluate."""
        voting = sum(number for purpose, number in self.evaluations.items() if purpose.startswith("committee"))
        by_members = f"; {voting:,} of them by {', '.join(self.committee)} for the committee" if voting else ""
        return f"{self.potential}{by_members}"

    def _of_rounds(self, total: int) -> str:
        return f"{total:,}" if self.rounds == 1 else f"at most {total:,} ({total // self.rounds:,} a round)"


def _reasons(exclusions: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {reason.replace('_', ' ')}" for reason, number in exclusions.items()) or "none"


def _shorten(detail: str) -> str:
    return detail if len(detail) <= LONGEST_DETAIL else f"{detail[:LONGEST_DETAIL]}..."
