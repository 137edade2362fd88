"""Reading and checking a finished run directory."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow
import pyarrow.compute as pc
from pyarrow import parquet

from imatgen_flows.candidates.funnel import FATE, Step, funnel_steps
from imatgen_flows.candidates.outcome import explain_empty
from imatgen_flows.candidates.schema import MAX_RESIDUAL, column_names
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.candidates.table import count_by, join, rows_of
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import load_yaml
from imatgen_flows.metrics.reconstruction_summary import ReconstructionSummary
from imatgen_flows.models.registry import PERTURB, PRIOR, SAMPLERS, SLERP
from imatgen_flows.report.documents import (
    CandidateRow,
    LatentMap,
    MappedRow,
    Metrics,
    RoundRow,
    SampleRow,
)
from imatgen_flows.report.markup import plural
from imatgen_flows.report.result_directory import ANOTHER_VERSION, ResultDirectory, read_json
from imatgen_flows.sources.registry import SOURCES

DOCUMENTS = ("provenance.json", "ledger.json", "metrics.json", "hull.json", "latent.json")
# columns without which nothing can be shown; a table that was written before another column existed lacks that one
NEEDED = CandidateRow.__required_keys__
MAPPED = 20_000  # samples shown on the latent map: more would cover each other and make the page large


@dataclass(frozen=True)
class RunDirectory(ResultDirectory):
    """The results of a finished campaign. `open` reads them.

    Attributes
    ----------
    campaign : campaign.yaml as resolved
    table : one row a sample, with the columns of `candidates.schema.COLUMNS`; energies in eV/atom
    metrics, latent : the JSON files of these names
    """

    metrics: Metrics
    latent: LatentMap

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Read a finished run directory.

        Raises
        ------
        InputError
            Where the directory is missing, is no run directory, is not finished, is of version 1, or holds files that
            cannot be read or were written in another form. The message names the file and says what to do.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"{path}: no such directory. Give the directory that `imatgen run` wrote.")
        if not (path / "campaign.yaml").is_file():
            raise InputError(f"{path}: not a run directory, it has no campaign.yaml. `imatgen run` writes one.")
        campaign = _read_campaign(path / "campaign.yaml")
        if campaign.get("version") == 1:
            raise InputError(_version_1(path))
        needed = ("candidates.parquet", *DOCUMENTS)
        missing = [name for name in needed if not (path / name).is_file()]
        if missing:
            raise InputError(
                f"{path}: the run is not finished, {', '.join(missing)} missing. "
                "`imatgen run CAMPAIGN.yaml --resume` goes on from where it stopped."
            )
        documents: dict[str, Any] = {Path(name).stem: read_json(path / name) for name in DOCUMENTS}
        for name, key in (("hull", "references"), ("latent", "training"), ("provenance", "system")):
            if not isinstance(documents[name].get(key), list):
                raise InputError(f"{path / name}.json: holds no list `{key}`. {ANOTHER_VERSION}")
        if absent := sorted({"samples", "states", "rejections", "evaluations"} - set(documents["ledger"])):
            raise InputError(f"{path / 'ledger.json'}: holds no `{'`, `'.join(absent)}`. {ANOTHER_VERSION}")
        # that of the results: the file may have been extended since, by evidence that is not there yet
        settings = documents["provenance"].get("settings") or campaign
        return cls(path, settings, _read_table(path / "candidates.parquet"), **documents)

    @property
    def title(self) -> str:
        """Name of the campaign, for people."""
        return str(self.provenance.get("name") or self.campaign.get("name") or "-".join(self.system))

    @property
    def remedy(self) -> str:
        """How its files are written again."""
        return "`imatgen run CAMPAIGN.yaml --resume` writes the structures again."

    @cached_property
    def samplers(self) -> list[str]:
        """Samplers of this run, in the order of their first sample."""
        return [sampler for (sampler,) in count_by(self.table, "sampler")]

    @property
    def empty(self) -> str:
        """Why the run has no shortlist, and what to change; empty where it has one."""
        return explain_empty(self.ledger)

    @cached_property
    def rounds(self) -> list[RoundRow]:
        """Cost and finds of each round; empty where there is no rounds.json."""
        path = self.path / "rounds.json"
        if not path.is_file():
            return []
        rounds = read_json(path).get("rounds")
        if not isinstance(rounds, list):
            raise InputError(f"{path}: holds no list `rounds`. {ANOTHER_VERSION}")
        return list(rounds)

    @cached_property
    def on_map(self) -> pyarrow.Table:
        """Samples that have a place on the latent map, with their parents: those of the last round, whose map it is."""
        last = pc.field("round") == pc.max(self.table["round"])
        columns = self.table.select(["round", "parents", *MappedRow.__annotations__])
        return columns.filter(last & pc.field("latent_x").is_valid() & pc.field("latent_y").is_valid())

    @cached_property
    def mapped(self) -> list[MappedRow]:
        """Samples that are shown on the latent map: all, or `MAPPED` of them at even distances in the table."""
        number = self.on_map.num_rows
        shown = min(number, MAPPED)
        places = np.arange(shown) * number // max(1, shown)
        return cast("list[MappedRow]", rows_of(self.on_map.select(list(MappedRow.__annotations__)).take(places)))

    @property
    def reconstruction(self) -> dict[str, ReconstructionSummary]:
        """Errors of reconstruction by path: `images` and `model`, each also `_held_out` and `_inverted_held_out`."""
        found = self.metrics.get("reconstruction") or {}
        try:
            return {name: ReconstructionSummary(**row) for name, row in found.items() if name != "errors" and row}
        except TypeError as error:
            raise InputError(f"{self.path / 'metrics.json'}: {error}. {ANOTHER_VERSION}") from error

    @property
    def reconstruction_errors(self) -> dict[str, list[Any]]:
        """Errors of the single training structures, through the image autoencoders: lengths, angles and atoms."""
        return dict((self.metrics.get("reconstruction") or {}).get("errors") or {})

    def funnel(self) -> list[Step]:
        """Count the samples that reached each state, and why the others left."""
        return funnel_steps(count_by(self.table, *FATE))

    def notes(self) -> list[str]:
        """Return sentences on what a reader must know of the run, and on numbers that disagree within its directory."""
        notes = [sentence for sentence in (self.empty, *(self.metrics.get("notes") or [])) if sentence]
        now = _read_campaign(self.path / "campaign.yaml")
        if changed := [key for key, value in now.items() if key in self.campaign and self.campaign[key] != value]:
            notes.append(
                f"campaign.yaml was changed after these results were written ({', '.join(changed)}): they are those of "
                "before. `imatgen run` with `--resume` goes on with what was added."
            )
        scales = {row["scale"] for row in self.relaxed} - {str(self.hull.get("potential", ""))}
        if scales:
            notes.append(
                f"Some candidates have energies of {', '.join(sorted(scales))}, the hull is of "
                f"{self.hull.get('potential')}: distances to the hull compare within one energy model only."
            )
        samples = self.ledger.get("samples")
        if isinstance(samples, int) and samples != self.table.num_rows:
            notes.append(f"The ledger counts {samples:,} samples, candidates.parquet holds {self.table.num_rows:,}.")
        notes += super().notes()
        spent, total = sum(self.evaluations.values()), self.ledger.get("evaluations_total")
        if total is not None and total != spent:
            notes.append(f"The ledger's evaluations add up to {spent:,}, it says {total:,}.")
        return notes


def sampler_label(name: str) -> str:
    """Name a sampler, or a source that has none, for people."""
    entry = next((registry[name] for registry in (SAMPLERS, SOURCES) if name in registry), None)
    return entry.label if entry else name.replace("_", " ").capitalize()


def how_made(row: SampleRow) -> str:
    """Describe how a sample was drawn."""
    sampler, parents = row["sampler"], row["parents"] or []
    label = sampler_label(sampler).lower()
    if sampler == PERTURB and parents:
        return f"{label} of {parents[0]}"
    if sampler == SLERP and len(parents) > 1:
        return f"{label} between {parents[0]} and {parents[1]}"
    if sampler == PRIOR:
        prior = row.get("prior")
        return f"draw from the prior ({_PRIORS.get(prior, prior)})" if prior else "draw from the prior"
    made_by = f" ({row['made_by']})" if row.get("made_by") else ""
    return f"{label}{made_by} from {', '.join(parents)}" if parents else f"{label}{made_by}"


def decode_note(row: Mapping[str, Any]) -> str:
    """Say what the decode of a sample lacked, in words; empty where it was clean, or nothing was decoded.

    Examples
    --------
    >>> decode_note({"residual": 0.2, "clean": False, "repaired": 1, "repaired_atoms": ["O5 (1.1 A from O2)"],
    ...              "count_matches": True})
    'repair removed 1 atom: O5 (1.1 A from O2)'
    """
    if row.get("residual") is None or row.get("clean") is not False:
        return ""
    removed = row["repaired"] or 0
    faults = [
        f"repair removed {removed} atom{plural(removed)}: {', '.join(row['repaired_atoms'])}" if removed else "",
        "" if row["count_matches"] else "mass and peaks of its image disagree on the number of atoms",
        f"its image differs from its atoms by {row['residual']:.2f}" if row["residual"] >= MAX_RESIDUAL else "",
    ]
    return "; ".join(fault for fault in faults if fault)


_PRIORS = {"gaussian": "Gaussian"}  # the others are written as they are named


def per_structure(errors: Iterable[Sequence[float | None] | float | None] | None) -> list[float | None]:
    """Reduce errors to the largest in size of each structure; None where one has none (NaN, wrong atom count)."""
    worst: list[float | None] = []
    for error in errors or []:
        values = error if isinstance(error, Sequence) else [error]
        finite = [abs(float(value)) for value in values if value is not None and isfinite(value)]
        worst.append(max(finite) if values and len(finite) == len(values) else None)
    return worst


def _version_1(path: Path) -> str:
    return (
        f"{path}: a run of version 1, which this program cannot read. Its report.html stays readable; to evaluate it, use "
        f"the version of the program that made it; `imatgen init DIR --from {shlex.quote(str(path / 'campaign.yaml'))}` "
        "starts the same campaign anew."
    )


def _read_campaign(path: Path) -> dict[str, Any]:
    campaign = load_yaml(path)
    if not isinstance(campaign, dict):
        raise InputError(f"{path}: holds no campaign. {ANOTHER_VERSION}")
    return campaign


def _read_table(path: Path) -> pyarrow.Table:
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(
            f"{path}: cannot be read as parquet: {error}. Run the campaign again with --resume."
        ) from error
    held = set(table.column_names)
    if "method" in held and "sampler" not in held:
        raise InputError(_version_1(path.parent))
    missing = [name for name in column_names() if name in NEEDED and name not in held]
    if missing:
        raise InputError(f"{path}: no column {', '.join(missing)}. {ANOTHER_VERSION}")
    states, stages = ([each.value for each in kind] for kind in (State, Stage))
    rejected = pc.field("state") == State.REJECTED.value
    for column, faulty, says in (
        ("state", ~pc.field("state").isin(states), "is in a state"),
        ("rejected_stage", rejected & ~pc.field("rejected_stage").isin(stages), "left at"),
    ):
        for row in rows_of(table.filter(faulty).slice(0, 1)):
            raise InputError(f"{path}: sample {row['sample']} {says} {row[column]!r}. {ANOTHER_VERSION}")
    return _null_where_not_finite(join([table]))


def _null_where_not_finite(table: pyarrow.Table) -> pyarrow.Table:
    columns = [
        pc.if_else(pc.is_finite(values), values, None) if pyarrow.types.is_floating(values.type) else values
        for values in table.columns
    ]
    return pyarrow.Table.from_arrays(columns, schema=table.schema)
