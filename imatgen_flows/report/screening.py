"""The report of a screening: the page of a run without what only a campaign has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from markupsafe import Markup

from imatgen_flows.candidates.outcome import count_outcomes
from imatgen_flows.candidates.schema import COLUMNS, FILE_COLUMNS
from imatgen_flows.candidates.table import read_part
from imatgen_flows.errors import InputError
from imatgen_flows.report.markup import count, plural, render, words
from imatgen_flows.report.methods import screening_paragraph
from imatgen_flows.report.page import hull_section, plain, when, write_page
from imatgen_flows.report.page_data import candidates_data
from imatgen_flows.report.result_directory import ResultDirectory, read_json
from imatgen_flows.report.terms import terms_section

INPUTS_FILE = "screening.json"  # what was screened, and on what


@dataclass(frozen=True)
class ScreeningDirectory(ResultDirectory):
    """The results of a screening that is finished. `open` reads them.

    Attributes
    ----------
    campaign : settings of the screening
    table : one row a crystal or file
    inputs : what was screened, and on what
    """

    inputs: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the directory of a finished screening.

        Raises
        ------
        InputError
            Where a file is missing or cannot be read.
        """
        names = ("provenance", "ledger", "hull", "screening")
        if missing := [name for name in names if not (path / f"{name}.json").is_file()]:
            raise InputError(f"{path}: no finished screening, {', '.join(missing)} missing. Screen the files again.")
        provenance, ledger, hull, inputs = (read_json(path / f"{name}.json") for name in names)
        table = read_part(path / "screened.parquet")
        documents: dict[str, Any] = {"provenance": provenance, "ledger": ledger, "hull": hull}
        return cls(path, inputs["settings"], table, **documents, inputs=inputs)

    @property
    def title(self) -> str:
        """Name the system, and the run where there is one."""
        on = f", on {self.inputs['run']}" if "run" in self.inputs else ""
        return f"Screening of {'–'.join(self.system)}{on}"

    @property
    def remedy(self) -> str:
        """How its files are written again."""
        return "The command `imatgen screen`, given again, writes the structures again."

    @property
    def meaning_of_new(self) -> str:
        """Say what new means."""
        return str(self.provenance.get("meaning_of_new", ""))

    def notes(self) -> list[str]:
        """Return sentences on what a reader must know: what new means, and what the hull lacks."""
        return [note for note in (self.meaning_of_new, *super().notes()) if note]


def build_screening_report(path: Path) -> Path:
    """Write `report.html` of a finished screening.

    Parameters
    ----------
    path : its directory

    Raises
    ------
    InputError
        Where the directory holds no finished screening, or cannot be written to.
    """
    found = ScreeningDirectory.open(path)
    columns = [column for column in [*COLUMNS, *FILE_COLUMNS] if column.name in found.table.column_names]
    sections = {
        "ledger": ("Ledger", _ledger(found)),
        "hull": ("Hull", hull_section(found, funnel=False)),
        "best": ("Best structures", render("best")),
        "candidates": ("Candidates", render("candidates", run=found, scales=[])),
        "terms": ("Terms", terms_section(found, columns)),
        "methods": (
            "Methods",
            render("methods", paragraphs=screening_paragraph(found, found.meaning_of_new).split("\n\n")),
        ),
        "provenance": ("Provenance", _provenance(found)),
    }
    data = candidates_data(found, columns) | {
        "unlike": "new",
        "none_new": "No relaxed crystal is new.",
        "samplers": {},
        "compositions": None,
        "rounds": None,
    }
    return write_page(found, _header(found), _headline(found), sections, data)


def _header(found: ScreeningDirectory) -> Markup:
    number = found.table.num_rows
    files = len(found.inputs["files"])
    facts = [
        found.scale,
        f"{count(files)} file{plural(files)}",
        f"finished {when(found.provenance['finished'])}" if found.provenance.get("finished") else "",
    ]
    return render(
        "header",
        run=found,
        facts=[fact for fact in facts if fact],
        entered=f"{count(number)} crystal{plural(number)}, files that hold none included,",
        relaxed=len(found.relaxed),
        none_new="all match a known structure or each other",
        new=len(found.new),
        near=found.near,
        best=found.new[0] if found.new else None,
    )


def _headline(found: ScreeningDirectory) -> Markup:
    return render(
        "headline",
        run=found,
        entered=found.table.num_rows,
        what="crystals, files that hold none included",
        relaxed=len(found.relaxed),
        unseen=None,
        new=len(found.new),
        out_of_reach="like no known structure",
        near=found.near,
        clean=None,
        spent=sum(found.evaluations.values()),
    )


def _ledger(found: ScreeningDirectory) -> Markup:
    outcomes = [[f"{state}, {why.lower()}", count(number)] for state, why, number in count_outcomes(found.table)]
    return render(
        "ledger",
        head=["What became of them", "Crystals"],
        samples=outcomes,
        total=count(found.table.num_rows),
        evaluations=[[words(purpose), count(number)] for purpose, number in found.evaluations.items()],
        spent=count(sum(found.evaluations.values())),
    )


def _provenance(found: ScreeningDirectory) -> Markup:
    record, inputs = found.provenance, found.inputs
    known = ", ".join(inputs.get("known") or {})
    facts = {
        "System": "-".join(found.system),
        "Hull and known structures": f"the run {inputs['run']}" if "run" in inputs else "published phases",
        "Further published phases": known,
        "Energy scale": found.hull["potential"],
        **{f"{name}.{key}": value for name, section in found.campaign.items() for key, value in section.items()},
        "Started": record.get("started"),
        "Finished": record.get("finished"),
        "Hardware": record.get("hardware"),
    }
    return render(
        "provenance",
        facts=[[label, plain(value)] for label, value in facts.items() if value not in (None, "")],
        jobs=[],
        seconds=0,
        versions=list((record.get("versions") or {}).items()),
        subject="Screening",
        record="screening.json: what was screened, with the SHA-256 of each file",
        content=(found.path / INPUTS_FILE).read_text(encoding="utf-8"),
    )
