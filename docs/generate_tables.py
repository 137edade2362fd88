"""Write the tables of the docs that derive from the code: campaign keys, columns, states and stages, and potentials.

``python docs/generate_tables.py`` writes them between their markers; ``--check`` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from imatgen_flows.campaign_v1 import RENAMED_KEYS
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import COLUMNS, Column
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.config import CampaignConfig, Sampling
from imatgen_flows.energetics.potential_registry import POTENTIALS, Potential
from imatgen_flows.jobs.screen_files import screened_columns
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.registry import DescribedEnum

PAGE = Path(__file__).parent / "reference" / "file-formats.md"
POTENTIALS_PAGE = Path(__file__).parent / "how-to" / "potentials.md"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def default_of(value: Any) -> str:
    """Write a default as it stands in YAML; nothing where there is none."""
    if value in (None, "", {}):
        return ""
    return f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix('...').strip().splitlines()[0]}`"


def campaign_keys() -> str:
    """List every key of the campaign file with its default and its description."""
    rows = []
    for name, field in CampaignConfig.model_fields.items():
        key, section = field.alias or name, field.annotation
        if section is Sampling:
            rows += [[f"`{key}.{entry.name}`", f"`{entry.default}`", entry.description] for entry in SAMPLERS]
        elif isinstance(section, type) and issubclass(section, BaseModel):
            rows += [
                [f"`{key}.{inner}`", default_of(item.get_default(call_default_factory=True)), item.description or ""]
                for inner, item in section.model_fields.items()
            ]
        else:
            default = "required" if field.is_required() else default_of(field.default)
            rows.append([f"`{key}`", default, field.description or "Of this format."])
    return table(["key", "default", "meaning"], rows)


def described(members: type[DescribedEnum]) -> str:
    """List the values of an enum."""
    return table(["value", "label", "meaning"], [[f"`{m.value}`", m.label, m.description] for m in members])


def describe(column: Column) -> list[str]:
    """Describe a column of a table."""
    return [f"`{column.name}`", column.type, column.unit, column.description]


def describe_potential(potential: Potential) -> list[str]:
    """Describe an entry of the registry of potentials."""
    return [
        f"`{potential.name}`",
        f"{potential.package} {potential.weights}".strip(),
        ", ".join(potential.trained_on),
        f"{potential.functional}{', MP2020 added' if potential.correction == 'mp2020' else ''}",
        "" if potential.f1 is None else f"{potential.f1:.3f}",
        potential.licence,
        "" if potential.threshold is None else f"{potential.threshold:g}",
        f"{potential.evaluations}, {potential.reference_evaluations}",
    ]


def potential_blocks() -> dict[str, str]:
    """Make the table of the page on potentials."""
    head = ["name", "package, weights", "trained on", "energies", "F1", "licence", "threshold", "evaluations"]
    return {"potentials": table(head, (describe_potential(item) for item in POTENTIALS if item.trained_on))}


def blocks() -> dict[str, str]:
    """Make every table of the page on files, by the name in its markers."""
    head = ["column", "type", "unit", "meaning"]
    return {
        "campaign keys": campaign_keys(),
        "renamed keys": table(["before", "now"], [[f"`{a}`", f"`{b}`"] for a, b in RENAMED_KEYS.items()]),
        "columns": table(head, map(describe, COLUMNS)),
        "columns of a screening": table(head, map(describe, screened_columns())),
        "states": described(State),
        "stages": described(Stage),
        "novelty": described(Novelty),
    }


def fill(page: str, tables: dict[str, str] | None = None) -> str:
    """Put tables between their markers; by default those of the page on files.

    Raises
    ------
    ValueError
        Where the page lacks the markers of a table.
    """
    for name, block in (blocks() if tables is None else tables).items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"the page has no markers `<!-- {name} -->` and `<!-- end of {name} -->`")
        page = pattern.sub(lambda found, block=block: f"{found[1]}{block}\n{found[2]}", page)
    return page


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit status 1 where a table is out of date"
    )
    check = parser.parse_args().check
    changed = False
    for page, tables in ((PAGE, blocks()), (POTENTIALS_PAGE, potential_blocks())):
        before = page.read_text(encoding="utf-8")
        after = fill(before, tables)
        changed |= before != after
        if not check:
            page.write_text(after, encoding="utf-8")
    return int(check and changed)


if __name__ == "__main__":
    sys.exit(main())
