"""The commands of `imatgen evaluate`, and how the command line shows tables and progress."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imatgen_flows.evaluation.vacancies import Compound, Control, Deficient, End, VacancyCheck
    from imatgen_flows.schemas import DatasetDocument, ReferenceDocument, RoundDocument

evaluate_app = typer.Typer(help="Measure how good a run, or the method, is.", no_args_is_help=True)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for pipes.")]

RELAXED_STATES = ("screened", "shortlisted", "validated")


@evaluate_app.command()
def reconstruction(
    run: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="A run directory.")] = None,
    intrinsic: Annotated[
        bool, typer.Option("--intrinsic", help="Of the images alone, without any network; needs no run.")
    ] = False,
    system: Annotated[str, typer.Option(help="Elements for --intrinsic, for example V,O.")] = "V,O",
    as_json: AsJson = False,
) -> None:
    """How exactly crystals come back: from images (--intrinsic), or from the trained networks of a run."""
    if intrinsic:
        rows = _intrinsic(system.split(","))
        title = "intrinsic error: crystals to images and back"
    elif run is not None:
        rows = _reconstruction_of(run)
        title = f"reconstruction: {run}"
    else:
        raise InputError("give a run directory, or --intrinsic.")
    if as_json:
        typer.echo(json.dumps(rows))
        return
    # one column a row: there are many more numbers than things compared
    names = list(rows[0])
    print_table(
        title,
        [names[0], *(str(row[names[0]]) for row in rows)],
        [[name.replace("_", " "), *(_cell(row[name]) for row in rows)] for name in names[1:]],
    )


@evaluate_app.command()
def vacancies(
    run: Run,
    at_most: Annotated[int | None, typer.Option(min=1, help="Candidates to check, nearest to the hull first.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every candidate, not only the best of each composition.")
    ] = False,
    control: Annotated[
        int,
        typer.Option(
            min=0, help="Controls for each candidate: as many random crystals of its filled cell, relaxed alike."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random crystals.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put the cation that A(n-1)B(n) lacks back, relax, and look whether a known crystal AB comes out. Binary systems."""
    from imatgen_flows.artifacts import write_atomic
    from imatgen_flows.discovery.sources import check_random_search
    from imatgen_flows.report.vacancies import VACANCIES_FILE

    if control:
        check_random_search()
    show_progress()
    found = _check_vacancies(run, at_most, everything, control, seed)
    write_atomic(run / VACANCIES_FILE, json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["candidates"]:
        _print_vacancies(found)
    else:
        cation, anion = found["cation"], found["anion"]
        typer.echo(f"no new candidate of {run} lacks one {cation} to be {cation}{anion}: nothing to put back.")


@evaluate_app.command()
def rediscovery(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Finished runs that held known phases out, for example with several seeds."
        ),
    ],
    relax: Annotated[
        int,
        typer.Option(min=0, help="Known phases for which the sample that may be it is relaxed, in each tier and run."),
    ] = 0,
    around: Annotated[int, typer.Option(min=1, help="Samples around the own code of each known phase.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Which known phases, held out from the networks, are found again; plain substitution beside it."""
    from imatgen_flows.artifacts import write_atomic

    show_progress()
    found = _rediscover(runs, relax, around)
    write_atomic(runs[0] / "rediscovery.json", json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for held_out in found["summary"]:
        _print_rediscovery(found, held_out)
    typer.echo(f"{found['evaluations_total']:,} energy evaluations. Each known phase: {runs[0] / 'rediscovery.json'}")


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table for people."""
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut short cannot be looked up
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def show_progress() -> None:
    """Print what our own modules log, and nothing of the libraries."""
    import logging

    ours = logging.getLogger("imatgen_flows")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _intrinsic(system: list[str]) -> list[dict[str, Any]]:
    from imatgen_flows.crystals import load_templates, substitute
    from imatgen_flows.evaluation.reconstruction import intrinsic

    made, _left_out = substitute(load_templates(n_elements=len(system))[0], system)
    return intrinsic([item.structure for item in made], sorted(system))


def _reconstruction_of(run: Path) -> list[dict[str, Any]]:
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(run).metrics["reconstruction"]
    rows = []
    for path in ("images", "images_held_out", "generator", "generator_held_out"):
        if path in found:
            summary = dict(found[path])
            errors = {f"rmse {name}": value for name, value in summary.pop("rmse").items()}
            del summary["median"]
            rows.append({"path": path.replace("_", " ")} | summary | errors)
    return rows


def _check_vacancies(run: Path, at_most: int | None, everything: bool, each: int, seed: int) -> dict[str, Any]:
    """Check the candidates of a finished run against its dataset; what is relaxed is kept for another call."""
    from imatgen_flows.artifacts import ArtifactStore
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.evaluation.vacancies import (
        SITES,
        cation_and_anion,
        check_controls,
        check_vacancies,
        relax_compounds,
    )
    from imatgen_flows.jobs.evaluators import evaluators, hull_of
    from imatgen_flows.jobs.lineage import finished_round, parent
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.schemas import DatasetDocument, ReferenceDocument

    directory = RunDirectory.open(run)
    pair = cation_and_anion(directory.system)
    screen = CampaignConfig.from_file(run / "campaign.yaml").screen
    store = ArtifactStore(run / "artifacts")
    finished = finished_round(store, directory.ledger)
    references = parent(store, finished, ReferenceDocument, "extend_hull")
    dataset = parent(store, finished, DatasetDocument, "build_dataset", "extend_dataset")
    hull = hull_of(references, screen, run)

    candidates, left_out = _deficient(finished, pair, everything)
    checks: list[VacancyCheck] = []
    controls: list[Control] = []
    counts: dict[str, int] = {}
    if candidates := candidates[:at_most]:
        relax, price = evaluators(store, screen)
        compounds, counts = relax_compounds(_compounds(dataset, references, pair), relax)
        checks = check_vacancies(candidates, compounds, hull, pair[0], relax, price)
        if each:
            controls = check_controls(checks, compounds, hull, relax, each, seed)
    spent = {"filled": sum(check.evaluations for check in checks), "dataset": counts.get("evaluations", 0)}
    spent["control"] = sum(control.evaluations for control in controls)
    return {
        "cation": pair[0],
        "anion": pair[1],
        "potential": hull.potential,
        "fmax": screen.fmax,
        "max_steps": screen.max_steps,
        "sites_at_most": SITES,
        "candidates": [check.to_row() for check in checks],
        "returned": _returned(checks),
        "controls": [control.to_row() for control in controls],
        "controls_returned": _returned(controls) if controls else None,
        "seed": seed,
        "left_out": left_out,
        "dataset": counts,
        "evaluations": spent,
        "evaluations_total": sum(spent.values()),
    }


def _returned(ends: Sequence[End]) -> dict[str, Any]:
    """Count those that came back as a crystal of the dataset or a known one; the share with its 95 % interval."""
    from imatgen_flows.evaluation.statistics import rate_interval

    again = sum(bool(end.match) for end in ends)
    return {"count": again, "of": len(ends), "interval": rate_interval(again, len(ends))}


def _deficient(
    finished: RoundDocument, pair: tuple[str, str], everything: bool
) -> tuple[list[Deficient], list[dict[str, str]]]:
    """Gather the new candidates that lack one cation, nearest to the hull first, and those that lack several."""
    from pymatgen.core import Structure

    from imatgen_flows.artifacts import read_lines
    from imatgen_flows.evaluation.vacancies import Deficient, deficient_cell, is_deficient, lowest_of_each
    from imatgen_flows.schemas import Candidate

    found: dict[str, Deficient] = {}
    left_out = []
    for record in (Candidate(**row) for row in read_lines(finished.candidates)):
        if record.state.value not in RELAXED_STATES or record.novelty != "new" or record.relaxed is None:
            continue
        structure = Structure.from_dict(record.relaxed)
        if not is_deficient(structure.composition, *pair):
            continue
        cell = deficient_cell(structure, *pair)
        if cell is None:
            formula = structure.composition.formula.replace(" ", "")
            left_out.append({"id": record.id, "formula": formula, "reason": f"its cell lacks more than one {pair[0]}"})
            continue
        energy = record.energies[0]  # the potential's, whatever DFT said
        found[record.id] = Deficient(record.id, cell, energy.energy_per_atom, energy.e_above_hull)
    lowest = sorted(found.values(), key=lambda item: item.e_above_hull)
    return (lowest if everything else lowest_of_each(lowest)), left_out


def _compounds(dataset: DatasetDocument, references: ReferenceDocument, pair: tuple[str, str]) -> list[Compound]:
    """Gather the crystals AB: of the dataset as made, of the hull as relaxed; what was learnt on the way is none."""
    from pymatgen.core import Composition, Structure

    from imatgen_flows.artifacts import read_lines
    from imatgen_flows.evaluation.vacancies import Compound

    wanted = Composition(dict.fromkeys(pair, 1)).reduced_formula
    found = {
        row["id"]: Compound(row["id"], row["known"], Structure.from_dict(row["structure"]))
        for row in read_lines(dataset.crystals)
        if row["formula"] == wanted and not row.get("learnt")
    }
    for row in read_lines(references.phases):
        structure = Structure.from_dict(row["structure"])
        if row["state"] != "relaxed" or structure.composition.reduced_formula != wanted:
            continue
        known = row["kind"] != "substituted"
        name = f"known:{row['name']}" if known else row["name"]
        made = found[name].made if name in found else None
        found[name] = Compound(name, known, made, structure, row["energy_per_atom"])
    return list(found.values())


def _rediscover(paths: list[Path], relax: int, around: int) -> dict[str, Any]:
    """Look for the held-out phases in each run, and count over all of them."""
    from imatgen_flows.evaluation.rediscovery import MATCHERS
    from imatgen_flows.evaluation.rediscovery_tables import known_rows, summarise
    from imatgen_flows.jobs.rediscovery import FinishedRun, rediscover, refuse_unlike
    from imatgen_flows.report.run_directory import RunDirectory

    runs = [FinishedRun.open(path, RunDirectory.open(path).ledger) for path in paths]
    refuse_unlike(runs)
    findings = [rediscover(run, around, relax) for run in runs]
    screen = runs[0].config.screen
    return {
        "matchers": {
            name: dict(zip(("ltol", "stol", "angle_tol"), value, strict=True)) for name, value in MATCHERS.items()
        },
        "samples_around_each": around,
        "potential": screen.potential,
        "fmax": screen.fmax,
        "max_steps": screen.max_steps,
        "runs": [{"run": item.run, "seed": item.seed, "held_out": item.held_out} for item in findings],
        "summary": summarise(findings),
        "known": known_rows(findings),
        "evaluations_total": sum(tier.evaluations for item in findings for tier in item.tiers.values()),
    }


def _print_rediscovery(found: dict[str, Any], held_out: str) -> None:
    group = found["summary"][held_out]
    rows = [
        [f"{name}, {state}", _joined(tier[among], among) if among else "", *_rates(tier, state)]
        for name, tier in group["tiers"].items()
        for state, among in (("before", "samples"), ("after", "relaxed"), ("either", ""))
        if state == "before" or tier["default"]["after"]
    ]
    rows += [
        [f"substitution, {name}", _joined(entry["structures"], "structures"), *_rates(entry)]
        for name, entry in group["substitution"].items()
    ]
    print_table(
        f"{group['known']} known phases in {group['clusters']} prototypes, {held_out} held out; runs: {group['runs']}\n"
        "found: share and its 95 % interval",
        ["search", "among", "default", "loose", "prototypes (loose)"],
        rows,
    )
    for tier in group["tiers"]:
        reasons = Counter(row[held_out][tier]["loose"].get("reason") for row in found["known"])
        missed = ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in reasons.most_common() if why)
        typer.echo(f"{tier}: " + (f"not found by any run: {missed}." if missed else "all were found."))


def _rates(entry: dict[str, Any], state: str | None = None) -> list[str]:
    """Give a row's cells: what either matcher found, and of the loose one the prototypes."""
    default, loose = ((entry[name][state] if state else entry[name]) for name in ("default", "loose"))
    return [_rate(rates) for rates in (default, loose, loose["clusters"])]


def _rate(rates: dict[str, Any]) -> str:
    low, high = rates["interval"]
    found = ", ".join(str(count) for count in rates["found"])
    several = f"; {rates['union']} in any" if len(rates["found"]) > 1 else ""
    return f"{found}{several}\n{100 * rates['rate']:.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def _joined(numbers: list[int], noun: str) -> str:
    return f"{', '.join(f'{number:,}' for number in numbers)} {noun}"


def _print_vacancies(found: dict[str, Any]) -> None:
    rows, counts = found["candidates"], found["dataset"]
    print_table(
        f"{found['cation']} put back; energies of {found['potential']} in eV/atom, lengths in A",
        ["candidate", "cell\nfilled", "E_hull\nfilled", "unrelaxed\nrelaxed", "void", "equals", "rms", "cost"],
        [
            [
                row["id"],
                f"{row['formula']}\n{row['filled_formula']}",
                f"{row['e_above_hull']:.3f}\n{_number(row['filled_e_above_hull'])}",
                f"{_number(row['unrelaxed_energy_per_atom'])}\n{_number(row['filled_energy_per_atom'])}",
                f"{row['site_distance']:.2f}",
                "" if row["reason"] else f"{row['match']} ({row['match_state']})" if row["match"] else "none",
                _number(row["rms"]),
                f"{row['evaluations']:,}",
            ]
            for row in rows
        ],
    )
    for row in rows:
        if row["reason"]:
            typer.echo(f"{row['id']}: none of {row['sites']} sites relaxed ({row['reason']})")
    compound, controls = f"{found['cation']}{found['anion']}", found["controls"]
    typer.echo(f"{_share(found['returned'])} return a {compound} of the dataset or a known one.")
    if controls:
        empty = sum(not row["cells"] for row in controls)
        typer.echo(
            f"{_share(found['controls_returned'])} controls do: the lowest of as many random crystals of the same cell"
            f"{f'; for {empty} there was no random crystal' if empty else ''}."
        )
    else:
        typer.echo("How often random crystals of these cells do so too, --control tells.")
    typer.echo(
        f"{counts['structures']} such structures: {counts['relaxed']} relaxed before, {counts['relaxed_now']} now, "
        f"{counts['equal']} equal to one of these as made, {counts['failed']} failed."
    )
    typer.echo(
        f"{found['evaluations_total']:,} energy evaluations: {found['evaluations']['filled']:,} for the candidates, "
        f"{found['evaluations']['dataset']:,} for the dataset, {found['evaluations']['control']:,} for controls."
    )
    if found["left_out"]:
        typer.echo(f"left out: {len(found['left_out'])} whose cells lack more than one {found['cation']}")


def _share(returned: dict[str, Any]) -> str:
    low, high = returned["interval"]
    return f"{returned['count']} of {returned['of']} ({low:.0%} to {high:.0%})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
