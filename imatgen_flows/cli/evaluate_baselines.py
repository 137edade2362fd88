"""The command `imatgen evaluate baselines`: sources of candidates beside each other, at equal budgets."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imatgen_flows.cli.options import AsJson, parse_names
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.errors import InputError
from imatgen_flows.metrics import BASELINES_FILE
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.registry import Registry
from imatgen_flows.sources.registry import MIXED, SOURCES, SUBSTITUTION, fillers

if TYPE_CHECKING:
    from imatgen_flows.metrics.baselines import BaselineSettings

# options of each of the two comparisons, which the other does not have
OF_RUN = (
    "per_source", "sites", "ratio", "sources", "samplers", "round_number", "substituted", "fmax", "clean_first", "seed",
)  # fmt: skip
OF_CAMPAIGN = ("seeds", "arms", "relaxations", "batches", "out")


def baselines(
    context: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|CAMPAIGN.yaml", help="A run directory, or a campaign file that is run by each arm."
        ),
    ],
    per_source: Annotated[int, typer.Option(min=1, help="Structures that each source may relax.")] = 100,
    sites: Annotated[str, typer.Option(metavar="LOW-HIGH", help="Sites of the cells that are compared.")] = "10-20",
    ratio: Annotated[float, typer.Option(min=0, help="Anions to a cation, at least.")] = 1.33,
    sources: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help=f"Sources that are compared, with commas between. {fillers().help()}",
            show_default=", ".join(fillers().names),
        ),
    ] = None,
    samplers: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help=f"Samplers of the generator, with commas between. {SAMPLERS.help()}",
            show_default=", ".join(SAMPLERS.names),
        ),
    ] = None,
    round_number: Annotated[
        int,
        typer.Option(
            "--round",
            min=0,
            help="Round of the generator's candidates. In later ones the networks were trained on relaxations that are not "
            "counted here.",
        ),
    ] = 0,
    substituted: Annotated[
        int,
        typer.Option(
            min=0, help="Substituted structures of each composition that are relaxed, so that they count as known."
        ),
    ] = 5,
    fmax: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Relax to this force, eV/A; a larger one than the campaign's costs less.",
            show_default="that of the campaign",
        ),
    ] = None,
    clean_first: Annotated[
        bool,
        typer.Option("--clean-first", help="Choose those of the generator's candidates first that decode cleanly."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random choices.")] = 0,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS",
            help="Of a campaign file: seeds of its campaigns, for example 11,12,13.",
            show_default="that of the campaign",
        ),
    ] = None,
    arms: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Of a campaign file: arms that are compared, with commas between: single sources, "
            f"`{'`, `'.join(SOURCES.names)}`; and those that share among these, {Registry('arm', *MIXED).help()}",
            show_default="all, `files` where the campaign has any",
        ),
    ] = None,
    relaxations: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of a campaign file: relaxations of each campaign.",
            show_default="`screen.at_most` of the campaign",
        ),
    ] = None,
    batches: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of a campaign file: parts of each campaign, each of which knows what those before it found.",
            show_default="`sources.batches` of the campaign, or 8",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Of a campaign file: directory of the runs and of the results.", show_default="none"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the new structures near the hull that the generator and other sources find with equally many relaxations.

    Of a run, sources fill the same cells. Of a campaign file, a campaign is run for each arm and seed: single sources, the
    genetic algorithm among them, and all of them together with equal or adaptive shares. Stopped, it goes on with the same
    command.
    """
    if target.is_file() or target.suffix in (".yaml", ".yml"):
        from imatgen_flows.cli.evaluate_arms import compare_campaigns

        _refuse(context, OF_RUN, f"{target} is a campaign file", "--seeds, --arms, --relaxations, --batches and --out")
        compare_campaigns(target, out, as_json, seeds, arms, relaxations, batches)
        return
    _refuse(context, OF_CAMPAIGN, f"{target} is a run directory", "a campaign file")
    from imatgen_flows.metrics.baselines import BaselineSettings
    from imatgen_flows.sources.target_cell import CellRange

    settings = BaselineSettings(
        sources=parse_names(sources, fillers(), "--sources"),
        samplers=parse_names(samplers, SAMPLERS, "--samplers"),
        round_number=round_number,
        limits=CellRange(*_range(sites), ratio),
        per_source=per_source,
        substituted=substituted,
        fmax=fmax,
        clean_first=clean_first,
        seed=seed,
    )
    _compare_sources(target, settings, as_json)


def _compare_sources(run: Path, settings: BaselineSettings, as_json: bool) -> None:
    """Let sources fill the cells of a run; print and write what each found."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.jobs.run_inputs import baseline_inputs
    from imatgen_flows.metrics.baselines import run_benchmark
    from imatgen_flows.report.run_directory import RunDirectory

    for source in settings.sources:
        SOURCES[source].check()
    show_progress()
    system = RunDirectory.open(run).system
    inputs = baseline_inputs(run, settings.round_number, settings.samplers, settings.fmax)
    result = run_benchmark(inputs.candidates, inputs.known, inputs.hull, inputs.relax, settings, inputs.volume_ratio)
    found = {
        "system": system,
        "potential": inputs.hull.potential,
        "fmax": inputs.screen.fmax,
        "max_steps": inputs.screen.max_steps,
        "settings": settings.to_dict(),
    } | result.to_dict()
    text = json.dumps(found, indent=1)
    write_atomic(run / BASELINES_FILE, text)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _print_benchmark(json.loads(text))
        typer.echo(f"Each structure, and the strata: {run / BASELINES_FILE}")


def _refuse(context: typer.Context, names: tuple[str, ...], said: str, instead: str) -> None:
    """Refuse options of the comparison that is not meant.

    Raises
    ------
    InputError
        Where one was given.
    """
    options = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise InputError(f"{said}, for which {options[name]} means nothing: it goes with {instead}.")


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)-(\d+)", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"--sites is {text!r}; give the fewest and the most sites, for example 10-20.")
    return int(match[1]), int(match[2])


def _print_benchmark(found: dict[str, Any]) -> None:
    sources, limits = found["sources"], found["settings"]["limits"]
    print_table(
        f"{len(found['targets'])} cells of {limits['low']} to {limits['high']} sites, at least {limits['ratio']:g} anions to "
        f"a cation; E_hull of {found['potential']} in eV/atom",
        ["", *sources],
        _lines(found),
    )
    typer.echo("In brackets 95 % intervals: of shares by Wilson, of differences by bootstrap over the cells.")
    if SUBSTITUTION in sources:
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
        f"{relaxed['structures']} substituted structures count as known, {relaxed['reused']} of them relaxed before, "
        f"{relaxed['failed']} failed: {relaxed['evaluations']:,} evaluations."
    )
    if relaxed["unique"]:
        typer.echo(
            f"{relaxed['missed']} of {relaxed['unique']} different ones of the source substitution equal nothing else "
            "that is known: a like share of what is called new may be substitution too."
        )
    typer.echo(f"{found['evaluations_total']:,} energy evaluations in all.")


def _lines(found: dict[str, Any]) -> list[list[str]]:
    """Format the lines of the table: a name, and the cell of each source."""
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
    """Format the column of one source."""
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
