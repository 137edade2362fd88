"""Style of the still figures: size, colours, markers, and names as matplotlib writes them."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.plots.style import CLASS_SYMBOLS, colour, sampler_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, RULE, STABLE, UNSTABLE = map(colour, ("ink", "muted", "rule", "stable", "unstable"))
CLASSES = {novelty: (colour(novelty.value), marker) for novelty, marker in zip(CLASS_SYMBOLS, "oDsx", strict=True)}
SAMPLER_STYLES = tuple((sampler_colour(place), marker) for place, marker in enumerate("^xsDv"))
LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
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
    """Write a formula with its numbers lowered, as characters: matplotlib takes much longer for its mathematics."""
    return text.translate(LOWERED)


def spacegroup(symbol: str) -> str:
    """Write a space group with its bars and screw axes."""
    return re.sub(r"_(\d)", r"$_\1$", re.sub(r"-(\d)", r"$\\bar{\1}$", symbol or ""))
