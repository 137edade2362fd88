"""Commands of version 1 that have new names: each says its new name, and does nothing."""

from __future__ import annotations

from collections.abc import Callable

import typer

from imatgen_flows.errors import InputError

RENAMED_COMMANDS = {"generation": "evaluate baselines", "vacancies": "study vacancies", "latent": "study latent"}


def add_renamed(app: typer.Typer) -> None:
    """Add the retired commands of `imatgen evaluate`, hidden from the help text."""
    for old, new in RENAMED_COMMANDS.items():
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        app.command(old, hidden=True, add_help_option=False, context_settings=settings)(_renamed(old, new))


def _renamed(old: str, new: str) -> Callable[[typer.Context], None]:
    def command(_context: typer.Context) -> None:
        raise InputError(f"`imatgen evaluate {old}` is now `imatgen {new}`.")

    return command
