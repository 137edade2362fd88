"""The command `imatgen evaluate generation`: other sources of candidates beside the generator, at equal budgets."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imatgen_flows.cli.evaluate import AsJson, Run, print_table, show_progress
from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument, RoundDocument
    from imatgen_flows.metrics.baselines import Crystals
    from imatgen_flows.sources.generator import Generated
    from imatgen_flows.sources.target_cell import Limits, Proposal, TargetCell

SOURCES = ("generator", "substitution", "rattled", "random")
SAMPLERS = ("slerp", "random", "perturb")
GENERATION_FILE = "generation.json"


@dataclass(frozen=True)
class Settings:
    """What the user asked for; see the options."""

    sources: list[str]
    samplers: list[str]
    round_number: int
    limits: Limits
    per_source: int
    substituted: int
    fmax: float | None
    clean_first: bool
    seed: int


def generation(
    run: Run,
    per_source: Annotated[int, typer.Option(min=1, help="Structures that each source may relax.")] = 100,
    sites: Annotated[str, typer.Option(metavar="LOW-HIGH", help="Sites of the cells that are compared.")] = "10-20",
    ratio: Annotated[float, typer.Option(min=0, help="Anions to a cation, at least.")] = 1.33,
    sources: Annotated[str, typer.Option(help="What is compared.")] = ",".join(SOURCES),
    samplers: Annotated[str, typer.Option(help="Of the generator.")] = ",".join(SAMPLERS),
    round_number: Annotated[
        int,
        typer.Option(
            "--round",
            min=0,
            help="Of the generator's candidates. Later ones have learnt from relaxations that are not counted here.",
        ),
    ] = 0,
    substituted: Annotated[
        int,
        typer.Option(min=0, help="Substituted structures of each composition that are relaxed, to know them again."),
    ] = 5,
    fmax: Annotated[
        float | None,
        typer.Option(min=0.01, help="Relax to this force, eV/A; looser than the campaign's own, it costs less."),
    ] = None,
    clean_first: Annotated[
        bool,
        typer.Option(
            "--clean-first",
            help="Of the generator's candidates, those that decode cleanly come first.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of all choices.")] = 0,
    as_json: AsJson = False,
) -> None:
    """How many new structures near the hull the generator finds, and other sources with as many relaxations."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.sources.random_search import check_random_search
    from imatgen_flows.sources.target_cell import Limits

    chosen = _names(sources, SOURCES, "--sources")
    low, high = _range(sites)
    if "random" in chosen:
        check_random_search()
    show_progress()
    settings = Settings(
        sources=chosen,
        samplers=_names(samplers, SAMPLERS, "--samplers"),
        round_number=round_number,
        limits=Limits(low, high, ratio),
        per_source=per_source,
        substituted=substituted,
        fmax=fmax,
        clean_first=clean_first,
        seed=seed,
    )
    found = _compare(run, settings)
    write_atomic(run / GENERATION_FILE, json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print_generation(found)
        typer.echo(f"Each structure, and the strata: {run / GENERATION_FILE}")


def _names(text: str, known: tuple[str, ...], option: str) -> list[str]:
    """Read a list of names; their order is ours."""
    given = {name.strip() for name in text.split(",") if name.strip()}
    if not given or given - set(known):
        unknown = f"knows no {', '.join(sorted(given - set(known)))}" if given else "names nothing"
        raise InputError(f"{option} {unknown}; choose from {','.join(known)}.")
    return [name for name in known if name in given]


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--sites is {text!r}; give the fewest and the most sites, for example 10-20.")
    return int(match[1]), int(match[2])


def _compare(run: Path, settings: Settings) -> dict[str, Any]:
    """Relax what each source proposes, and judge it; what is relaxed is kept for another call."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument
    from imatgen_flows.jobs.evaluators import evaluators, hull_of
    from imatgen_flows.jobs.provenance import finished_round, parent
    from imatgen_flows.metrics.baselines import compare, evaluate_sources, strata, summarise
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.sources.generator import choose_generated
    from imatgen_flows.sources.target_cell import TargetCell

    directory = RunDirectory.open(run)
    screen = CampaignConfig.from_file(run / "campaign.yaml").screen
    if settings.fmax:
        screen = screen.model_copy(update={"fmax": settings.fmax})
    store = ArtifactStore(run / "artifacts")
    finished = finished_round(store, directory.ledger)
    references = parent(store, finished, ReferenceDocument, "extend_hull")
    dataset = parent(store, finished, DatasetDocument, "build_dataset", "extend_dataset")
    labels = parent(store, finished, LabelDocument, "label_dataset", "extend_labels")
    hull = hull_of(references, screen, run)

    limits = settings.limits
    drawn = _generated(finished, settings)
    candidates = choose_generated(drawn, limits, settings.per_source, settings.seed, settings.clean_first)
    if not candidates:
        raise InputError(
            f"{run}: no new candidate of {', '.join(settings.samplers)} in round {settings.round_number} has {limits.low} "
            f"to {limits.high} sites and {limits.ratio:g} anions to a cation or more. Widen --sites or --ratio."
        )
    targets = [TargetCell.of(candidate.structure) for candidate in candidates]
    crystals = _crystals(dataset, labels, references)
    within = {name: cell for name, cell in crystals.substituted.items() if limits.admit(cell)}
    proposals = _propose(settings.sources, candidates, targets, within, crystals, settings.seed)
    relax, _ = evaluators(store, screen)
    kinds = {item.sample: f"{item.method}, {'clean' if item.clean else 'doubtful'}" for item in candidates}
    trials, relaxed = evaluate_sources(targets, proposals, crystals, hull, relax, settings.substituted, kinds)
    summaries = {source: summarise(found) for source, found in trials.items()}
    return {
        "system": directory.system,
        "potential": hull.potential,
        "fmax": screen.fmax,
        "max_steps": screen.max_steps,
        "settings": asdict(settings),
        "targets": [target.formula for target in targets],
        "sources": {
            source: summary | {"unfilled": len(targets) - summary["structures"], "strata": strata(trials[source])}
            for source, summary in summaries.items()
        },
        "differences": {
            source: compare(trials["generator"], found, settings.seed)
            for source, found in trials.items()
            if "generator" in trials and source != "generator"
        },
        "relaxed_substitutions": relaxed,
        "evaluations_total": relaxed["evaluations"] + sum(item["evaluations"] for item in summaries.values()),
        "trials": {source: [trial.to_row() for trial in found] for source, found in trials.items()},
    }


def _generated(finished: RoundDocument, settings: Settings) -> list[Generated]:
    """Gather the candidates of a round that a campaign may relax: valid, and unlike all that it knew by then."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.candidate import Candidate
    from imatgen_flows.candidates.states import Stage
    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.sources.generator import Generated

    return [
        Generated(record.sample, record.origin.method, Structure.from_dict(record.structure or {}), record.is_clean)
        for record in (Candidate(**row) for row in read_lines(finished.candidates))
        if record.id  # what is not valid has none
        and record.round == settings.round_number
        and record.origin.method in settings.samplers
        and not (record.rejection and record.rejection.stage is Stage.UNIQUENESS)
    ]


def _crystals(dataset: DatasetDocument, labels: LabelDocument, references: ReferenceDocument) -> Crystals:
    """Gather what a find must differ from; what the campaign itself has learnt on the way is no part of it."""
    from pymatgen.core import Structure

    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.metrics.baselines import Crystals

    known: dict[str, Structure] = {}
    substituted: dict[str, Structure] = {}
    relaxed: dict[str, Structure] = {}
    for row in (*read_lines(dataset.crystals), *(read_lines(dataset.held_out) if dataset.held_out else ())):
        if not row.get("learnt"):
            (known if row["known"] else substituted)[row["id"]] = Structure.from_dict(row["structure"])
    for row in read_lines(references.phases):
        structure = Structure.from_dict(row["structure"])
        if row["kind"] != "substituted":
            known[f"{row['name']} (relaxed)"] = structure
        elif row["state"] == "relaxed":
            relaxed[row["name"]] = structure
    energies = {
        row["id"]: row["energy_per_atom"] for row in read_lines(labels.labels) if row["energy_per_atom"] is not None
    }
    return Crystals(known, substituted, energies, relaxed)


def _propose(
    sources: list[str],
    candidates: list[Generated],
    targets: list[TargetCell],
    within: Mapping[str, Structure],
    crystals: Crystals,
    seed: int,
) -> dict[str, list[Proposal | None]]:
    """Let each source fill the targets; but for plain substitution, with what equals nothing known before it relaxes."""
    from imatgen_flows.candidates.novelty import Novelty
    from imatgen_flows.sources.random_search import propose_random
    from imatgen_flows.sources.rattled import propose_rattled
    from imatgen_flows.sources.substitution import propose_substituted
    from imatgen_flows.sources.target_cell import Proposal, propose_unknown

    plain = propose_substituted(targets, within, seed)
    judge = crystals.judge({})

    def is_new(structure: Structure) -> bool:
        return judge.classify(structure)[0] is Novelty.NEW

    propose: dict[str, Callable[[], list[Proposal | None]]] = {
        "generator": lambda: [Proposal(candidate.sample, candidate.structure) for candidate in candidates],
        "substitution": lambda: plain,
        "rattled": lambda: propose_unknown(propose_rattled, plain, seed, is_new),
        "random": lambda: propose_unknown(propose_random, targets, seed, is_new),
    }
    return {source: propose[source]() for source in sources}


def _print_generation(found: dict[str, Any]) -> None:
    sources, limits = found["sources"], found["settings"]["limits"]
    print_table(
        f"{len(found['targets'])} cells of {limits['low']} to {limits['high']} sites, at least {limits['ratio']:g} anions to "
        f"a cation; E_hull of {found['potential']} in eV/atom",
        ["", *sources],
        _lines(found),
    )
    typer.echo("In brackets 95 % intervals: of shares by Wilson, of differences by bootstrap over the cells.")
    if "substitution" in sources:
        typer.echo("Plain substitution finds nothing new by definition.")
    for source, item in sources.items():
        if item["not_as_asked"]:
            typer.echo(
                f"{source}: cells of another formula of the stratum, where their own ran out: {item['not_as_asked']}."
            )
        if item["unfilled"]:
            typer.echo(f"{source}: cells left empty: {item['unfilled']}.")
    wanted = found["settings"]["per_source"]
    if len(found["targets"]) < wanted:
        typer.echo(f"{wanted} were asked for: the round has no more valid, different candidates within these limits.")
    relaxed = found["relaxed_substitutions"]
    typer.echo(
        f"{relaxed['structures']} substituted structures known as relaxed, {relaxed['reused']} of them relaxed before, "
        f"{relaxed['failed']} failed: {relaxed['evaluations']:,} evaluations."
    )
    if relaxed["unique"]:
        typer.echo(
            f"{relaxed['missed']} of {relaxed['unique']} different ones of the source substitution equal nothing else "
            "that is known: a like share of what is called new may be substitution too."
        )
    typer.echo(f"{found['evaluations_total']:,} energy evaluations in all.")


def _lines(found: dict[str, Any]) -> list[list[str]]:
    """Give the lines of the table: a name, and the cell of each source."""
    levels = [f"{level['e_above_hull']:g}" for level in next(iter(found["sources"].values()))["within"]]
    names = [
        "relaxed",
        "evaluations, mean",
        *(f"new within {level}" for level in levels),
        "  in 1,000 evaluations",
        f"unique within {levels[-1]}",
        "E_hull, median",
        "equal to others or known",
    ]
    if any(found["differences"].values()):
        names += [*(f"generator's lead,\nwithin {level}" for level in levels), "  in 1,000 evaluations"]
    columns = [_cells(item, found["differences"].get(source, [])) for source, item in found["sources"].items()]
    return [list(line) for line in itertools.zip_longest(names, *columns, fillvalue="")]


def _cells(item: dict[str, Any], differences: list[dict[str, Any]]) -> list[str]:
    """Give the column of one source."""
    last = item["within"][-1]
    cells = [
        f"{item['relaxed']} of {item['structures']}",
        _number(item["mean_evaluations"], ".0f"),
        *(_share(level) for level in item["within"]),
        _number(last["per_1000_evaluations"], ".2f"),
        str(last["unique"]),
        _number(item["median_e_above_hull"], ".3f"),
        _number(item["collapsed"], ".0%"),
    ]
    cells += [_difference(row["share"], row["interval"], "+.0%") for row in differences]
    cells += [_difference(r["per_1000_evaluations"], r["per_1000_interval"], "+.2f") for r in differences[-1:]]
    return cells


def _share(level: dict[str, Any]) -> str:
    low, high = level["interval"]
    return f"{level['new']}: {level['share']:.0%}\n({low:.0%} to {high:.0%})" if level["share"] is not None else ""


def _difference(value: float, interval: list[float] | None, form: str) -> str:
    if interval is None:
        return "neither any"
    low, high = interval
    return f"{value:{form}}\n({low:{form}} to {high:{form}})"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
