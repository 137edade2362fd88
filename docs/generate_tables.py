"""Write what the docs say of the code: campaign keys, columns, states, potentials, settings, commands, public names.

``python docs/generate_tables.py`` writes them between their markers; ``--check`` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel

import imatgen_flows
from imatgen_flows.campaign_v1 import RENAMED_KEYS
from imatgen_flows.candidates.classes import Novelty
from imatgen_flows.candidates.schema import COLUMNS, Column
from imatgen_flows.candidates.states import Stage, State
from imatgen_flows.cli.main import app
from imatgen_flows.config import CampaignConfig, Sampling
from imatgen_flows.energetics.potential_registry import POTENTIALS, Potential
from imatgen_flows.jobs.screen_files import screened_columns
from imatgen_flows.launchpad import administration, command_fields, commands
from imatgen_flows.launchpad.query import expressions, filters, groups, pipelines, updates
from imatgen_flows.models.registry import SAMPLERS
from imatgen_flows.registry import DescribedEnum
from imatgen_flows.settings import Settings

DOCS = Path(__file__).parent


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


def potentials() -> str:
    """List the potentials."""
    head = ["name", "package, weights", "trained on", "energies", "F1", "licence", "threshold", "evaluations"]
    return table(head, (describe_potential(item) for item in POTENTIALS if item.trained_on))


def columns(listed: Iterable[Column]) -> str:
    """List the columns of a table."""
    return table(["column", "type", "unit", "meaning"], map(describe, listed))


def settings() -> str:
    """List the settings of a machine."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = str(field.default).replace(str(Path.home()), "~") if field.default not in (None, {}) else ""
        rows.append(
            [f"`IMATGEN_{name.upper()}`", f"`{name}`", f"`{default}`" if default else "", field.description or ""]
        )
    return table(["variable", "key", "default", "meaning"], rows)


def all_commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """List a command and those within it, each with the words that call it."""
    path = path or ("imatgen",)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from all_commands(inner, (*path, name))


def describe_parameter(parameter: Any) -> list[str]:
    """Describe an argument or option of a command: how it is written, its default, its meaning."""
    takes = parameter.metavar or parameter.name.upper()
    default = parameter.default
    if isinstance(default, Enum):
        takes, default = "|".join(choice.value for choice in type(default)), default.value
    if isinstance(parameter.show_default, str):
        shown = parameter.show_default
    elif parameter.required:
        shown = "required"
    else:
        shown = "off" if default is False else f"`{default}`" if default is not None else ""
    if parameter.param_type_name == "argument":
        written = f"`{takes}`"
    else:
        names = ", ".join([*parameter.opts, *parameter.secondary_opts])
        written = f"`{names}`" if parameter.is_flag else f"`{names} {takes}`"
    return [written, shown.replace("<", "&lt;"), (parameter.help or "").replace("\n", " ")]


def command_reference() -> str:
    """Describe every command with its arguments and options."""
    parts = []
    for path, command in all_commands(typer.main.get_command(app)):
        parts += [f"{'#' * max(len(path), 2)} `{' '.join(path)}`", command.help or ""]
        if within := [name for name, inner in getattr(command, "commands", {}).items() if not inner.hidden]:
            parts.append(f"Commands: {', '.join(f'`{name}`' for name in within)}.")
        rows = [describe_parameter(item) for item in command.params if not item.hidden and item.name != "help"]
        parts.append(table(["argument or option", "default", "meaning"], rows) if rows else "")
    return "\n" + "\n\n".join(part.strip() for part in parts if part) + "\n"


def launchpad_language() -> str:
    """List what the embedded LaunchPad supports, and what it refuses by name."""

    def names(listed: Iterable[str]) -> str:
        return ", ".join(f"`{name}`" for name in sorted(listed))

    rows = [
        ["commands", commands.HANDLERS, commands.UNSUPPORTED_COMMANDS],
        ["fields of commands", (), command_fields.UNSUPPORTED_FIELDS],
        ["options of collections", (), administration.COLLECTION_OPTIONS],
        ["options of indexes", administration.INDEX_OPTIONS, administration.UNSUPPORTED_INDEX_OPTIONS],
        [
            "filters",
            {*filters.LOGICAL, *filters.CONDITIONS, "$regex", "$expr", "$comment"},
            filters.UNSUPPORTED_CONDITIONS | filters.UNSUPPORTED_QUERIES,
        ],
        ["updates", updates.OPERATORS, ()],
        ["stages of an update", updates.UPDATE_STAGES, ()],
        ["stages", {*pipelines.STAGES, *pipelines.JOINING}, pipelines.UNSUPPORTED_STAGES],
        ["accumulators", {*groups.ACCUMULATORS, *groups.CHOOSING}, groups.UNSUPPORTED_ACCUMULATORS],
        ["expressions", {*expressions.PLAIN, *expressions.FORMS}, expressions.UNSUPPORTED_EXPRESSIONS],
    ]
    return table(["what", "supported", "refused by name"], [[what, names(yes), names(no)] for what, yes, no in rows])


def public_names() -> str:
    """Name what the package exports, for mkdocstrings to document."""
    places = vars(imatgen_flows)["_MODULES"]
    return "\n" + "\n\n".join(f"::: imatgen_flows.{places[name]}.{name}" for name in imatgen_flows.__all__) + "\n"


# what stands between the markers of each page
PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    DOCS / "how-to" / "potentials.md": {"potentials": potentials},
    DOCS / "reference" / "api.md": {"public names": public_names},
    DOCS / "reference" / "campaign-file.md": {
        "campaign keys": campaign_keys,
        "renamed keys": lambda: table(["before", "now"], [[f"`{a}`", f"`{b}`"] for a, b in RENAMED_KEYS.items()]),
    },
    DOCS / "reference" / "candidate-table.md": {
        "columns": lambda: columns(COLUMNS),
        "states": lambda: described(State),
        "stages": lambda: described(Stage),
        "novelty": lambda: described(Novelty),
    },
    DOCS / "reference" / "commands.md": {"commands": command_reference},
    DOCS / "reference" / "embedded-launchpad.md": {"language of the launchpad": launchpad_language},
    DOCS / "reference" / "file-formats.md": {"columns of a screening": lambda: columns(screened_columns())},
    DOCS / "reference" / "settings.md": {"settings": settings},
}


def fill(page: str, blocks: dict[str, Callable[[], str]]) -> str:
    """Put blocks between their markers in a page.

    Raises
    ------
    ValueError
        Where the page lacks the markers of a block.
    """
    for name, write in blocks.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
        if not pattern.search(page):
            raise ValueError(f"the page has no markers `<!-- {name} -->` and `<!-- end of {name} -->`")
        block = write()
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
    for page, blocks in PAGES.items():
        before = page.read_text(encoding="utf-8")
        after = fill(before, blocks)
        changed |= before != after
        if not check:
            page.write_text(after, encoding="utf-8")
    return int(check and changed)


if __name__ == "__main__":
    sys.exit(main())
