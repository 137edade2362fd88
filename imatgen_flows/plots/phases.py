"""What plots of hulls share: phases of the references, points of candidates, and the boxes over them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import isfinite
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.plots.style import (
    CANDIDATE_HOVER,
    E_FORM,
    E_HULL,
    Trace,
    candidate_hover,
    class_marker,
    energy,
    formula,
    legend_name,
    rank,
)

if TYPE_CHECKING:
    import pandas

ON_HULL = 1e-6  # eV/atom
FORMATION, DISTANCE = "formation_energy", "e_above_hull"
Phase = Mapping[str, Any]  # a reference: formula, name, kind, source, fractions, formation_energy and e_above_hull


def has_energy(phase: Phase) -> bool:
    """Tell whether the energy of a reference is known."""
    return all(phase[key] is not None and isfinite(phase[key]) for key in (FORMATION, DISTANCE))


def candidate_points(novelty: Novelty, rows: pandas.DataFrame) -> Trace:
    """Return the points of the candidates of a class, which the caller places."""
    return {
        "mode": "markers",
        "name": legend_name(novelty.label, len(rows)),
        "legendrank": rank(novelty),
        "marker": class_marker(novelty, 10 if novelty is Novelty.NEW else 8),
        "customdata": candidate_hover(rows),
        "hovertemplate": f"{CANDIDATE_HOVER}<extra>{novelty.label}</extra>",
    }


def describe(phase: Phase) -> str:
    """Say what a reference is, for the box over it."""
    name = "" if phase["name"] == phase["formula"] else f"  {escape(phase['name'])}"
    return (
        f"<b>{formula(phase['formula'])}</b>{name}<br>reference phase, {escape(phase['kind'])}"
        f"<br>{E_HULL} {energy(phase[DISTANCE])} eV/atom<br>{E_FORM} {energy(phase[FORMATION])} eV/atom"
        f"<br>{escape(phase['source'])}"
    )
