"""The command `imatgen screen`: structures of any program on the hull of a finished run."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imatgen_flows.cli.options import AsJson
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.errors import ImatgenError, InputError, Interrupted

if TYPE_CHECKING:
    from imatgen_flows.jobs.screen_structures import Screening

SHOWN = 10  # shortlisted crystals that are printed

app = typer.Typer()


@app.command()
def screen(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="Files of crystals of any format, or folders of them.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory to write to; it continues there.")],
    on: Annotated[
        Path | None,
        typer.Option(
            "--on", metavar="RUN", help="Run directory of a finished run of their system.", show_default="none"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Relax structures of any program, and place them on the hull of a finished run, beside what it knows."""
    from imatgen_flows.jobs.screen_files import screen_files
    from imatgen_flows.run import Run

    if on is None:
        raise InputError(
            "on which run? Give --on RUN, the directory of a finished run of the same system: its potential, its hull and "
            "the phases that it knows are used."
        )
    show_progress()
    run = Run.open(on)
    run.require_finished()
    try:
        screening = screen_files(run.path, files, out)
    except (KeyboardInterrupt, Interrupted) as stop:
        said, number = (str(stop), stop.signal) if isinstance(stop, Interrupted) else ("stopped.", signal.SIGINT)
        command = ["imatgen", "screen", *map(str, files), "--on", str(on), "--out", str(out)]
        raise Interrupted(f"{said} `{shlex.join(command)}` continues; what is relaxed stays so.", number) from stop
    if as_json:
        typer.echo(json.dumps({"run": str(run.path), "directory": str(out), **screening.ledger.to_dict()}))
    else:
        _print(screening, out)
        _print_basis(run.path)
    _refuse_empty(screening, out, run.config.screen.threshold)


def _print(screening: Screening, out: Path) -> None:
    from imatgen_flows.candidates.classes import Novelty
    from imatgen_flows.candidates.states import Stage, State
    from imatgen_flows.candidates.table import count_by, rows_of

    counted = count_by(screening.table, "state", "novelty", "rejected_stage", "rejected_reason")
    lines = [
        [
            State(state).label,
            f"{Stage(stage).label}: {reason.replace('_', ' ')}" if stage else Novelty(novelty).label,
            f"{number:,}",
        ]
        for (state, novelty, stage, reason), number in counted.items()
    ]
    lines.append(["Entered", "", f"{screening.ledger.samples:,}"])
    print_table(f"{out}: what became of the crystals", ["state", "novelty, or reason", "crystals"], lines)
    best = rows_of(screening.table.slice(0, screening.ledger.states[State.SHORTLISTED.value]))
    if best:
        rows = [
            [*(str(row[name]) for name in ("formula", "spacegroup")), f"{row['e_above_hull']:.3f}"]
            + [str(row[name]) for name in ("file", "sample", "relaxed_id")]
            for row in best[:SHOWN]
        ]
        columns = ["formula", "space group", "E_hull, eV/atom", "file", "sample", "relaxed id"]
        print_table(f"shortlist: {len(best)}, on the scale {best[0]['scale']}; the best", columns, rows)
    typer.echo(f"wrote {out}/screened.csv, screened.parquet, ledger.json and structures/")


def _print_basis(run: Path) -> None:
    from imatgen_flows.report.run_directory import RunDirectory

    found = RunDirectory.open(run)
    typer.echo(found.basis.sentence(found.pressure))


def _refuse_empty(screening: Screening, out: Path, threshold: float) -> None:
    """End with exit status 1 where nothing is shortlisted, as a run does."""
    from imatgen_flows.candidates.states import State

    states = screening.ledger.states
    if states[State.SHORTLISTED.value]:
        return
    if relaxed := states[State.SCREENED.value]:
        raise ImatgenError(
            f"no result: none of {relaxed:,} relaxed crystals is new and within {threshold:g} eV/atom of the hull "
            f"(`screen.threshold` of the run). The columns `novelty` and `e_above_hull` of {out}/screened.csv say what they "
            "are."
        )
    raise ImatgenError(
        f"no result: none of {screening.ledger.samples:,} crystals could be relaxed. The column `rejected_detail` of "
        f"{out}/screened.csv says why."
    )
