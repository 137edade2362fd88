"""How near expected volumes are to known ones, for chemical systems that the table was not fitted to.

A fifth of the chemical systems is held out; the table is fitted to the compounds of the others. `--write` fits it to all and
writes it where the package reads it.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from make_distance_table import ELEMENTS, ORIGIN, RADII, read
from numpy.typing import NDArray
from pymatgen.analysis.structure_prediction.volume_predictor import DLSVolumePredictor
from pymatgen.core import Element, Structure

from imatgen_flows.crystals.volumes import smallest_volume

WITHIN, TARGET = 0.2, 0.9  # of the volume, and the share of binaries and ternaries
NOISE = 0.1  # of a compound's volume; a larger deviation counts less
PRIOR_V, PRIOR_W = 5.0, 8.0  # A^3, how far v may lie from that of the radius, and w from 0, without data
ALLEN = {"He": 4.16, "Ne": 4.79, "Ar": 3.24}  # L. C. Allen, J. Am. Chem. Soc. 111, 9003 (1989): Pauling gives none
COMMON = 100  # compounds of an element whose volume the line through radii is fitted to
TABLE = Path("imatgen_flows/crystals/data/volumes.json")
HELD_OUT = 0.2  # of the chemical systems
SAMPLE = 2000  # held-out crystals whose bonds are looked at


@dataclass
class Compounds:
    """Compositions as fractions of the elements (n, 96), and volumes in A^3 an atom (n,)."""

    fractions: NDArray[np.float64]
    volumes: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.bool_]) -> Compounds:
        return Compounds(self.fractions[rows], self.volumes[rows])


def compounds_of(rows: list[dict]) -> Compounds:
    """Count the elements of crystals, and measure their volumes."""
    fractions = np.zeros((len(rows), len(ELEMENTS)))
    for fraction, row in zip(fractions, rows, strict=True):
        np.add.at(fraction, [ELEMENTS.index(symbol) for symbol in row["species"]], 1 / row["nsites"])
    return Compounds(fractions, np.array([abs(np.linalg.det(row["lattice"])) / row["nsites"] for row in rows]))


def electronegativities() -> NDArray[np.float64]:
    """List the electronegativities of the elements up to Cm: Pauling's, and Allen's of the light noble gases."""
    return np.array([ALLEN.get(symbol) or Element(symbol).X for symbol in ELEMENTS])


def fit(known: Compounds) -> dict[str, list[float]]:
    """Fit v and w of each element (A^3): relative deviations, large ones with less weight, and ridges as priors.

    Without data v follows from a line in the cube of the covalent radius, and w is 0.
    """
    x = electronegativities()
    difference = (known.fractions @ x)[:, None] - x
    design = np.hstack([known.fractions, known.fractions * difference]) / known.volumes[:, None]
    common = (known.fractions > 0).sum(axis=0) >= COMMON
    ridge = (NOISE / np.repeat([PRIOR_V, PRIOR_W], len(ELEMENTS))) ** 2
    prior = np.zeros(2 * len(ELEMENTS))
    weights = np.ones(len(known.volumes))
    for _ in range(20):
        weighted = design * weights[:, None]
        solution = np.linalg.solve(weighted.T @ design + np.diag(ridge), weighted.sum(axis=0) + ridge * prior)
        weights = np.minimum(1, NOISE / np.maximum(np.abs(design @ solution - 1), 1e-9))
        v = solution[: len(ELEMENTS)]
        prior[: len(ELEMENTS)] = np.polyval(np.polyfit(RADII[common] ** 3, v[common], 1), RADII**3)
    columns = np.round([v, solution[len(ELEMENTS) :], x], 2).T.tolist()
    return dict(zip(ELEMENTS, columns, strict=True))


def table_text(table: dict[str, list[float]]) -> str:
    """Write a table as JSON, one line an element."""
    head = {
        "about": "For each element: v (A^3), w (A^3) and the electronegativity X (Pauling; Allen of He, Ne, Ar). The volume "
        "of a compound is the sum over its atoms of v + w (X_mean - X).",
        **ORIGIN,
        "made_by": "python benchmarks/volumes.py --data mp_structures.jsonl.gz --write",
    }
    lines = ",\n".join(f'  "{symbol}": {json.dumps(values)}' for symbol, values in table.items())
    return json.dumps(head, indent=1)[:-2] + ',\n "elements": {\n' + lines + "\n }\n}\n"


def predict(table: dict[str, list[float]], fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute volumes in A^3 an atom from a table, as `expected_volume` does for one composition."""
    v, w, x = np.array(list(table.values())).T
    return np.asarray(fractions @ v + (fractions * ((fractions @ x)[:, None] - x)) @ w)


def bond_length_volume(crystal: Structure) -> float:
    """Predict the volume in A^3 by pymatgen's data-mined lattice scheme; NaN where it finds no bond."""
    try:
        return float(DLSVolumePredictor(2.0).predict(crystal))
    except ValueError:
        return float("nan")


def share_within(ratios: NDArray[np.float64]) -> str:
    """Describe ratios of expected to known volumes."""
    error = np.abs(ratios - 1)
    return (
        f"{np.mean(error < WITHIN):6.1%} within 20 %, {np.mean(error < WITHIN / 2):6.1%} within 10 %, {len(ratios):6,}"
    )


def main() -> int:
    """Fit, test, print the shares, and fail where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="mp_structures.jsonl.gz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="write the table of the package, fitted to all")
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    rows = list(read(given.data))
    known = compounds_of(rows)
    if given.write:
        TABLE.write_text(table_text(fit(known)))
    systems, number = np.unique(["-".join(sorted(set(row["species"]))) for row in rows], return_inverse=True)
    held_out = (random.random(len(systems)) < HELD_OUT)[number]
    elements = (known.fractions > 0).sum(axis=1)
    expected = predict(fit(known[~held_out]), known.fractions)
    ratios = expected / known.volumes
    for name, chosen in {"binaries": elements == 2, "ternaries": elements == 3, "four and five": elements > 3}.items():
        print(f"{name:26}", share_within(ratios[held_out & chosen]))
    tested = held_out & (elements <= 3)
    print(f"{'binaries and ternaries':26}", share_within(ratios[tested]))

    sample = random.permutation(np.flatnonzero(tested))[:SAMPLE]
    crystals = [Structure(rows[n]["lattice"], rows[n]["species"], rows[n]["frac_coords"]) for n in sample]
    volumes = np.array([crystal.volume for crystal in crystals])
    composition = ratios[sample] * volumes
    scaled = [crystal.copy() for crystal in crystals]
    for crystal, volume in zip(scaled, composition, strict=True):
        crystal.scale_lattice(volume)
    print(f"{'of these, composition':26}", share_within(composition / volumes))
    with_bonds = np.maximum(composition, [smallest_volume(crystal) for crystal in crystals]) / volumes
    print(f"{'of these, with bonds':26}", share_within(with_bonds))
    mined = np.array([bond_length_volume(crystal) for crystal in scaled]) / volumes
    print(f"{'of these, pymatgen':26}", share_within(mined))
    return int(np.mean(np.abs(ratios[tested] - 1) < WITHIN) < TARGET)


if __name__ == "__main__":
    sys.exit(main())
