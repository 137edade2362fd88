"""What all still figures share: paper, colours, markers, and names as matplotlib writes them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.report.run_directory import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1c2127", "#5f6872", "#d5d9de"
STABLE, UNSTABLE = "#3f7fbf", "#c3bcb0"
# Okabe and Ito's colours, safe for colour-blind readers; every class also has a marker of its own
CLASSES = {
    "new": ("New", "#c44e00", "o"),
    "substituted": ("Reached by substitution", "#0072b2", "D"),
    "known": ("Known", "#00805c", "s"),
    "duplicate": ("Duplicate", "#8a8f96", "x"),
}
METHODS = (("#39434e", "^"), ("#a0458f", "x"), ("#b08400", "s"), ("#00827f", "D"), ("#8a5a44", "v"))
STYLE: Any = {
    "font.size": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "mathtext.default": "regular",
}


def canvas(
    width: float, height: float, rows: int = 1, columns: int = 1, widths: tuple[float, ...] = ()
) -> tuple[Figure, Any]:
    """Return a figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, len(widths) or columns, width_ratios=widths or None)


def save(painters: Mapping[str, Callable[[], Figure]], folder: Path) -> list[Path]:
    """Draw figures into a folder as PNG files, each whole or not at all.

    Raises
    ------
    InputError
        Where the folder cannot be written to.
    """
    import matplotlib

    files = []
    try:
        folder.mkdir(exist_ok=True)
        with matplotlib.rc_context(STYLE):
            for name, paint in painters.items():
                buffer = io.BytesIO()
                paint().savefig(buffer, format="png", dpi=200)
                files.append(write_whole(folder / f"{name}.png", buffer.getvalue()))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    return files


def columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Turn points into the two lists that matplotlib wants, empty or not."""
    return [x for x, _ in points], [y for _, y in points]


def formula(text: str) -> str:
    """Write a formula with its numbers lowered."""
    return re.sub(r"(\d+)", r"$_{\1}$", text)


def spacegroup(symbol: str) -> str:
    """Write a space group with its bars and screw axes."""
    return re.sub(r"_(\d)", r"$_\1$", re.sub(r"-(\d)", r"$\\bar{\1}$", symbol or ""))
