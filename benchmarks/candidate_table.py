"""Time, disk and memory that the table of a campaign with many candidates takes, from the samples to the report's funnel.

Candidates are made up: 12 atoms each, with the columns that the jobs write. One in five is valid, one in ten unique, and one
in a hundred relaxed. Each step is done by the functions that the jobs call. Needs 1 GB of disk for a million candidates.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from imatgen_flows.candidates.ledger import Ledger
    from imatgen_flows.candidates.schema import Row
    from imatgen_flows.crystals.arrays import CrystalArrays
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import CandidateTable

MINUTES, GIBIBYTES = 10, 4.0  # targets for a million candidates
BATCH = 50_000  # candidates that are written at once
SITES = 12
VALID, UNIQUE, RELAXED = 5, 10, 100  # one candidate of so many
SCALE = "toy 1"


def make_crystals(number: int, random: np.random.Generator) -> list[CrystalArrays]:
    """Make crystals of vanadium and oxygen with atoms anywhere."""
    from imatgen_flows.crystals.arrays import CrystalArrays

    lattices = 6 * np.eye(3) + random.normal(0, 0.5, (number, 3, 3))
    numbers = random.choice(np.array([8, 23], np.uint8), (number, SITES))
    coords = random.random((number, SITES, 3))
    return [CrystalArrays(*arrays) for arrays in zip(lattices, numbers, coords, strict=True)]


def drawn_rows(start: int, number: int, random: np.random.Generator) -> list[Row]:
    """Write rows as `sample_candidates` does."""
    from imatgen_flows.candidates.candidate import rejection
    from imatgen_flows.candidates.states import Stage, State

    places, quality = random.normal(size=(number, 2)), random.random((number, 4))
    rows: list[Row] = []
    for row, (place, (stability, residual, cell, distance)) in enumerate(zip(places, quality, strict=True), start):
        vanadium = row % (SITES - 1) + 1
        rows.append(
            {
                "sample": f"r0-prior-{row:07d}",
                "round": 0,
                "sampler": "prior",
                "prior": "flow",
                "seed": 7,
                "latent_row": row,
                "parents": [f"mp-{row % 7919}:Ti=V", f"mp-{row % 6007}:Fe=V"],
                "latent_x": float(place[0]),
                "latent_y": float(place[1]),
                "stability": round(float(stability), 4),
                "residual": float(residual),
                "cell_residual": float(cell),
                "count_matches": bool(residual < 0.5),
                "min_distance": float(distance) + 1,
                "repaired": 0,
                "repaired_atoms": [],
                "clean": row % VALID == 0 and bool(residual < 0.3),
                "formula": f"V{vanadium}O{SITES - vanadium}",
                "nsites": SITES,
                "volume_per_atom": 18.0,
            }
        )
        if row % VALID:
            detail = f"{distance:.2f} A between V1 and O{row % SITES}, the limit is 1.00 A"
            rows[-1] |= rejection(Stage.VALIDITY, "too_close", detail)
        else:
            identity = f"{row:012x}"
            rows[-1] |= {"state": State.VALID.value, "id": identity, "spacegroup": "P1", "spacegroup_number": 1}
    return rows


def write_candidates(store: ArtifactStore, number: int) -> CandidateTable:
    """Write all candidates with their structures, batch by batch."""
    from imatgen_flows.jobs.candidate_table import extend_table
    from imatgen_flows.jobs.documents import CandidateTable

    random, table = np.random.default_rng(7), CandidateTable()
    for start in range(0, number, BATCH):
        rows = drawn_rows(start, min(BATCH, number - start), random)
        names = [str(row["sample"]) for row in rows]
        crystals = make_crystals(len(rows), random)
        table = extend_table(store, table, rows, zip(names, crystals, strict=True))
    return table


def filter_valid(store: ArtifactStore, table: CandidateTable) -> CandidateTable:
    """Write for each valid candidate that it is unique or a duplicate, as `filter_candidates` does."""
    from imatgen_flows.candidates.candidate import rejection
    from imatgen_flows.candidates.states import Stage, State
    from imatgen_flows.jobs.candidate_table import candidate_rows, extend_table, samples_in

    rows: list[Row] = []
    for number, row in enumerate(candidate_rows(table, ["id"], samples_in(table, State.VALID))):
        if number % (UNIQUE // VALID):
            found: Row = {"novelty": "duplicate", "novelty_match": row["id"]}
            found |= rejection(Stage.UNIQUENESS, "duplicate", "same as another")
        else:
            found = {"novelty": "new", "novelty_match": "", "state": State.UNIQUE.value}
        rows.append({"sample": row["sample"]} | found)
    return extend_table(store, table, rows)


def choose_unique(table: CandidateTable, at_most: int) -> list[str]:
    """Select unique candidates, as `screen_batches` does."""
    from imatgen_flows.candidates.selection import SELECTION_COLUMNS, select_candidates
    from imatgen_flows.candidates.states import State
    from imatgen_flows.jobs.candidate_table import candidate_rows, samples_in

    unique = candidate_rows(table, SELECTION_COLUMNS, samples_in(table, State.UNIQUE))
    return [str(row["sample"]) for row in select_candidates(unique, at_most)]


def rank_chosen(store: ArtifactStore, table: CandidateTable, samples: list[str]) -> CandidateTable:
    """Write energies and relaxed structures, as `rank_candidates` does."""
    from imatgen_flows.candidates.states import Geometry, State
    from imatgen_flows.candidates.structure_table import iterate_crystals
    from imatgen_flows.jobs.candidate_table import extend_table

    rows: list[Row] = [
        {
            "sample": sample,
            "state": State.SCREENED.value,
            "relaxed_id": f"{number:012x}",
            "evaluations": 30,
            "steps": 29,
            "fmax": 0.04,
            "energy_per_atom": -8.0,
            "formation_energy": -2.0,
            "e_above_hull": number / len(samples),
            "decomposition": "0.6667 O2 molecule + 0.3333 V bcc",
            "scale": SCALE,
        }
        for number, sample in enumerate(samples)
    ]
    decoded = [ref.path() for ref in table.structures[Geometry.DECODED.value]]
    return extend_table(store, table, rows, iterate_crystals(decoded, samples), Geometry.RELAXED)


def count_ledger(table: CandidateTable, number: int) -> Ledger:
    """Count every candidate out once, as `finish_round` does."""
    from imatgen_flows.candidates.ledger import Ledger
    from imatgen_flows.candidates.table import count_by
    from imatgen_flows.jobs.candidate_table import read_candidates
    from imatgen_flows.jobs.finish_round import COUNTED

    ledger = Ledger(samples=number)
    ended = count_by(read_candidates(table, COUNTED), "state", "rejected_stage", "rejected_reason")
    for (state, stage, reason), count in ended.items():
        ledger.count(state, stage, reason, count)
    ledger.check()
    return ledger


def read_all_crystals(table: CandidateTable) -> int:
    """Read every decoded crystal; return the number of atoms."""
    from imatgen_flows.candidates.states import Geometry
    from imatgen_flows.candidates.structure_table import iterate_crystals

    paths = [ref.path() for ref in table.structures[Geometry.DECODED.value]]
    return sum(len(crystal.numbers) for _, crystal in iterate_crystals(paths))


def write_run(run: Path, table: CandidateTable, ledger: Ledger) -> None:
    """Write the files of a run directory that the report reads."""
    from imatgen_flows.candidates.table import write_table
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.jobs.candidate_table import read_candidates

    write_table(run / "candidates.parquet", read_candidates(table))
    system = ["V", "O"]
    CampaignConfig.model_validate({"system": system}).to_file(run / "campaign.yaml")
    files: dict[str, Any] = {
        "provenance": {"system": system},
        "ledger": ledger.to_dict(),
        "metrics": {},
        "hull": {"potential": SCALE, "references": []},
        "latent": {"training": []},
    }
    for name, content in files.items():
        (run / f"{name}.json").write_text(json.dumps(content))


def summarise_run(run: Path) -> tuple[dict[str, int], list[str]]:
    """Open a run directory; return its funnel and its notes."""
    from imatgen_flows.report.run_directory import RunDirectory

    opened = RunDirectory.open(run)
    return {step.state.value: step.total for step in opened.funnel()}, opened.notes()


class Laps:
    """Prints a line for each step: its seconds, the bytes that it wrote, and the peak memory so far.

    Parameters
    ----------
    folder : whose bytes are counted
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.bytes, self.clock, self.rows = folder, 0, time.monotonic(), list[dict[str, Any]]()
        print(f"{'step':42}{'s':>8}{'MB written':>12}{'peak GiB':>10}")

    def lap(self, step: str) -> None:
        """End a step."""
        held = sum(path.stat().st_size for path in files_in(self.folder))
        row = {"step": step, "seconds": round(time.monotonic() - self.clock, 1)}
        row |= {"megabytes": round((held - self.bytes) / 1e6, 1), "peak_gibibytes": round(peak_memory(), 2)}
        print(f"{step:42}{row['seconds']:8}{row['megabytes']:12}{row['peak_gibibytes']:10}", flush=True)
        self.rows.append(row)
        self.bytes, self.clock = held, time.monotonic()


def files_in(folder: Path) -> Iterator[Path]:
    """List the files in a folder and below."""
    return (path for path in folder.rglob("*") if path.is_file())


def peak_memory() -> float:
    """Return the largest resident size of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> int:
    """Do every step once, and compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, help="a folder for the files, which are removed at the end")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    from imatgen_flows.io.artifacts import ArtifactStore

    with tempfile.TemporaryDirectory(dir=given.directory) as folder:
        run, began = Path(folder), time.monotonic()
        store, laps = ArtifactStore(run / "artifacts"), Laps(run)
        table = write_candidates(store, given.rows)
        laps.lap("write candidates and structures")
        table = filter_valid(store, table)
        laps.lap("read valid ones, write uniqueness")
        chosen = choose_unique(table, given.rows // RELAXED)
        laps.lap("select unique ones")
        table = rank_chosen(store, table, chosen)
        laps.lap("read their structures, write energies")
        ledger = count_ledger(table, given.rows)
        laps.lap("count the ledger")
        atoms = read_all_crystals(table)
        laps.lap("read all structures")
        write_run(run, table, ledger)
        laps.lap("join, write candidates.parquet")
        expected = {"sampled": given.rows, "valid": given.rows // VALID, "unique": given.rows // UNIQUE}
        expected |= {"screened": given.rows // RELAXED}
        funnel, notes = summarise_run(run)
        funnels = [ledger.to_dict()["funnel"], funnel]
        laps.lap("open as the report does, count its funnel")
        print(*notes, sep="\n", end="\n" * bool(notes))
        seconds, megabytes = time.monotonic() - began, laps.bytes / 1e6
    right = all(expected.items() <= funnel.items() for funnel in funnels) and atoms == SITES * given.rows
    print(
        f"{given.rows:,} candidates, {len(table.parts)} parts: {seconds:.0f} s, {megabytes:.0f} MB, "
        f"peak {peak_memory():.2f} GiB; {'every candidate is counted' if right else f'WRONG: {funnels}, {atoms} atoms'}"
    )
    if given.json:
        facts = {"title": "The candidate table", "rows": given.rows, "steps": laps.rows, "seconds": round(seconds)}
        given.json.write_text(json.dumps(facts, indent=1))
    return int(not right or seconds > 60 * MINUTES or peak_memory() > GIBIBYTES)


if __name__ == "__main__":
    sys.exit(main())
