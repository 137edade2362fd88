"""Style of the still figures: size, colours, markers, and names as matplotlib writes them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE = "#1c2127", "#5f6872", "#d5d9de"
STABLE, UNSTABLE = "#3f7fbf", "#c3bcb0"
# Okabe and Ito's colours, safe for colour-blind readers; every class also has a marker of its own
CLASSES = {
    Novelty.NEW: ("#c44e00", "o"),
    Novelty.SUBSTITUTED: ("#0072b2", "D"),
    Novelty.KNOWN: ("#00805c", "s"),
    Novelty.DUPLICATE: ("#8a8f96", "x"),
}
SAMPLER_STYLES = (("#39434e", "^"), ("#a0458f", "x"), ("#b08400", "s"), ("#00827f", "D"), ("#8a5a44", "v"))
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
                files.append(write_atomic(folder / f"{name}.png", buffer.getvalue()))
    except OSError as error:
        raise InputError(f"{folder}: cannot be written to: {error.strerror or error}.") from error
    return files


def columns(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Split points into a list of x and a list of y, for matplotlib; both may be empty."""
    return [x for x, _ in points], [y for _, y in points]


def formula(text: str) -> str:
    """Write a formula with its numbers lowered."""
    return re.sub(r"(\d+)", r"$_{\1}$", text)


def spacegroup(symbol: str) -> str:
    """Write a space group with its bars and screw axes."""
    return re.sub(r"_(\d)", r"$_\1$", re.sub(r"-(\d)", r"$\\bar{\1}$", symbol or ""))
