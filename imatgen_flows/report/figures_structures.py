"""Still figures of crystal structures, in rows."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imatgen_flows.errors import InputError
from imatgen_flows.report.canvas import INK, MUTED, canvas, formula, spacegroup
from imatgen_flows.report.compositions import Chosen, lowest
from imatgen_flows.report.documents import RelaxedRow
from imatgen_flows.report.drawing import DrawingError, element_style, rotation, scene
from imatgen_flows.report.markup import energy
from imatgen_flows.report.run_directory import RunDirectory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def structures(run: RunDirectory, count: int = 10) -> Figure:
    """Draw the new candidates of lowest E_hull."""
    return _in_rows(run, run.new[:count], f"New structures of lowest {run.quantity}; $E_{{hull}}$ by {run.scale}")


def polymorphs(run: RunDirectory, chosen: Chosen) -> Figure:
    """Draw the lowest polymorph of each composition; Figure 8 of the paper."""
    rows = lowest(run, chosen)
    heading = f"{chosen.title}, the lowest polymorph of each; $E_{{hull}}$ by {run.scale}"
    scales = sorted({row["validated_scale"] for row in rows if row["validated_e_above_hull"] is not None})
    if scales:
        heading += f", below it by {', '.join(scales)}"
    return _in_rows(run, rows, heading, columns=4)


def _in_rows(run: RunDirectory, crystals: Sequence[RelaxedRow], heading: str, columns: int = 5) -> Figure:
    from matplotlib.lines import Line2D

    columns = min(columns, len(crystals))
    rows = -(-len(crystals) // columns)
    width = max(2.1 * columns, 4.2)
    lines = textwrap.wrap(heading, width=int(13 * width))
    figure, panels = canvas(width, 2.45 * rows + 0.2 * len(lines), rows, columns)
    flat = np.ravel(np.asarray(panels, dtype=object))
    for axes in flat:
        axes.set_axis_off()
    for axes, row in zip(flat, crystals, strict=False):
        try:
            _draw(axes, run.cif(row))
        except (DrawingError, InputError) as error:
            axes.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True, transform=axes.transAxes, color=MUTED)
        axes.set_title(_caption(row), loc="center", fontsize=8.5)
    symbols = sorted({symbol for row in crystals for symbol in re.findall("[A-Z][a-z]?", row["formula"])})
    handles = [
        Line2D(
            [], [], marker="o", linestyle="", color=element_style(symbol)[0], markeredgecolor=INK, markeredgewidth=0.5
        )
        for symbol in symbols
    ]
    figure.legend(handles, symbols, loc="outside lower center", ncols=len(symbols))
    figure.suptitle("\n".join(lines), fontsize=10)
    return figure


def _caption(row: RelaxedRow) -> str:
    lines = [f"{formula(row['formula'])}  {spacegroup(row['spacegroup'])}"]
    lines.append(f"$E_{{hull}}$ {energy(row['e_above_hull'])} eV/atom")
    if row["validated_e_above_hull"] is not None:
        lines.append(f"{row['validated_scale']}: {energy(row['validated_e_above_hull'])}")
    return "\n".join(lines)


def _draw(axes: Axes, cif: str) -> None:
    """Draw one crystal as polygons, the farthest first."""
    from matplotlib.collections import PolyCollection

    drawing = scene(cif)
    turn = rotation()
    atoms, edges = drawing.positions @ turn.T, drawing.edges @ turn.T
    # depth, corners, fill, line
    parts: list[tuple[float, np.ndarray, str, str]] = [(e[:, 2].mean(), e[:, :2], "none", MUTED) for e in edges]
    for first, second in drawing.bonds:
        middle = (atoms[first] + atoms[second]) / 2
        for end in (first, second):
            colour, radius = element_style(drawing.symbols[end])
            along = middle - atoms[end]
            start = atoms[end] + 0.8 * radius * along / np.linalg.norm(along)  # from the surface of the ball
            across = np.array([-along[1], along[0]]) * 0.08 / max(np.hypot(*along[:2]), 1e-9)
            corners = [start[:2] + across, middle[:2] + across, middle[:2] - across, start[:2] - across]
            parts.append(((start[2] + middle[2]) / 2, np.array(corners), colour, INK))
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    for symbol, atom in zip(drawing.symbols, atoms, strict=True):
        colour, radius = element_style(symbol)
        parts.append((atom[2], atom[:2] + radius * circle, colour, INK))
    parts.sort(key=lambda part: part[0])
    _, corners, fills, lines = zip(*parts, strict=True)
    axes.add_collection(PolyCollection(corners, facecolors=fills, edgecolors=lines, linewidths=0.5), autolim=False)
    reach = max(np.abs(atoms[:, :2]).max(), np.abs(edges[..., :2]).max()) + 0.5
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
