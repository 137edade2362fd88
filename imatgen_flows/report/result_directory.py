"""What a run directory and the directory of a screening have in common: relaxed crystals on a hull."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pyarrow
import pyarrow.compute as pc

from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.ledger import LedgerTable
from imatgen_flows.candidates.table import rows_of
from imatgen_flows.energetics.hull_basis import COMPOUND, HullBasis
from imatgen_flows.energetics.potential_registry import POTENTIALS, Potential
from imatgen_flows.errors import InputError
from imatgen_flows.report.documents import CandidateRow, HullTable, Provenance, RelaxedRow, SampleRow

NAMED = 5  # phases that a note names
ANOTHER_VERSION = "It seems to be of another version of the program; run the campaign again with this one."


@dataclass(frozen=True)
class ResultDirectory(ABC):
    """Relaxed crystals on a hull, in a directory.

    Attributes
    ----------
    path : the directory
    campaign : the settings, as campaign.yaml writes them
    table : one row a sample; energies in eV/atom
    provenance, ledger, hull : the JSON files of these names
    """

    path: Path
    campaign: Mapping[str, Any]
    table: pyarrow.Table
    provenance: Provenance
    ledger: LedgerTable
    hull: HullTable

    @property
    @abstractmethod
    def title(self) -> str:
        """Name of it, for people."""

    @property
    @abstractmethod
    def remedy(self) -> str:
        """How its files are written again: the end of a sentence on one that is missing."""

    @property
    def system(self) -> list[str]:
        """Elements, in the order of a formula: the less electronegative first."""
        return list(self.provenance["system"])

    @property
    def scale(self) -> str:
        """The energy model, as people write it, for example CHGNet 0.3.0."""
        name, _, version = str(self.hull.get("potential", "")).partition(" ")
        return f"{self.potential.label if self.potential else name} {version}".strip()

    @property
    def potential(self) -> Potential | None:
        """The potential of its energies; None for a function of the user's."""
        name = str(self.hull.get("potential", "")).partition(" ")[0]
        return POTENTIALS[name] if name in POTENTIALS else None  # noqa: SIM401 - a registry has no `get`

    @property
    def pressure(self) -> float:
        """Pressure of the campaign, GPa."""
        return float((self.campaign.get("search") or {}).get("pressure") or 0.0)

    @property
    def quantity(self) -> str:
        """What the hull is made of: ``energy``, or at a pressure ``enthalpy``."""
        return "enthalpy" if self.pressure else "energy"

    @property
    def threshold(self) -> float:
        """Largest E_hull on the shortlist, eV/atom."""
        return float((self.campaign.get("screen") or {}).get("threshold", 0.15))

    def rows(self, where: pc.Expression | None = None) -> list[CandidateRow]:
        """Return the samples that fulfil a condition as rows; all by default, which is too much for large runs.

        Parameters
        ----------
        where : expression over columns, for example ``pyarrow.compute.field("novelty") == "new"``
        """
        return cast("list[CandidateRow]", rows_of(self.table if where is None else self.table.filter(where)))

    @cached_property
    def relaxed(self) -> list[RelaxedRow]:
        """Candidates that have an energy on the hull, lowest first."""
        rows = cast("list[RelaxedRow]", self.rows(pc.field("e_above_hull").is_valid()))
        return sorted(rows, key=lambda row: (row["e_above_hull"], row["sample"]))

    @cached_property
    def new(self) -> list[RelaxedRow]:
        """Relaxed candidates that are neither duplicate, nor known, nor within reach of substitution; lowest first."""
        return [row for row in self.relaxed if row["novelty"] == Novelty.NEW]

    @property
    def near(self) -> int:
        """Number of new structures up to the threshold."""
        return sum(row["e_above_hull"] <= self.threshold for row in self.new)

    def cif(self, row: SampleRow) -> str:
        """Read the latest crystal of a relaxed candidate.

        Raises
        ------
        InputError
            Where its file is missing or cannot be read.
        """
        path = self.path / "structures" / f"{crystal_id(row)}.cif"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a text"
            raise InputError(f"{path}: cannot be read: {why}. {self.remedy}") from error

    @cached_property
    def basis(self) -> HullBasis:
        """The published compounds that the hull rests on."""
        phases = (
            (row["kind"], sum(share > 0 for share in row["fractions"].values()), row.get("origin", ""))
            for row in self.hull["references"]
        )
        return HullBasis.count(self.system, phases)

    @property
    def evaluations(self) -> dict[str, int]:
        """Energy-and-force evaluations by purpose."""
        return dict(self.ledger.get("evaluations") or {})

    def notes(self) -> list[str]:
        """Return sentences on what a reader must know of the hull."""
        # a polymorph of an element, or a substituted structure, is a line in the table of the hull
        failed = [row for row in self.hull.get("failed") or [] if row.get("kind", COMPOUND) == COMPOUND]
        if not failed:
            return []
        named = ", ".join(f"{row['name']} ({row['reason'].replace('_', ' ')})" for row in failed[:NAMED])
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        return [
            f"Published compounds that could not be relaxed: {named}{more}. The hull lacks them, and candidates near "
            "them may look more stable than they are."
        ]


def crystal_id(row: SampleRow) -> str:
    """Return the id of the latest crystal of a candidate: as DFT left it, else as relaxed."""
    return row.get("validated_id") or row["relaxed_id"]


def require_keys(path: Path, *keys: str) -> dict[str, Any]:
    """Read a table of keys that must have some.

    Raises
    ------
    InputError
        Where the file is missing, holds no table, or lacks one of the keys.
    """
    content = read_json(path)
    if absent := [key for key in keys if key not in content]:
        raise InputError(f"{path}: holds no `{'`, `'.join(absent)}`. {ANOTHER_VERSION}")
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Read a table of keys.

    Raises
    ------
    InputError
        Where the file holds none.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file. Run the campaign again with --resume, which writes it.") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}. Run the campaign again with --resume.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds {type(content).__name__}, not a table of keys. {ANOTHER_VERSION}")
    return content
