"""Output of the command line: tables for people, and the progress of long commands."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people."""
    Console().print(make_table(title, columns, rows))


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None = None) -> Table:
    """Make a table for people; without a head where the columns have no names."""
    table = Table(
        title=title,
        title_justify="left",
        caption=caption,
        box=box.SIMPLE_HEAD,
        show_header=any(columns),
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        table.add_column(column, overflow="fold")  # a name that is cut short cannot be looked up
    for row in rows:
        table.add_row(*row)
    return table


def show_progress() -> None:
    """Print the log messages of this program, and none of the libraries'."""
    ours = logging.getLogger("imatgen_flows")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    ours.handlers = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False
