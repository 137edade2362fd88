"""The progress of a run on a terminal: one line that is kept up to date, below the messages of the run."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.text import Text

from imatgen_flows.cli.output import show_progress

if TYPE_CHECKING:
    from imatgen_flows.managers.run_progress import Display
    from imatgen_flows.managers.time_left import RunProgress

REFRESHED = 2  # times a second that the line is drawn anew, at most


@contextmanager
def show_run(quiet: bool) -> Iterator[Display | None]:
    """Show the progress of a run: a line on a terminal, lines of the log elsewhere, which None stands for.

    Parameters
    ----------
    quiet : show warnings alone
    """
    show_progress()
    if quiet:
        logging.getLogger("imatgen_flows").setLevel(logging.WARNING)
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with ProgressLine(Console(stderr=True)) as line:
        yield line


class ProgressLine:
    """A line of a terminal that says where a run is; messages of the log are printed above it.

    Parameters
    ----------
    console : of the terminal
    """

    def __init__(self, console: Console) -> None:
        self.progress: RunProgress | None = None
        self.live = Live(console=console, refresh_per_second=REFRESHED, transient=True, get_renderable=self._line)

    def __enter__(self) -> ProgressLine:
        ours = logging.getLogger("imatgen_flows")
        handler = _AboveLine(self.live.console)
        handler.setFormatter(ours.handlers[0].formatter)
        ours.handlers = [handler]
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()
        show_progress()

    def begin(self, progress: RunProgress) -> None:
        """See `Display`."""
        self.progress = progress

    def count(self, progress: RunProgress) -> None:
        """See `Display`."""
        self.progress = progress

    def end(self, progress: RunProgress) -> None:
        """See `Display`; what came of the stage stays on the terminal."""
        from imatgen_flows.managers.run_progress import ended_line

        self.progress = progress
        self.live.console.print(Text(ended_line(progress)), soft_wrap=True)

    def _line(self) -> Text:
        """Write the line; it is called by the thread of the display too, between two reports."""
        if (progress := self.progress) is None:
            return Text("reading the campaign ...", no_wrap=True, overflow="ellipsis")
        stage = progress.current
        parts = [progress.place, progress.up_to_date().times, stage.now if stage else ""]
        return Text(" · ".join(part for part in parts if part), no_wrap=True, overflow="ellipsis")


class _AboveLine(logging.Handler):
    """Print messages above the line."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(Text(self.format(record)), soft_wrap=True)
