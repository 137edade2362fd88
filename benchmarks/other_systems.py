"""Campaigns of several chemical systems, with their published phases handed in as a file, each up to its report.

Whether all published phases are on the diagram, and whether a candidate that a run places below its hull lies above the
hull of these phases alone. That hull is computed here apart: each phase is relaxed as the run relaxes, from its file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Structure

import imatgen_flows as imf
from imatgen_flows.jobs.campaign_inputs import published_phases

SYSTEMS = ("Fe-S", "Pt-O", "Zr-N", "Li-P-O", "Pd-H", "Cu-Al")
FILES = ("binary_templates.jsonl.gz", "mp_structures.jsonl.gz")
SETTINGS = {
    "version": 2,
    "limits": {"max_sites": 12, "max_edge": 10.0},
    "model": {"preset": "default", "epochs": 0.2, "seed": 7},
    "sampling": {"slerp": 60, "prior": 60, "perturb": 30},
    "screen": {"potential": "chgnet", "fmax": 0.05, "at_most": 16},
}


@dataclass
class Outcome:
    """What a campaign came to: numbers of phases and candidates, energies in eV/atom."""

    system: str
    given: int
    excluded: dict[str, int]
    missing: list[str]
    failed: int
    valid: int
    relaxed: int
    shortlisted: int
    lowest: float
    below_hull: int
    above_published: int
    deviation: float

    def row(self) -> str:
        """Write a row of the table."""
        reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(self.excluded.items())) or "0"
        return (
            f"| {self.system} | {self.given} | {reasons} | {self.failed} | {len(self.missing)} | {self.valid} "
            f"| {self.relaxed} | {self.shortlisted} | {self.lowest:+.3f} | {self.below_hull} | {self.above_published} "
            f"| {1000 * self.deviation:.2f} |"
        )


def published(system: str, folder: Path) -> list[dict]:
    """Read the compounds of a system and of those within it, one row an id."""
    elements, rows = set(system.split("-")), {}
    for name in FILES:
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if len(set(row["species"])) > 1 and set(row["species"]) <= elements:
                    rows.setdefault(row["id"], row)
    return list(rows.values())


def run(system: str, rows: list[dict], folder: Path) -> Path:
    """Run the campaign of a system to its report; one that is finished is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    known, campaign, directory = folder / "published.jsonl", folder / "campaign.yaml", folder / "run"
    known.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    section = {"system": system.split("-"), "known": {"source": "file", "path": known.name}}
    campaign.write_text(yaml.safe_dump(SETTINGS | section), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("imatgen")), "run", str(campaign), "--directory", str(directory)]
    subprocess.run([*command, "--resume"] if directory.exists() else command, check=False)
    if not (directory / "report.html").is_file():
        raise SystemExit(f"{system}: the campaign left no report")
    return directory


def examine(system: str, rows: list[dict], directory: Path) -> Outcome:
    """Compare the hull of a run with one that is computed here from the published phases."""
    finished = imf.Run.open(directory)
    hull, table, screen = finished.hull, finished.candidates, finished.config.screen
    _, exclusions = published_phases(finished.config.system, finished.config.known)
    structures = {row["id"]: Structure(row["lattice"], row["species"], row["frac_coords"]) for row in rows}
    relaxations = imf.relax(
        list(structures.values()), potential=screen.potential, fmax=screen.fmax, max_steps=screen.max_steps
    )
    energies = {
        name: relaxation.energy_per_atom
        for name, relaxation in zip(structures, relaxations, strict=True)
        if relaxation.energy_per_atom is not None and relaxation.state == "relaxed"
    }
    placed = {phase["name"]: phase["energy_per_atom"] for phase in hull.table()}
    excluded = {exclusion.id: exclusion.reason for exclusion in exclusions}
    compounds = [entry(structures[name].composition, energy) for name, energy in energies.items()]
    elements = [entry(Composition(symbol), energy) for symbol, energy in hull.elemental.items()]
    diagram = PhaseDiagram([*elements, *compounds])
    relaxed = table[table["e_above_hull"].notna()]
    below = relaxed[relaxed["e_above_hull"] < 0]
    places = [
        diagram.get_e_above_hull(entry(Composition(row.formula), row.energy_per_atom), allow_negative=True)
        for row in below.itertuples()
    ]
    return Outcome(
        system=system,
        given=len(rows),
        excluded=Counter(excluded.values()),
        missing=[name for name in energies if name not in placed and name not in excluded],
        failed=len(rows) - len(energies),
        valid=int((table["rejected_stage"] != "validity").sum()),
        relaxed=len(relaxed),
        shortlisted=len(finished.shortlist),
        lowest=float(relaxed["e_above_hull"].min()),
        below_hull=len(below),
        above_published=sum(place >= 0 for place in places),
        deviation=max(abs(placed[name] - energies[name]) for name in energies if name in placed),
    )


def entry(composition: Composition, energy_per_atom: float) -> PDEntry:
    """Make an entry of pymatgen's phase diagram."""
    return PDEntry(composition, energy_per_atom * composition.num_atoms)


HEAD = """| system | published | excluded | not relaxed | missing on the diagram | valid | relaxed | shortlisted \
| lowest, eV/atom | below the hull | of them above the published | energies differ by, meV/atom |
|---|---|---|---|---|---|---|---|---|---|---|---|""".replace("\\\n", "")


def main() -> int:
    """Run or resume the campaigns, print a table, and fail where one misses the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="of the campaigns, one folder each")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {' and '.join(FILES)}")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    options = parser.parse_args()
    outcomes = []
    for system in options.systems.split(","):
        rows = published(system, options.data)
        outcomes.append(examine(system, rows, run(system, rows, options.directory / system)))
    print(HEAD, *[outcome.row() for outcome in outcomes], sep="\n")
    return int(any(outcome.missing or outcome.above_published for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
