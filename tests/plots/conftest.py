"""A small table of candidates with what is hard to plot: missing numbers, marks of HTML, a class without a member."""

from __future__ import annotations

import pandas
import pytest


@pytest.fixture
def candidates():
    """Six samples of A-B, five of them relaxed."""
    rows = [
        ("s0", "AB", "new", -0.02, "slerp", "P-1", 2),
        ("s1", "AB3", "new", 0.0, "prior", "P4_2/mnm", 136),
        ("s2", "AB", "substituted", 0.024, "slerp", "P1", 1),
        ("s3", "A2B3", "known", 0.3, "slerp", "P1", 1),
        ("s4", "A2B3", "new", 2.5, "prior", "P1", 1),
        ("s5", "", "", float("nan"), "prior", "", 0),
    ]
    names = ["sample", "formula", "novelty", "e_above_hull", "sampler", "spacegroup", "spacegroup_number"]
    table = pandas.DataFrame(rows, columns=names).set_index("sample")
    table["formation_energy"] = table["e_above_hull"] - 1
    table["relaxed_id"] = [f"id{number}" for number in range(6)]
    table["novelty_match"] = ["", "", "<b>mp-1</b>", "", "", ""]
    table["validated_e_above_hull"] = [0.05, *[float("nan")] * 5]
    table["validated_scale"] = ["DFT", *[""] * 5]
    table["latent_x"] = [0.0, 1.0, 2.0, float("nan"), None, 5.0]
    table["latent_y"] = table["latent_x"]
    table["state"] = ["validated", "shortlisted", "screened", "screened", "screened", "rejected"]
    table["rejected_stage"] = ["", "", "", "", "", "decode"]
    table["rejected_reason"] = ["", "", "", "", "", "no_cell"]
    table["rejected_detail"] = ["", "", "", "", "", "<i>bad</i>"]
    return table


@pytest.fixture
def references():
    """Phases of A-B: three on the hull, one above it, and one whose energy is not known."""
    energies = [("A", 0.0, 0.0, 0.0), ("AB", 0.5, -1.0, 0.0), ("B", 1.0, 0.0, 0.0), ("AB3", 0.75, -0.2, 0.3)]
    energies.append(("A2B", 1 / 3, float("nan"), float("nan")))
    return [
        {
            "formula": name,
            "name": name,
            "kind": "compound",
            "source": "X & Y",
            "fractions": {"A": 1 - fraction, "B": fraction},
            "formation_energy": energy,
            "e_above_hull": distance,
        }
        for name, fraction, energy, distance in energies
    ]
