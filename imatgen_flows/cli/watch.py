"""`imatgen report RUN --serve`: watch a run in a browser, and its report when it is finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from imatgen_flows.errors import InputError

if TYPE_CHECKING:
    from imatgen_flows.managers.time_left import RunProgress
    from imatgen_flows.report.watch import Snapshot, WatchedStage
    from imatgen_flows.run import Run


def serve_run(directory: Path, port: int) -> None:
    """Serve the page of a run on this machine until Ctrl-C.

    Raises
    ------
    InputError
        Where it is no run directory, or the port is taken.
    """
    from imatgen_flows.report import build_report
    from imatgen_flows.report.watch import HOST, open_server
    from imatgen_flows.run import Run

    run = Run.open(directory)
    with open_server(lambda: take_snapshot(run.path), lambda: build_report(run.path), port) as server:
        typer.echo(f"{run.config.title}: http://{HOST}:{server.server_port}/ (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            typer.echo("no longer served; a run that goes on is not touched.")


def take_snapshot(directory: Path) -> Snapshot:
    """Look at a run as it is now.

    Raises
    ------
    InputError
        Where it is no run directory any more.
    """
    from imatgen_flows.managers.run_files import RunState
    from imatgen_flows.report.watch import Snapshot
    from imatgen_flows.run import Run

    run = Run.open(directory)
    progress = run.progress
    return Snapshot(
        title=run.config.title,
        state=run.state.label,
        sentence="" if run.state is RunState.RUNNING and progress else run.outlook,
        finished=run.state is RunState.FINISHED,
        place=progress.place if progress else "",
        times=progress.times if progress else "",
        stages=_stages(progress) if progress else (),
        counts=_counts(run),
    )


def _stages(progress: RunProgress) -> list[WatchedStage]:
    from imatgen_flows.managers.time_left import StageState, spell
    from imatgen_flows.report.watch import WatchedStage

    several = bool(progress.stages) and progress.stages[-1].round > 1
    rows = []
    for stage in progress.stages:
        title = f"{stage.title}, round {stage.round}" if several else stage.title
        begun = stage.state in (StageState.RUNNING, StageState.DONE)
        planned = f"about {spell(stage.planned)}" if stage.planned is not None else ""
        now = stage.said if stage.state is StageState.DONE else stage.now
        rows.append(WatchedStage(title, stage.state.label.lower(), now, spell(stage.seconds) if begun else planned))
    return rows


def _counts(run: Run) -> dict[str, int]:
    """Count what a run has drawn, relaxed and found so far; nothing where there is no table yet."""
    try:
        table = run.candidates
        return {
            "samples drawn": len(table),
            "relaxed": int(table["e_above_hull"].notna().sum()),
            "new within the threshold": len(run.shortlist),
        }
    except InputError:
        return {}
