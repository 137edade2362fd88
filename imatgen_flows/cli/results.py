"""The commands for the results of a run: show, compare, report, export."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imatgen_flows.candidates.classes import Selection
from imatgen_flows.cli.options import CAMPAIGN, AsJson, RunPath
from imatgen_flows.cli.output import print_table
from imatgen_flows.errors import ImatgenError

if TYPE_CHECKING:
    from imatgen_flows.report.documents import RelaxedRow
    from imatgen_flows.report.run_directory import RunDirectory

app = typer.Typer()

Only = Annotated[
    Selection,
    typer.Option("--only", help=" ".join(f"`{each.value}`: {each.description}" for each in Selection)),
]
MaxEHull = Annotated[
    float | None, typer.Option("--max-e-hull", metavar="X", help="Up to this E_hull, eV/atom.", show_default="any")
]
BEST = 10  # candidates that are printed when a run ends


class Format(str, Enum):
    """Formats that `export` writes."""

    CIF = "cif"
    POSCAR = "poscar"
    EXTXYZ = "extxyz"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(rich_help_panel=CAMPAIGN)
def show(
    run: RunPath,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="So many at most.")] = 20,
    max_e_hull: MaxEHull = None,
    only: Only = Selection.NEW,
    as_json: AsJson = False,
) -> None:
    """Show the best candidates of a finished run, lowest E_hull first."""
    from imatgen_flows.report.choice import choose_candidates

    found = _finished(run)
    rows = choose_candidates(found, only.value, max_e_hull, top)
    if as_json:
        typer.echo(json.dumps(rows))
    elif rows:
        matching = len(choose_candidates(found, only.value, max_e_hull))
        print_best(found, f"{found.title}: {len(rows)} of {matching} candidates (`{only.value}`)", rows)
        typer.echo(found.basis.sentence(found.pressure))
    if not rows:
        raise ImatgenError(_none_of(only, max_e_hull))


@app.command(rich_help_panel=CAMPAIGN)
def compare(
    run: RunPath,
    other: Annotated[Path, typer.Argument(metavar="OTHER", help="Another run directory.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PAGE.html", help="Write a page too.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put two finished runs beside each other: what differs in settings, finds and cost."""
    from imatgen_flows.report.run_differences import TABLES, difference_tables, write_differences
    from imatgen_flows.run import Run

    found = Run.open(run).compare(Run.open(other))
    if out is not None:
        write_differences(found, out)
    if as_json:
        typer.echo(json.dumps(found.to_dict()))
        return
    for name, rows in difference_tables(found).items():
        if rows:
            print_table(TABLES[name], ["", str(run), str(other)], rows)
    alone = " and ".join(
        f"{len(finds):,} in {where} alone" for finds, where in zip(found.alone, (run, other), strict=True)
    )
    typer.echo(f"New structures: {len(found.common):,} in both by the matcher, {alone}.")
    for note in found.notes:
        typer.echo(note)


@app.command(rich_help_panel=CAMPAIGN)
def report(
    run: RunPath,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Watch the run in a browser on this machine; its report when it is finished."),
    ] = False,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Of --serve; 0 takes a free one.")] = 8765,
) -> None:
    """Build the HTML report of a run anew, or watch a run that goes on."""
    if serve:
        from imatgen_flows.cli.watch import serve_run

        serve_run(run, port)
        return
    from imatgen_flows.report import build_report

    typer.echo(build_report(_finished(run).path))


@app.command(rich_help_panel=CAMPAIGN)
def export(
    run: RunPath,
    fmt: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CIF,
    destination: Annotated[Path | None, typer.Option(help="Directory to write to.", show_default="RUN/export")] = None,
    only: Only = Selection.NEW,
    max_e_hull: MaxEHull = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="So many at most.", show_default="all")
    ] = None,
) -> None:
    """Write the candidates of a run for other programs, lowest E_hull first."""
    from imatgen_flows.report import export_run

    written = export_run(_finished(run).path, fmt.value, destination, only.value, max_e_hull=max_e_hull, top=top)
    for path in written:
        typer.echo(path)
    if not written:
        typer.echo(f"{_none_of(only, max_e_hull)} Nothing was written.", err=True)


def print_result(directory: Path) -> None:
    """Print the best of a run that has just ended."""
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(directory)
    near = f"{found.near} of them within {found.threshold:g} eV/atom of the hull"
    title = f"{found.title}: {len(found.new)} new of {len(found.relaxed)} relaxed, {near}; the lowest"
    print_best(found, title, found.new[:BEST])
    typer.echo(found.basis.sentence(found.pressure))


def _finished(path: Path) -> RunDirectory:
    """Open the results of a finished run; of another one the error says how far it has come, and what to do."""
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.run import Run

    Run.open(path).require_finished()
    return RunDirectory.open(path)


def print_best(found: RunDirectory, title: str, rows: Sequence[RelaxedRow]) -> None:
    """Print a table of candidates that fits into 80 columns."""
    from imatgen_flows.report.evidence import verdict_columns
    from imatgen_flows.report.result_directory import crystal_id

    columns: dict[str, list[Any]] = {
        "formula": [row["formula"] for row in rows],
        "space group": [row["spacegroup"] for row in rows],
        "E_hull": [f"{row['e_above_hull']:.3f}" for row in rows],
        **verdict_columns(rows),
        "sampled by": [row["sampler"] for row in rows],
        "id": [crystal_id(row) for row in rows],
    }
    print_table(f"{title}; E_hull in eV/atom, {found.scale}", list(columns), list(zip(*columns.values(), strict=True)))


def _none_of(only: Selection, max_e_hull: float | None) -> str:
    up_to = "" if max_e_hull is None else f" and within {max_e_hull:g} eV/atom"
    return f"no relaxed candidate is `{only.value}`{up_to}."
