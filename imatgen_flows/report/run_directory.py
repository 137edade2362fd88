"""A finished run directory, read and checked once, so that what shows it need not doubt it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

from imatgen_flows.errors import InputError

Row = dict[str, Any]

STATES = ("sampled", "decoded", "valid", "unique", "screened", "shortlisted", "validated")
LAST_STATE_BEFORE = {  # a candidate that left at this stage had reached this state
    "decode": "sampled",
    "validity": "decoded",
    "uniqueness": "valid",
    "screen": "unique",
    "shortlist": "screened",
    "validate": "shortlisted",
}
NOVELTY = ("new", "substituted", "known", "duplicate")
_NAMES = """sample id round method parents seed latent_x latent_y state rejected_stage rejected_reason rejected_detail
formula nsites residual count_matches min_distance repaired energy_per_atom formation_energy e_above_hull scale
validated_e_above_hull validated_formation_energy validated_scale validated_note validation_evaluations
spacegroup spacegroup_number novelty novelty_match evaluations steps volume_per_atom structure"""
COLUMNS = tuple(_NAMES.split())
LATER = {"validated_note": ""}  # columns that a run of before has not, and what they would say
DOCUMENTS = ("provenance.json", "ledger.json", "metrics.json", "hull.json", "latent.json")
POTENTIALS = {"chgnet": "CHGNet", "emt": "EMT", "mace": "MACE", "sevennet": "SevenNet", "mattersim": "MatterSim"}


@dataclass(frozen=True)
class Step:
    """One step of the funnel.

    Attributes
    ----------
    state : the state
    reached : samples that came this far, by sampling method
    left : samples that came no further because they were rejected here, by (stage, reason), most frequent first
    """

    state: str
    reached: dict[str, int]
    left: dict[tuple[str, str], int]

    @property
    def total(self) -> int:
        """Samples that came this far, by any method."""
        return sum(self.reached.values())


@dataclass(frozen=True)
class RunDirectory:
    """What a campaign left behind. `open` reads it.

    Attributes
    ----------
    path : the directory
    campaign : campaign.yaml as resolved
    candidates : one row a sample, with the columns of `COLUMNS`; energies in eV/atom
    provenance, ledger, metrics, hull, latent : the JSON files of these names
    """

    path: Path
    campaign: Row
    candidates: list[Row]
    provenance: Row
    ledger: Row
    metrics: Row
    hull: Row
    latent: Row

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Read a finished run directory.

        Raises
        ------
        InputError
            Where the directory is missing, is no run directory, is not finished, or holds files that cannot be read or
            were written in another form. The message names the file and says what to do.
        """
        import yaml

        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: no such directory. Give the directory that `imatgen run` wrote.")
        if not (path / "campaign.yaml").is_file():
            raise InputError(f"{path}: not a run directory, it has no campaign.yaml. `imatgen run` writes one.")
        needed = ("candidates.parquet", *DOCUMENTS)
        missing = [name for name in needed if not (path / name).is_file()]
        if missing:
            raise InputError(
                f"{path}: the run is not finished, {', '.join(missing)} missing. "
                "`imatgen run CAMPAIGN.yaml --resume` goes on from where it stopped."
            )
        try:
            campaign = yaml.safe_load((path / "campaign.yaml").read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InputError(f"{path / 'campaign.yaml'}: cannot be read as YAML: {error}") from error
        documents = {Path(name).stem: read_json(path / name) for name in DOCUMENTS}
        for name, key in (("hull", "references"), ("latent", "training"), ("provenance", "system")):
            if not isinstance(documents[name].get(key), list):
                raise InputError(f"{path / name}.json: holds no list `{key}`. {_ANOTHER_VERSION}")
        if not isinstance(campaign, dict):
            raise InputError(f"{path / 'campaign.yaml'}: holds no campaign. {_ANOTHER_VERSION}")
        return cls(path, campaign, _read_candidates(path / "candidates.parquet"), **documents)

    @property
    def system(self) -> list[str]:
        """Elements, in the order in which the user wrote them."""
        return list(self.provenance["system"])

    @property
    def title(self) -> str:
        """Name of the campaign, for people."""
        return str(self.provenance.get("name") or self.campaign.get("name") or "-".join(self.system))

    @property
    def scale(self) -> str:
        """The energy model, as people write it, for example CHGNet 0.3.0."""
        name, _, version = str(self.hull.get("potential", "")).partition(" ")
        return f"{POTENTIALS.get(name.lower(), name)} {version}".strip()

    @property
    def threshold(self) -> float:
        """Largest distance to the hull on the shortlist, eV/atom."""
        return float((self.campaign.get("screen") or {}).get("threshold", 0.15))

    @cached_property
    def relaxed(self) -> list[Row]:
        """Candidates that have an energy on the hull, lowest first."""
        rows = [row for row in self.candidates if row["e_above_hull"] is not None and row["id"]]
        return sorted(rows, key=lambda row: (row["e_above_hull"], row["sample"]))

    @cached_property
    def new(self) -> list[Row]:
        """Relaxed candidates that are neither duplicate, nor known, nor within reach of substitution; lowest first."""
        return [row for row in self.relaxed if row["novelty"] == "new"]

    @cached_property
    def methods(self) -> list[str]:
        """Sampling methods of this run, in the order of their first sample."""
        return list(dict.fromkeys(row["method"] for row in self.candidates))

    @cached_property
    def rounds(self) -> list[Row]:
        """What each round has brought and cost; empty for a run that was written before there were rounds."""
        path = self.path / "rounds.json"
        return list(read_json(path)["rounds"]) if path.is_file() else []

    @cached_property
    def mapped(self) -> list[Row]:
        """Samples on the latent map: those of the last round, since each round has a map of its own."""
        last = max((row["round"] for row in self.candidates), default=0)
        return [
            row
            for row in self.candidates
            if row["round"] == last and row["latent_x"] is not None and row["latent_y"] is not None
        ]

    @property
    def evaluations(self) -> dict[str, int]:
        """Energy-and-force evaluations by purpose."""
        return dict(self.ledger.get("evaluations") or {})

    def funnel(self) -> list[Step]:
        """Count the samples that reached each state, and why the others left.

        Every sample is counted out once: at each step, those who reached it are those who reached the next, those who
        left here, and those whose final state this is. A last step that nobody tried is not shown.
        """
        steps = []
        for rank, state in enumerate(STATES):
            reached = [row for row in self.candidates if STATES.index(last_state(row)) >= rank]
            left = Counter(
                (row["rejected_stage"], row["rejected_reason"])
                for row in reached
                if row["state"] == "rejected" and last_state(row) == state
            )
            by_method = Counter(row["method"] for row in reached)
            steps.append(Step(state, {name: by_method[name] for name in self.methods}, dict(left.most_common())))
        tried = any(row["rejected_stage"] == "validate" for row in self.candidates)
        return steps if steps[-1].total or tried else steps[:-1]

    def notes(self) -> list[str]:
        """Say in a sentence each what a reader must know of the run, and what does not agree within its directory."""
        notes = list(self.metrics.get("notes") or [])
        scales = {str(row["scale"]) for row in self.relaxed} - {str(self.hull.get("potential", ""))}
        if scales:
            notes.append(
                f"Some candidates have energies of {', '.join(sorted(scales))}, the hull is of "
                f"{self.hull.get('potential')}: distances to the hull compare within one energy model only."
            )
        samples = self.ledger.get("samples")
        if isinstance(samples, int) and samples != len(self.candidates):
            notes.append(f"The ledger counts {samples:,} samples, candidates.parquet holds {len(self.candidates):,}.")
        for phase in self.hull.get("failed") or []:
            notes.append(
                f"The reference phase {phase['name']} could not be relaxed ({phase['reason']}): the hull lacks it, and "
                "candidates near it may look more stable than they are."
            )
        spent, total = sum(self.evaluations.values()), self.ledger.get("evaluations_total")
        if total is not None and total != spent:
            notes.append(f"The ledger's evaluations add up to {spent:,}, it says {total:,}.")
        return notes


def write_whole(path: Path, content: bytes) -> Path:
    """Write a file so that it is whole or unchanged, whenever the process is killed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path


def last_state(row: Row) -> str:
    """Return the furthest state that a candidate reached."""
    return LAST_STATE_BEFORE[row["rejected_stage"]] if row["state"] == "rejected" else str(row["state"])


def how_made(row: Row) -> str:
    """Say how a sample was drawn."""
    parents = [str(parent) for parent in row["parents"] or []]
    if row["method"] == "perturb" and parents:
        return f"drawn around {parents[0]}"
    if row["method"] == "slerp" and len(parents) > 1:
        return f"slerp between {parents[0]} and {parents[1]}"
    if row["method"] == "random" and not parents:
        return "random draw from the latent Gaussian"
    return " ".join([str(row["method"]).replace("_", " "), *(["from", ", ".join(parents)] if parents else [])])


def per_structure(errors: Iterable[Any] | None) -> list[float | None]:
    """Reduce errors to the largest in size of each structure; None where one has none (NaN, wrong atom count)."""
    worst: list[float | None] = []
    for error in errors or []:
        values = error if isinstance(error, list) else [error]
        finite = [abs(float(value)) for value in values if value is not None and isfinite(value)]
        worst.append(max(finite) if values and len(finite) == len(values) else None)
    return worst


_ANOTHER_VERSION = "It seems to be of another version of the program; run the campaign again with this one."


def read_json(path: Path) -> Row:
    """Read a table of keys.

    Raises
    ------
    InputError
        Where the file holds none.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}. Run the campaign again with --resume.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, not a table of keys. {_ANOTHER_VERSION}")
    return content


def _read_candidates(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(
            f"{path}: cannot be read as parquet: {error}. Run the campaign again with --resume."
        ) from error
    missing = [name for name in COLUMNS if name not in table.column_names and name not in LATER]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}. {_ANOTHER_VERSION}")
    rows: list[Row] = [LATER | row for row in table.to_pylist()]
    for row in rows:
        if row["state"] not in (*STATES, "rejected"):
            raise InputError(f"{path}: sample {row['sample']} is in a state {row['state']!r}. {_ANOTHER_VERSION}")
        if row["state"] == "rejected" and row["rejected_stage"] not in LAST_STATE_BEFORE:
            raise InputError(f"{path}: sample {row['sample']} left at {row['rejected_stage']!r}. {_ANOTHER_VERSION}")
        for name, value in row.items():
            if isinstance(value, float) and not isfinite(value):
                row[name] = None
    return rows
