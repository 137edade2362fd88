"""The command `imatgen screen`: structures of any program on the hull of a system, or of a finished run."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imatgen_flows.cli.options import TOOLS, AsJson, parse_path, parse_system
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL
from imatgen_flows.errors import ImatgenError, InputError, Interrupted

if TYPE_CHECKING:
    from imatgen_flows.jobs.comparison import ComparisonSource
    from imatgen_flows.jobs.screen_structures import Screening

SHOWN = 10  # shortlisted crystals that are printed

app = typer.Typer()


@app.command(rich_help_panel=TOOLS)
def screen(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILES...", help="Files of crystals of any format, or folders of them.", parser=parse_path
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Directory to write to; it continues there.", parser=parse_path),
    ],
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="V-O",
            help="Elements: a hull of their published phases is made, and these are not new.",
            show_default="none",
        ),
    ] = None,
    on: Annotated[
        Path | None,
        typer.Option(
            "--on",
            metavar="RUN",
            help="In place of --system: a finished run, whose potential, hull and known structures are used.",
            show_default="none",
        ),
    ] = None,
    potential: Annotated[
        str | None,
        typer.Option(
            "--potential",
            metavar="NAME",
            help="With --system: a potential, or `module:function` of your own.",
            show_default=DEFAULT_POTENTIAL,
        ),
    ] = None,
    known: Annotated[
        list[Path] | None,
        typer.Option(
            "--known",
            metavar="FILE",
            help="With --system: a file or folder of further published phases; may be given again.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Relax structures of any program, place them on a convex hull, and tell which are new: table, report, CIFs."""
    from imatgen_flows.jobs.screen_files import screen_files
    from imatgen_flows.report.screening import build_screening_report

    source, options = _comparison(system, on, potential, known or [])
    show_progress()
    try:
        screening = screen_files(source, files, out)
    except (KeyboardInterrupt, Interrupted) as stop:
        said, number = (str(stop), stop.signal) if isinstance(stop, Interrupted) else ("stopped.", signal.SIGINT)
        command = ["imatgen", "screen", *map(str, files), *options, "--out", str(out)]
        raise Interrupted(f"{said} `{shlex.join(command)}` continues; what is relaxed stays so.", number) from stop
    build_screening_report(out)
    if as_json:
        on_what = {"run": str(on)} if on is not None else {"system": "-".join(source.system)}
        typer.echo(json.dumps({**on_what, "directory": str(out), **screening.ledger.to_dict()}))
    else:
        _print(screening, out, on is not None)
    _refuse_empty(screening, out)


def _comparison(
    system: str | None, on: Path | None, potential: str | None, known: list[Path]
) -> tuple[ComparisonSource, list[str]]:
    """Choose what crystals are compared with; return it with the options that say so."""
    from imatgen_flows.jobs.comparison import FinishedRunSource, PublishedPhases
    from imatgen_flows.run import Run

    if (system is None) == (on is None):
        raise InputError(
            "on which hull? Give either --system V-O, for the published phases of a system, or --on RUN, for all that a "
            "finished run of the system has."
        )
    if on is not None:
        if potential is not None or known:
            raise InputError("--potential and --known go with --system: a run has its own. Leave them out.")
        run = Run.open(on)
        run.require_finished()
        return FinishedRunSource(run.path), ["--on", str(on)]
    assert system is not None
    chosen = potential or DEFAULT_POTENTIAL
    options = ["--system", system, "--potential", chosen, *(part for path in known for part in ("--known", str(path)))]
    return PublishedPhases(parse_system(system), chosen, known), options


def _print(screening: Screening, out: Path, on_run: bool) -> None:
    from imatgen_flows.candidates.outcome import count_outcomes
    from imatgen_flows.candidates.states import State
    from imatgen_flows.candidates.table import rows_of

    lines = [[state, why, f"{number:,}"] for state, why, number in count_outcomes(screening.table)]
    lines.append(["Entered", "", f"{screening.ledger.samples:,}"])
    print_table(f"{out}: what became of the crystals", ["state", "novelty, or reason", "crystals"], lines)
    best = rows_of(screening.table.slice(0, screening.ledger.states[State.SHORTLISTED.value]))
    if best:
        rows = [
            [*(str(row[name]) for name in ("formula", "spacegroup")), f"{row['e_above_hull']:.3f}"]
            + [str(row[name]) for name in ("sample", "relaxed_id")]
            for row in best[:SHOWN]
        ]
        columns = ["formula", "space group", "E_hull, eV/atom", "sample", "relaxed id"]
        print_table(f"shortlist: {len(best)}, on the scale {best[0]['scale']}; the best", columns, rows)
    basis = screening.comparison.hull.basis
    more = "" if on_run else " --known FILE adds published phases of your own."
    typer.echo(f"{basis.sentence(screening.comparison.pressure)}{more} {screening.comparison.meaning_of_new}")
    typer.echo(f"wrote {out}/report.html, screened.csv, screened.parquet and structures/")


def _refuse_empty(screening: Screening, out: Path) -> None:
    """End with exit status 1 where nothing is shortlisted, as a run does."""
    from imatgen_flows.candidates.states import State

    states = screening.ledger.states
    if states[State.SHORTLISTED.value]:
        return
    if relaxed := states[State.SCREENED.value]:
        raise ImatgenError(
            f"no result: none of {relaxed:,} relaxed crystals is new and within "
            f"{screening.comparison.screen.threshold:g} eV/atom of the hull. The columns `novelty` and `e_above_hull` of "
            f"{out}/screened.csv say what they are."
        )
    raise ImatgenError(
        f"no result: none of {screening.ledger.samples:,} crystals could be relaxed. The column `rejected_detail` of "
        f"{out}/screened.csv says why."
    )
