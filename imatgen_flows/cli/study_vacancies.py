"""The command `imatgen study vacancies`: relaxation of candidates that lack a cation, with the cation put back."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from imatgen_flows.cli.options import AsJson, RunPath
from imatgen_flows.cli.output import print_table, show_progress
from imatgen_flows.sources.registry import RANDOM_SEARCH, SOURCES


def vacancies(
    run: RunPath,
    at_most: Annotated[
        int | None,
        typer.Option(min=1, help="Candidates to check, nearest to the hull first.", show_default="all"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every candidate, not only the best of each composition.")
    ] = False,
    control: Annotated[
        int,
        typer.Option(
            min=0, help="Controls for each candidate: as many random crystals of its filled cell, relaxed alike."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random crystals.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put the cation that A(n-1)B(n) lacks back, relax, and compare with the known crystals AB. Binary systems."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.jobs.run_inputs import vacancy_inputs
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.report.vacancies import VACANCIES_FILE
    from imatgen_flows.studies.vacancies import VacancySettings, cation_and_anion, study_vacancies

    if control:
        SOURCES[RANDOM_SEARCH].check()
    show_progress()
    pair = cation_and_anion(RunDirectory.open(run).system)
    inputs = vacancy_inputs(run, pair)
    result = study_vacancies(
        pair,
        inputs.candidates,
        inputs.compounds,
        inputs.hull,
        inputs.relax,
        inputs.single_point,
        VacancySettings(at_most, everything, control, seed),
        inputs.volume_ratio,
    )
    found = {
        "potential": inputs.hull.potential,
        "fmax": inputs.screen.fmax,
        "max_steps": inputs.screen.max_steps,
    } | result.to_dict()
    write_atomic(run / VACANCIES_FILE, json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["candidates"]:
        _print_vacancies(found)
    else:
        cation, anion = pair
        typer.echo(f"no new candidate of {run} lacks one {cation} to be {cation}{anion}: nothing to put back.")


def _print_vacancies(found: dict[str, Any]) -> None:
    rows, counts = found["candidates"], found["dataset"]
    print_table(
        f"{found['cation']} put back; energies of {found['potential']} in eV/atom, lengths in A",
        ["candidate", "cell\nfilled", "E_hull\nfilled", "unrelaxed\nrelaxed", "void", "equals", "rms", "cost"],
        [
            [
                row["id"],
                f"{row['formula']}\n{row['filled_formula']}",
                f"{row['e_above_hull']:.3f}\n{_number(row['filled_e_above_hull'])}",
                f"{_number(row['unrelaxed_energy_per_atom'])}\n{_number(row['filled_energy_per_atom'])}",
                f"{row['site_distance']:.2f}",
                "" if row["reason"] else f"{row['match']} ({row['match_state']})" if row["match"] else "none",
                _number(row["rms"]),
                f"{row['evaluations']:,}",
            ]
            for row in rows
        ],
    )
    for row in rows:
        if row["reason"]:
            typer.echo(f"{row['id']}: none of {row['sites']} sites relaxed ({row['reason']})")
    compound, controls = f"{found['cation']}{found['anion']}", found["controls"]
    typer.echo(f"{_share(found['returned'])} return a {compound} of the dataset or a known one.")
    if controls:
        empty = sum(not row["cells"] for row in controls)
        typer.echo(
            f"{_share(found['controls_returned'])} controls do: the lowest of as many random crystals of the same cell"
            f"{f'; for {empty} there was no random crystal' if empty else ''}."
        )
    else:
        typer.echo("How often random crystals of these cells do so too, --control tells.")
    typer.echo(
        f"{counts['structures']} such structures: {counts['relaxed']} relaxed before, {counts['relaxed_now']} now, "
        f"{counts['equal']} equal to one of these as made, {counts['failed']} failed."
    )
    typer.echo(
        f"{found['evaluations_total']:,} energy evaluations: {found['evaluations']['filled']:,} for the candidates, "
        f"{found['evaluations']['dataset']:,} for the dataset, {found['evaluations']['control']:,} for controls."
    )
    if found["exclusions"]:
        typer.echo(f"left out: {len(found['exclusions'])} whose cells lack more than one {found['cation']}")


def _share(returned: dict[str, Any]) -> str:
    low, high = returned["interval"]
    return f"{returned['count']} of {returned['of']} ({low:.0%} to {high:.0%})"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
