"""The columns of the candidate table: one list, from which the table, the exports, the report and the docs derive."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imatgen_flows.candidates.candidate import Energy
from imatgen_flows.candidates.view import CandidateView

if TYPE_CHECKING:
    import pyarrow

Value = str | list[str] | int | float | bool | None  # of a cell of the table
ColumnType = Literal["text", "texts", "integer", "number", "boolean"]


@dataclass(frozen=True)
class Column:
    """One column of the candidate table.

    Parameters
    ----------
    name : in files
    type : of its values; a number that does not exist is null, a text is empty
    label : what people read
    description : one sentence
    value : reads it from a candidate
    unit : of a number; empty where it has none
    on_card : whether the report hands it to the page, with each relaxed candidate
    in_header : whether an extended-XYZ file carries it in the header of each structure
    """

    name: str
    type: ColumnType
    label: str
    description: str
    value: Callable[[CandidateView], Value]
    unit: str = ""
    on_card: bool = True
    in_header: bool = False

    @property
    def heading(self) -> str:
        """Label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


EV = "eV/atom"


POTENTIAL, VALIDATION = 0, 1  # place of an energy in the list of a candidate


def _energy(name: str, index: int) -> Callable[[CandidateView], Value]:
    """Build a reader of one field of the energy by the potential, or of that by the validation."""

    def read(view: CandidateView) -> Value:
        energy = _energy_of(view, index)
        value: Value = getattr(energy, name) if energy else None
        return value

    return read


def _energy_of(view: CandidateView, index: int) -> Energy | None:
    energies = view.record.energies
    return energies[index] if len(energies) > index else None


def _text(read: Callable[[CandidateView], Value]) -> Callable[[CandidateView], Value]:
    """Build a reader that gives an empty text where another gives None."""
    return lambda view: read(view) or ""


def _origin(name: str) -> Callable[[CandidateView], Value]:
    return lambda view: getattr(view.record.origin, name)


def _record(name: str) -> Callable[[CandidateView], Value]:
    return lambda view: getattr(view.record, name)


def _quality(name: str) -> Callable[[CandidateView], Value]:
    return lambda view: getattr(view.record.decode_quality, name) if view.record.decode_quality else None


def _rejection(name: str) -> Callable[[CandidateView], Value]:
    return lambda view: getattr(view.record.rejection, name) if view.record.rejection else ""


def _steps(view: CandidateView) -> Value:
    energy = _energy_of(view, POTENTIAL)
    return energy.steps if energy else 0


# fmt: off
COLUMNS: list[Column] = [
    Column("sample", "text", "Sample", "Name of the sample, unique in the campaign.", _record("sample"), in_header=True),
    Column("id", "text", "Id", "Hash of the decoded structure: 12 hexadecimal digits.", _record("id"), in_header=True),
    Column("round", "integer", "Round", "Round of the campaign, from 0.", _record("round")),
    Column("sampler", "text", "Sampler", "How it was drawn.", _origin("sampler"), in_header=True),
    Column("prior", "text", "Prior", "For draws from the prior: `flow`, or `gaussian` where there are few structures.",
           _origin("prior")),
    Column("parents", "texts", "Parents", "Ids of the structures whose latent vectors it came from.", _origin("parents"),
           on_card=False),
    Column("seed", "integer", "Seed", "Seed of its sampler.", _origin("seed"), on_card=False, in_header=True),
    Column("latent_x", "number", "Latent map, x", "Place on the latent map of its round.", _origin("x"), on_card=False),
    Column("latent_y", "number", "Latent map, y", "Place on the latent map of its round.", _origin("y"), on_card=False),
    Column("state", "text", "State", "How far it came, or `rejected`.", lambda view: view.record.state.value),
    Column("rejected_stage", "text", "Rejected at", "Stage at which it was rejected.",
           lambda view: view.record.rejection.stage.value if view.record.rejection else "", on_card=False),
    Column("rejected_reason", "text", "Reason", "Why it was rejected: a word to count by.", _rejection("reason"),
           on_card=False),
    Column("rejected_detail", "text", "Detail", "Why it was rejected: a sentence to read.", _rejection("detail"),
           on_card=False),
    Column("formula", "text", "Formula", "Reduced formula of `structure`.", lambda view: view.formula, in_header=True),
    Column("nsites", "integer", "Sites", "Sites of `structure`.", lambda view: view.n_sites),
    Column("residual", "number", "Residual", "Relative difference between the decoded image and one of the atoms read "
           "from it; 0 is perfect.", _quality("residual")),
    Column("count_matches", "boolean", "Counts match", "Whether mass and peaks of the image agree on the number of atoms "
           "of each element.", _quality("count_matches")),
    Column("min_distance", "number", "Shortest distance", "Shortest distance as decoded, before the repair.",
           _quality("min_distance"), "Å"),
    Column("repaired", "integer", "Atoms removed", "Atoms that the repair removed.",
           lambda view: len(view.record.repaired)),
    Column("energy_per_atom", "number", "Energy", "Energy as relaxed.", _energy("energy_per_atom", POTENTIAL), EV,
           in_header=True),
    Column("formation_energy", "number", "Formation energy", "Formation energy as relaxed.",
           _energy("formation_energy", POTENTIAL), EV, in_header=True),
    Column("e_above_hull", "number", "E_hull", "Energy above the hull of the references, negative below it, as relaxed.",
           _energy("e_above_hull", POTENTIAL), EV, in_header=True),
    Column("scale", "text", "Energy scale", "Energy model, for example `chgnet 0.3.0`; energies of two scales do not "
           "compare.", _text(_energy("scale", POTENTIAL)), in_header=True),
    Column("validated_e_above_hull", "number", "Validated E_hull", "E_hull by DFT, on a hull of its own scale; null "
           "where it was not validated.", _energy("e_above_hull", VALIDATION), EV),
    Column("validated_formation_energy", "number", "Validated formation energy", "Formation energy by DFT.",
           _energy("formation_energy", VALIDATION), EV),
    Column("validated_scale", "text", "Validated scale", "Energy scale of the validation.",
           _text(_energy("scale", VALIDATION))),
    Column("validated_note", "text", "Note", "What must be known of the validated energy.",
           _text(_energy("note", VALIDATION))),
    Column("validation_evaluations", "integer", "Ionic steps", "Ionic steps that its validation spent.",
           _record("validation_evaluations")),
    Column("spacegroup", "text", "Space group", "Symbol of the space group of `structure`.",
           lambda view: view.record.spacegroup[0], in_header=True),
    Column("spacegroup_number", "integer", "Space group number", "Number of that space group.",
           lambda view: view.record.spacegroup[1], in_header=True),
    Column("novelty", "text", "Novelty", "Class of a unique or relaxed candidate.", _record("novelty"), in_header=True),
    Column("novelty_match", "text", "Matches", "What it matches.", _record("novelty_match"), in_header=True),
    Column("evaluations", "integer", "Evaluations", "Energy-and-force evaluations of its relaxation.",
           _record("evaluations")),
    Column("steps", "integer", "Steps", "Steps of its relaxation.", _steps),
    Column("volume_per_atom", "number", "Volume", "Volume of `structure`.", lambda view: view.volume_per_atom,
           "Å³/atom", in_header=True),
    Column("structure", "text", "Structure", "CIF: as DFT left it, else as relaxed, else as decoded.",
           lambda view: view.cif, on_card=False),
]
# fmt: on


def column_names() -> tuple[str, ...]:
    """Return the names of all columns, in order."""
    return tuple(column.name for column in COLUMNS)


def arrow_schema(columns: Iterable[Column] | None = None) -> pyarrow.Schema:
    """Build the schema of `candidates.parquet`; label, unit and description of each column are its metadata."""
    import pyarrow

    types = {
        "text": pyarrow.string(),
        "texts": pyarrow.list_(pyarrow.string()),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
    }
    return pyarrow.schema(
        [
            pyarrow.field(
                column.name,
                types[column.type],
                metadata={"label": column.label, "unit": column.unit, "description": column.description},
            )
            for column in (COLUMNS if columns is None else columns)
        ]
    )
