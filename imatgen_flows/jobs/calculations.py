"""The jobs of DFT, or of what takes its place: a chain of calculations for each structure, and a result for each chain."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobflow import Flow, Maker, OnMissing, Response
from monty.json import jsanitize

from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job, dynamic_job
from imatgen_flows.jobs.documents import CalculationsDocument
from imatgen_flows.jobs.search_space import pressure_input
from imatgen_flows.profiles import Profile
from imatgen_flows.settings import get_settings

# reasons of a refusal that another attempt from the last structure can remove: too little time or too few steps, a lost job
RETRIED = ("walltime", "stopped", "not_successful", "not_converged", "job_lost")
FULL = 0.1  # GB free on the disk; no calculation can write its files in less


@dynamic_job(profile=Profile.LIGHT, label="calculate")
def calculate(root: str, *, subjects: ArtifactRef, maker: Maker, rules: dict[str, Any]) -> Response:
    """Replace this job by a chain of calculations and its check for each subject, and a job that collects the results.

    Parameters
    ----------
    root : of the artifact store
    subjects : rows: name, structure, and `fixed_cell` for a molecule in a box
    maker : of atomate2; makes the chain of one structure
    rules : `backend`, `fmax` (eV/A), `attempts`; `pressure` (GPa) where there is one
    """
    rows = read_lines(ArtifactRef.model_validate(subjects))
    chains: list[Any] = []
    results = []
    for row in rows:
        chosen = with_fixed_cell(maker) if row.get("fixed_cell") else maker
        jobs = _attempt(row["name"], row["structure"], chosen, rules)
        chains += jobs
        results.append(jobs[-1].output)
    collected = collect_calculations(root, names=[row["name"] for row in rows], results=results)
    collected.config.on_missing_references = OnMissing.NONE  # what died is one rejection
    return Response(replace=Flow([*chains, collected], output=collected.output, name="calculations"))


def with_fixed_cell(maker: Maker) -> Maker:
    """Change a maker so that it keeps the cell: the one of a molecule is a box without meaning."""
    if hasattr(maker, "relax_cell"):
        return maker.update_kwargs({"relax_cell": False})
    from atomate2.vasp.jobs.base import BaseVaspMaker

    keep = {"_set": {"input_set_generator->user_incar_settings->ISIF": 2}}
    return maker.update_kwargs(keep, class_filter=BaseVaspMaker, dict_mod=True)


def _attempt(
    name: str, structure: Any, maker: Maker, rules: dict[str, Any], number: int = 1, spent: int = 0
) -> list[Any]:
    """Chain the calculations of one structure and their check."""
    from pymatgen.core import Structure

    # the workflow engine makes a dictionary of a structure, or a structure of a dictionary, as it pleases
    chain = maker.make(structure if isinstance(structure, Structure) else Structure.from_dict(structure))
    chain.append_name(f" {name}", dynamic=False)
    # a chain whose first step dies would wait for ever under FireWorks: every step starts, and dies in turn
    chain.update_config({"on_missing_references": OnMissing.NONE}, dynamic=False)
    steps = [step for step, _ in chain.iterflow()] if isinstance(chain, Flow) else [chain]
    # what cleans up has no schema, and neither has a force field, which is a single job
    tasks = [step.output for step in steps if step.output_schema is not None] or [chain.output]
    check = check_calculation(
        name=name, start=structure, tasks=tasks, maker=maker, rules=rules, number=number, spent=spent
    )
    check.config.on_missing_references = OnMissing.NONE
    return [chain, check]


@dynamic_job(profile=Profile.LIGHT, label="check {name}")
def check_calculation(
    name: str,
    start: Any,
    tasks: list[Any],
    maker: Maker,
    rules: dict[str, Any],
    number: int,
    spent: int,
) -> dict[str, Any] | Response:
    """Accept a chain of calculations, refuse it with the reason, or try again from the last structure that it reached."""
    from imatgen_flows.energetics.dft import ionic_evaluations
    from imatgen_flows.energetics.dft_result import Refusal

    spent += sum(ionic_evaluations(task) for task in tasks if task is not None)
    result = _check(tasks, rules)
    common = {"name": name, "attempts": number, "evaluations": spent}
    if not isinstance(result, Refusal):
        return common | {"state": "accepted", "reason": "", "detail": ""} | result
    if result.reason in RETRIED and number < rules["attempts"]:
        jobs = _attempt(name, _last_structure(tasks) or start, maker, rules, number + 1, spent)
        return Response(replace=Flow(jobs, output=jobs[-1].output, name=f"again {name}"))
    return common | {"state": "rejected", "reason": result.reason, "detail": result.detail}


def _check(tasks: list[Any], rules: Mapping[str, Any]) -> Any:
    """Check the last step, and the relaxation before it; return plain values, or a refusal."""
    from dataclasses import asdict

    from imatgen_flows.energetics.dft_result import Refusal

    if not tasks or any(task is None for task in tasks):
        return Refusal("job_lost", _loss(tasks))
    backend, at = BACKENDS[rules["backend"]], pressure_input(rules.get("pressure", 0.0))
    result: Any = None
    for task in tasks[-2:]:
        result = backend.check_document(task, fmax=rules["fmax"], allow_stand_in=get_settings().stand_in, **at)
        if isinstance(result, Refusal):
            return result
    return asdict(result) | {"structure": result.structure.as_dict()}


def _loss(tasks: list[Any]) -> str:
    """Say which calculation died first: those after it had nothing to start from. A full disk is a usual cause."""
    lost = [number for number, task in enumerate(tasks, 1) if task is None]
    if not lost:
        return "there were no calculations."
    later = ", and those after it had nothing to start from" if len(lost) > 1 else ""
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    disk = f" Only {free * 1000:.0f} MB are free on the disk of {Path.cwd()}: make room." if free < FULL else ""
    return f"calculation {lost[0]} of {len(tasks)} died without a result{later}.{disk}"


def _last_structure(tasks: list[Any]) -> Any:
    """Return the structure that the last step which left one reached; None where none has any atoms."""
    for task in reversed(tasks):
        document = task if isinstance(task, Mapping) or task is None else {"structure": task.structure}
        structure = (document or {}).get("structure")
        if structure and (structure["sites"] if isinstance(structure, Mapping) else structure):
            return structure
    return None


@cached_job(CalculationsDocument, profile=Profile.LIGHT, label="collect calculations")
def collect_calculations(
    store: ArtifactStore, scratch: Path, *, names: list[str], results: list[dict[str, Any] | None]
) -> dict[str, Any]:
    """Collect the results of all chains; a subject without one counts as lost."""
    lost = {"state": "rejected", "reason": "job_lost", "detail": "no job of it left a result", "evaluations": 0}
    rows = [
        jsanitize(result or lost | {"name": name, "attempts": 0}, strict=True)
        for name, result in zip(names, results, strict=True)
    ]
    accepted = sum(row["state"] == "accepted" for row in rows)
    return {
        "calculations": store.put_lines("calculations", rows),
        "counts": {"accepted": accepted, "rejected": len(rows) - accepted},
        "spent": sum(row["evaluations"] for row in rows),
    }
