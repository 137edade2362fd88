"""Phonons of crystals whose verdict is known, and of the shortlist of a run, by several potentials.

Each crystal is relaxed tightly and its phonons are computed as a campaign computes them. OUT.json is written after each
crystal; the same command continues it. The tables of the notebook's page are printed at the end.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pymatgen.core import Lattice, Structure
from result_tables import table

import imatgen_flows as imf
from imatgen_flows.energetics.phonon_cells import PhononSettings
from imatgen_flows.energetics.phonons import STABLE_ABOVE, phonons_of_many
from imatgen_flows.energetics.soft_mode import follow_soft_modes
from imatgen_flows.io.files import write_atomic

KNOWN = {  # crystal: whether it is stable at 0 K
    "MgO": True,
    "silicon": True,
    "rutile TiO2": True,
    "hcp titanium": True,
    "cubic BaTiO3": False,
    "bcc titanium": False,
}


def crystal(name: str) -> Structure:
    """Build a crystal of `KNOWN` at about its measured cell."""
    cubic = Lattice.cubic
    if name == "MgO":
        return Structure.from_spacegroup("Fm-3m", cubic(4.21), ["Mg", "O"], [[0] * 3, [0.5] * 3])
    if name == "silicon":
        return Structure.from_spacegroup("Fd-3m", cubic(5.43), ["Si"], [[0] * 3])
    if name == "rutile TiO2":
        return Structure.from_spacegroup(
            136, Lattice.tetragonal(4.594, 2.959), ["Ti", "O"], [[0] * 3, [0.305, 0.305, 0]]
        )
    if name == "hcp titanium":
        return Structure.from_spacegroup("P6_3/mmc", Lattice.hexagonal(2.95, 4.68), ["Ti"], [[1 / 3, 2 / 3, 0.25]])
    if name == "cubic BaTiO3":
        return Structure.from_spacegroup("Pm-3m", cubic(4.0), ["Ba", "Ti", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]])
    return Structure.from_spacegroup("Im-3m", cubic(3.25), ["Ti"], [[0] * 3])


def main() -> int:
    """Compute what is missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--potentials", nargs="+", default=["chgnet", "sevennet"])
    parser.add_argument("--run", type=Path, help="a finished run, whose shortlist is computed too")
    parser.add_argument("--best", type=int, default=10, help="of its shortlist, lowest E_hull first")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    subjects = {name: crystal(name) for name in KNOWN}
    if args.run:
        run = imf.Run.open(args.run)
        for _, row in run.shortlist.head(args.best).iterrows():
            name = f"{row['formula']} {row['relaxed_id']} ({row['e_above_hull']:.3f})"
            subjects[name] = run.structure(row["relaxed_id"], stage="relaxed")
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for potential in args.potentials:
        for name, structure in subjects.items():
            if (key := f"{potential}|{name}") not in results:
                results[key] = compute(structure, potential, args.workers)
                write_atomic(args.out, json.dumps(results))
    print_tables(results, args.potentials, list(subjects))
    return 0


def compute(structure: Structure, potential: str, workers: int) -> dict[str, Any]:
    """Compute the phonons of one crystal, and follow its soft mode."""
    (found,) = phonons_of_many([structure], potential, PhononSettings(), workers=workers)
    row = {
        name: value
        for name, value in asdict(found).items()
        if name not in ("bands", "density", "soft_mode", "structure")
    }
    row["sites"], row["followed"] = len(structure), None
    if found.soft_mode:
        (mode,) = follow_soft_modes([found.soft_mode], potential, workers=workers)
        row["followed"] = {name: value for name, value in asdict(mode).items() if name != "structure"}
    return row


def print_tables(results: dict[str, Any], potentials: list[str], names: list[str]) -> None:
    """Print one table of the known crystals and of the run's for each potential, and the share that is stable."""
    for potential in potentials:
        lines, stable = [], []
        for name in names:
            row = results[f"{potential}|{name}"]
            if name not in KNOWN:
                stable.append(bool(row["is_stable"]))
            lowest, interpolated = row["lowest_frequency"], row["lowest_interpolated"]
            at = " ".join(f"{component:.3g}" for component in row["wave_vector"])
            led = row["followed"]
            lines.append(
                [
                    name,
                    "" if row["is_stable"] is None else "stable" if row["is_stable"] else "unstable",
                    row["reason"] if lowest is None else f"{lowest:.2f} ({at})",
                    "" if interpolated is None else f"{interpolated:.2f}",
                    "" if row["free_energy"] is None else f"{1000 * row['free_energy']:.1f}",
                    f"{row['displacements']} of {row['supercell_atoms']}",
                    f"{row['relaxation_evaluations']} + {row['displacements']} + {row['check_evaluations']}",
                    f"{row['seconds']:.0f}",
                    f"{led['detail']}, {led['evaluations']} evaluations" if led else row["detail"],
                ]
            )
        head = ["crystal", "verdict", "lowest, THz (at)", "interpolated", "F at 300 K, meV/atom", "supercells of atoms"]
        print(f"\n{potential}, threshold {STABLE_ABOVE:g} THz\n")
        print(table([*head, "evaluations: relaxation, supercells, checks", "s", "note"], lines))
        if stable:
            print(f"\n{sum(stable)} of {len(stable)} of the run are dynamically stable.")


if __name__ == "__main__":
    sys.exit(main())
