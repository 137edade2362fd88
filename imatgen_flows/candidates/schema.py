"""The columns of the candidate table: one list, from which the table, the exports, the report and the docs derive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow

Value = str | list[str] | int | float | bool | None  # of a cell of the table
Row = dict[str, Value]  # values by column
ColumnType = Literal["text", "texts", "integer", "number", "boolean"]
# of a cell that no job filled: a number or a truth value that does not exist is null
EMPTY: dict[ColumnType, Value] = {"text": "", "texts": [], "integer": 0, "number": None, "boolean": None}


@dataclass(frozen=True)
class Column:
    """One column of the candidate table.

    Parameters
    ----------
    name : in files
    type : of its values; a number that does not exist is null, a text is empty
    label : what people read
    description : one sentence
    unit : of a number; empty where it has none
    on_card : whether the report hands it to the page, with each relaxed candidate
    in_header : whether an extended-XYZ file carries it in the header of each structure
    """

    name: str
    type: ColumnType
    label: str
    description: str
    unit: str = ""
    on_card: bool = True
    in_header: bool = False

    @property
    def heading(self) -> str:
        """Label with its unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label


# relative residual of an image from which on a decode does not count as clean; a convention of the reported shares, by which
# no candidate is rejected
MAX_RESIDUAL = 0.3
EV = "eV/atom"


# fmt: off
COLUMNS: list[Column] = [
    Column("sample", "text", "Sample", "Name of the sample, unique in the campaign: the key of the table.",
           in_header=True),
    Column("id", "text", "Id", "Hash of the crystal as decoded or given: 12 hexadecimal digits; empty where it is not valid.",
           in_header=True),
    Column("relaxed_id", "text", "Relaxed id", "Hash of the crystal as relaxed, which names its file in `structures/`.",
           in_header=True),
    Column("followed_id", "text", "Followed id", "Hash of the lower structure to which its softest mode leads; empty where "
           "none was found."),
    Column("validated_id", "text", "Validated id", "Hash of the crystal as DFT left it."),
    Column("round", "integer", "Round", "Round of the campaign, from 0."),
    Column(
        "batch",
        "integer",
        "Batch",
        "Batch of its round in which it was relaxed, from 0; 0 too where it was not relaxed.",
        on_card=False,
    ),
    Column("source", "text", "Source", "Source that proposed it.", in_header=True),
    Column("sampler", "text", "Sampler", "How the generator drew it; else the source.", in_header=True),
    Column("made_by", "text", "Made by", "Operator or space group by which the source made it, where it has several.",
           on_card=False),
    Column("prior", "text", "Prior", "For draws from the prior: `flow`, or `gaussian` where there are few structures."),
    Column("parents", "texts", "Parents", "Ids of the structures whose latent vectors it came from.", on_card=False),
    Column("seed", "integer", "Seed", "Seed of its sampler.", on_card=False, in_header=True),
    Column("latent_row", "integer", "Latent row", "Row of its latent vector among those of its round.", on_card=False),
    Column("latent_x", "number", "Latent map, x", "Place on the latent map of its round.", on_card=False),
    Column("latent_y", "number", "Latent map, y", "Place on the latent map of its round.", on_card=False),
    Column("stability", "number", "Stability", "The classifier's probability that it is stable, unrelaxed.",
           on_card=False),
    Column("state", "text", "State", "How far it came, or `rejected`."),
    Column("rejected_stage", "text", "Rejected at", "Stage at which it was rejected.", on_card=False),
    Column("rejected_reason", "text", "Reason", "Why it was rejected: a word to count by.", on_card=False),
    Column("rejected_detail", "text", "Detail", "Why it was rejected: a sentence to read.", on_card=False),
    Column("formula", "text", "Formula", "Reduced formula.", in_header=True),
    Column("nsites", "integer", "Sites", "Sites of the latest structure."),
    Column("residual", "number", "Residual", "Relative difference between the decoded image and one of the atoms read "
           "from it; 0 is perfect."),
    Column("cell_residual", "number", "Cell residual", "The same for the image of the cell.", on_card=False),
    Column("count_matches", "boolean", "Counts match", "Whether mass and peaks of the image agree on the number of atoms "
           "of each element."),
    Column("min_distance", "number", "Shortest distance", "Shortest distance as decoded, before the repair.", "Å"),
    Column("repaired", "integer", "Atoms removed", "Atoms that the repair removed."),
    Column("repaired_atoms", "texts", "Removed", "The atoms that the repair removed, and why.", on_card=False),
    Column("charge_balanced", "boolean", "Charge balanced", "Whether known oxidation states of its elements can sum to zero, "
           "as decoded; null where nothing was decoded.", in_header=True),
    Column("clean", "boolean", "Clean", "Whether it decoded to a valid crystal with matching atom counts, a small residual "
           "and no repair."),
    Column("energy_per_atom", "number", "Energy", "Energy as relaxed.", EV, in_header=True),
    Column("formation_energy", "number", "Formation energy", "Formation energy as relaxed.", EV, in_header=True),
    Column("e_above_hull", "number", "E_hull", "Energy above the hull of the references, negative below it, as relaxed.",
           EV, in_header=True),
    Column("decomposition", "text", "Decomposition", "Phases of the hull at its composition, with their shares of the atoms.",
           on_card=False),
    Column("scale", "text", "Energy scale", "Energy model, for example `chgnet 0.3.0`; energies of two scales do not "
           "compare.", in_header=True),
    Column("committee", "text", "Committee", "Verdict of the committee of potentials; empty where it was not asked.",
           in_header=True),
    Column("committee_mean", "number", "Committee's E_hull", "Mean of E_hull by all potentials that voted, each on a hull of "
           "its own.", EV, in_header=True),
    Column("committee_spread", "number", "Committee's spread", "Largest less smallest E_hull of the potentials that voted.",
           EV, in_header=True),
    Column("committee_votes", "texts", "Votes", "E_hull (eV/atom) by each potential, or why it lost its vote."),
    Column("committee_evaluations", "integer", "Committee's evaluations", "Energy-and-force evaluations that the committee "
           "spent on it, those of the screening left out."),
    Column("validated_energy_per_atom", "number", "Validated energy", "Energy by DFT.", EV, on_card=False),
    Column("validated_e_above_hull", "number", "Validated E_hull", "E_hull by DFT, on a hull of its own scale; null "
           "where it was not validated.", EV),
    Column("validated_formation_energy", "number", "Validated formation energy", "Formation energy by DFT.", EV),
    Column("validated_decomposition", "text", "Validated decomposition", "Phases of the hull of DFT at its composition.",
           on_card=False),
    Column("validated_scale", "text", "Validated scale", "Energy scale of the validation."),
    Column("validated_note", "text", "Note", "What must be known of the validated energy."),
    Column("validated_fmax", "number", "Validated force", "Largest force that DFT left.", "eV/Å", on_card=False),
    Column("dynamically_stable", "boolean", "Dynamically stable", "Whether all phonons are real, to -0.1 THz; null where "
           "none were computed.", in_header=True),
    Column("lowest_frequency", "number", "Lowest frequency", "Lowest phonon frequency, negative where imaginary.", "THz"),
    Column("lowest_interpolated", "number", "Lowest interpolated", "The same as the supercell interpolates it over the whole "
           "zone, without a check of what interpolation alone makes imaginary.", "THz"),
    Column("free_energy", "number", "Free energy, 300 K", "Vibrational free energy at 300 K, harmonic; null where a mode is "
           "imaginary.", EV),
    Column("phonon_note", "text", "Phonons", "Why there are no phonons, or what must be known of them."),
    Column("phonon_evaluations", "integer", "Evaluations of phonons", "Energy-and-force evaluations of its phonons, with the "
           "tight relaxation before.", on_card=False),
    Column("followed_e_above_hull", "number", "Followed E_hull", "E_hull of the lower structure to which its softest mode "
           "leads; null where phonons and E_hull are of two potentials.", EV),
    Column("followed_stable", "boolean", "Followed stable", "Whether that structure is dynamically stable."),
    Column("followed_novelty", "text", "Followed novelty", "Class of that structure, beside known phases and "
           "candidates."),
    Column("followed_match", "text", "Followed matches", "What that structure matches."),
    Column("soft_mode_evaluations", "integer", "Evaluations of soft modes", "Energy-and-force evaluations by which its "
           "softest mode was followed, and the phonons of the lower structure computed.", on_card=False),
    Column("validation_evaluations", "integer", "Ionic steps", "Ionic steps that its validation spent."),
    Column("spacegroup", "text", "Space group", "Symbol of the space group of the latest structure.", in_header=True),
    Column("spacegroup_number", "integer", "Space group number", "Number of that space group.", in_header=True),
    Column("novelty", "text", "Novelty", "Class of a unique or relaxed candidate.", in_header=True),
    Column("novelty_match", "text", "Matches", "What it matches.", in_header=True),
    Column("tight_novelty", "text", "Tight novelty", "The same class by tight tolerances (`ltol` 0.1, as LeMat-GenBench), "
           "of a relaxed candidate; nothing is decided by it."),
    Column("tight_match", "text", "Tight match", "What it matches by these."),
    Column("protostructure", "text", "Protostructure", "Space group and occupied positions, of a shortlisted candidate."),
    Column("prototype_known", "boolean", "Prototype known", "Whether a crystal of the Materials Project has this one, "
           "whatever its elements; null where it has no label."),
    Column("nearest", "text", "Nearest known", "Published crystal of its formula, or else of its stoichiometry, with the "
           "smallest distance; where none is published, such a substituted structure."),
    Column("nearest_distance", "number", "Distance", "Cosine distance of the fingerprints of Oganov and Valle, from 0 (the "
           "same) to 1; null where nothing can be compared."),
    Column("variant_of", "text", "Ordered variant of", "Crystal that has the same sites, with the cations or the anions "
           "distributed in another way, or at random."),
    Column("elsewhere", "texts", "Elsewhere", "What each provider of `elsewhere.providers` holds of it, with a link, or "
           "that it has not answered."),
    Column("magnetic_order", "text", "Magnetic order", "`nonmagnetic` or `magnetic`, by the unsigned moments of the "
           "potential, which cannot tell a ferromagnet from an antiferromagnet; empty where it gives none."),
    Column("mean_moment", "number", "Mean moment", "Mean of these moments over all atoms.", "μB/atom"),
    Column("moment_evaluations", "integer", "Moment evaluations", "Evaluations that its moments took.", on_card=False),
    Column("validated_magnetic_order", "text", "Validated magnetic order", "Which magnetic start DFT found lower, and by how "
           "much; empty where it made one start."),
    Column("evaluations", "integer", "Evaluations", "Energy-and-force evaluations of its relaxation."),
    Column("steps", "integer", "Steps", "Steps of its relaxation."),
    Column("fmax", "number", "Force", "Largest force that the relaxation left.", "eV/Å", on_card=False),
    Column("volume_per_atom", "number", "Volume", "Volume of the latest structure.", "Å³/atom", in_header=True),
]
# that a screening of files has besides: where a crystal was read
FILE_COLUMNS: list[Column] = [
    Column("file", "text", "File", "File that the crystal was read from, as it was given."),
    Column("origin", "text", "Origin", "Source that the file names for the crystal; else the file."),
]
# fmt: on


def column_names() -> tuple[str, ...]:
    """Return the names of all columns, in order."""
    return tuple(column.name for column in COLUMNS)


def units() -> dict[str, str]:
    """Return the unit of each column that has one."""
    return {column.name: column.unit for column in COLUMNS if column.unit}


def columns_of(names: Iterable[str]) -> list[Column]:
    """Return the columns of these names, in the order of the table.

    Raises
    ------
    ValueError
        Where a name is not one of a column.
    """
    wanted = set(names)
    if unknown := sorted(wanted - set(column_names())):
        raise ValueError(f"the candidate table has no column {', '.join(unknown)}")
    return [column for column in COLUMNS if column.name in wanted]


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
