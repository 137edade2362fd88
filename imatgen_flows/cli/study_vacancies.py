"""The command `imatgen evaluate vacancies`: what candidates that lack a cation become with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imatgen_flows.cli.evaluate import AsJson, Run, print_table, show_progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imatgen_flows.jobs.documents import DatasetDocument, ReferenceDocument, RoundDocument
    from imatgen_flows.studies.vacancies import Compound, Control, Deficient, End, VacancyCheck

RELAXED_STATES = ("screened", "shortlisted", "validated")


def vacancies(
    run: Run,
    at_most: Annotated[int | None, typer.Option(min=1, help="Candidates to check, nearest to the hull first.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every candidate, not only the best of each composition.")
    ] = False,
    control: Annotated[
        int,
        typer.Option(
            min=0, help="Controls for each candidate: as many random crystals of its filled cell, relaxed alike."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random crystals.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Put the cation that A(n-1)B(n) lacks back, relax, and look whether a known crystal AB comes out. Binary systems."""
    from imatgen_flows.io.files import write_atomic
    from imatgen_flows.report.vacancies import VACANCIES_FILE
    from imatgen_flows.sources.random_search import check_random_search

    if control:
        check_random_search()
    show_progress()
    found = _check_vacancies(run, at_most, everything, control, seed)
    write_atomic(run / VACANCIES_FILE, json.dumps(found, indent=1))
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["candidates"]:
        _print_vacancies(found)
    else:
        cation, anion = found["cation"], found["anion"]
        typer.echo(f"no new candidate of {run} lacks one {cation} to be {cation}{anion}: nothing to put back.")


def _check_vacancies(run: Path, at_most: int | None, everything: bool, each: int, seed: int) -> dict[str, Any]:
    """Check the candidates of a finished run against its dataset; what is relaxed is kept for another call."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.documents import DatasetDocument, ReferenceDocument
    from imatgen_flows.jobs.evaluators import evaluators, hull_of
    from imatgen_flows.jobs.provenance import finished_round, parent
    from imatgen_flows.report.run_directory import RunDirectory
    from imatgen_flows.studies.vacancies import (
        SITES,
        cation_and_anion,
        check_controls,
        check_vacancies,
        relax_compounds,
    )

    directory = RunDirectory.open(run)
    pair = cation_and_anion(directory.system)
    screen = CampaignConfig.from_file(run / "campaign.yaml").screen
    store = ArtifactStore(run / "artifacts")
    finished = finished_round(store, directory.ledger)
    references = parent(store, finished, ReferenceDocument, "extend_hull")
    dataset = parent(store, finished, DatasetDocument, "build_dataset", "extend_dataset")
    hull = hull_of(references, screen, run)

    candidates, exclusions = _deficient(finished, pair, everything)
    checks: list[VacancyCheck] = []
    controls: list[Control] = []
    counts: dict[str, int] = {}
    if candidates := candidates[:at_most]:
        relax, price = evaluators(store, screen)
        compounds, counts = relax_compounds(_compounds(dataset, references, pair), relax)
        checks = check_vacancies(candidates, compounds, hull, pair[0], relax, price)
        if each:
            controls = check_controls(checks, compounds, hull, relax, each, seed)
    spent = {"filled": sum(check.evaluations for check in checks), "dataset": counts.get("evaluations", 0)}
    spent["control"] = sum(control.evaluations for control in controls)
    return {
        "cation": pair[0],
        "anion": pair[1],
        "potential": hull.potential,
        "fmax": screen.fmax,
        "max_steps": screen.max_steps,
        "sites_at_most": SITES,
        "candidates": [check.to_row() for check in checks],
        "returned": _returned(checks),
        "controls": [control.to_row() for control in controls],
        "controls_returned": _returned(controls) if controls else None,
        "seed": seed,
        "exclusions": exclusions,
        "dataset": counts,
        "evaluations": spent,
        "evaluations_total": sum(spent.values()),
    }


def _returned(ends: Sequence[End]) -> dict[str, Any]:
    """Count those that came back as a crystal of the dataset or a known one; the share with its 95 % interval."""
    from imatgen_flows.metrics.statistics import rate_interval

    again = sum(bool(end.match) for end in ends)
    return {"count": again, "of": len(ends), "interval": rate_interval(again, len(ends))}


def _deficient(
    finished: RoundDocument, pair: tuple[str, str], everything: bool
) -> tuple[list[Deficient], list[dict[str, str]]]:
    """Gather the new candidates that lack one cation, nearest to the hull first, and those that lack several."""
    from pymatgen.core import Structure

    from imatgen_flows.candidates.candidate import Candidate
    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.studies.vacancies import Deficient, deficient_cell, is_deficient, lowest_of_each

    found: dict[str, Deficient] = {}
    exclusions = []
    for record in (Candidate(**row) for row in read_lines(finished.candidates)):
        if record.state.value not in RELAXED_STATES or record.novelty != "new" or record.relaxed is None:
            continue
        structure = Structure.from_dict(record.relaxed)
        if not is_deficient(structure.composition, *pair):
            continue
        cell = deficient_cell(structure, *pair)
        if cell is None:
            formula = structure.composition.formula.replace(" ", "")
            exclusions.append(
                {"id": record.id, "formula": formula, "reason": f"its cell lacks more than one {pair[0]}"}
            )
            continue
        energy = record.energies[0]  # the potential's, whatever DFT said
        found[record.id] = Deficient(record.id, cell, energy.energy_per_atom, energy.e_above_hull)
    lowest = sorted(found.values(), key=lambda item: item.e_above_hull)
    return (lowest if everything else lowest_of_each(lowest)), exclusions


def _compounds(dataset: DatasetDocument, references: ReferenceDocument, pair: tuple[str, str]) -> list[Compound]:
    """Gather the crystals AB: of the dataset as made, of the hull as relaxed; what was learnt on the way is none."""
    from pymatgen.core import Composition, Structure

    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.studies.vacancies import Compound

    wanted = Composition(dict.fromkeys(pair, 1)).reduced_formula
    found = {
        row["id"]: Compound(row["id"], row["known"], Structure.from_dict(row["structure"]))
        for row in read_lines(dataset.crystals)
        if row["formula"] == wanted and not row.get("learnt")
    }
    for row in read_lines(references.phases):
        structure = Structure.from_dict(row["structure"])
        if row["state"] != "relaxed" or structure.composition.reduced_formula != wanted:
            continue
        known = row["kind"] != "substituted"
        name = f"known:{row['name']}" if known else row["name"]
        made = found[name].made if name in found else None
        found[name] = Compound(name, known, made, structure, row["energy_per_atom"])
    return list(found.values())


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
