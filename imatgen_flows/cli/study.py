"""The commands of `imatgen study`."""

from __future__ import annotations

import typer

from imatgen_flows.cli.study_latent import latent
from imatgen_flows.cli.study_vacancies import vacancies

study_app = typer.Typer(help="Repeat the checks of the paper on a run.", no_args_is_help=True)
study_app.command()(latent)
study_app.command()(vacancies)
