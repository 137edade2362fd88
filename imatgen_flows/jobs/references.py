"""The phases that make the hull: published ones, and the best that plain substitution gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.errors import ImatgenError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.dataset import published_phases
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument
from imatgen_flows.jobs.result_cache import relax_cached, single_points_cached

if TYPE_CHECKING:
    from imatgen_flows.energetics.references import ReferencePhase

PRICED = "priced"  # state of a substituted structure that was evaluated once, to choose what is relaxed


@cached_job(ReferenceDocument)
def relax_references(
    store: ArtifactStore,
    scratch: Path,
    *,
    system: list[str],
    known: dict[str, Any],
    limits: dict[str, Any],
    content: str,
    potential: str,
    fmax: float,
    max_steps: int,
) -> dict[str, Any]:
    """Relax the published phases of the system, and simple structures of an element that has no relaxed phase then.

    Of three elements and more, the systems within compete too: the best of what substitution into the shipped prototypes
    gives for each plausible composition. A ternary that is not compared with binaries is compared with nothing.

    `content` names what the campaign's file of known phases holds; it is there for the stage's key.
    """
    from imatgen_flows.energetics.references import elemental_fallback

    phases, _ = published_phases(system, known, limits)
    rows, evaluations = _relax_phases(scratch, phases, potential, fmax, max_steps)
    relaxed = {row["name"] for row in rows if row["state"] == "relaxed"}
    found = {phase.structure.composition.chemical_system for phase in phases if phase.name in relaxed}
    fallback = [phase for element in system if element not in found for phase in elemental_fallback(element)]
    more, spent = _relax_phases(scratch, fallback, potential, fmax, max_steps)
    rows, evaluations = rows + more, evaluations + spent
    for subsystem in subsystems(system):
        more, spent = _price_subsystem(scratch, subsystem, limits, potential, fmax, max_steps)
        rows, evaluations = rows + more, evaluations + spent
    return _reference_document(store, rows, potential, {"references": evaluations})


@cached_job(ReferenceDocument)
def extend_hull(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    references: ReferenceDocument,
    substituted: int,
    fmax: float,
    max_steps: int,
) -> dict[str, Any]:
    """Let the best substituted structures of each plausible composition compete on the hull.

    A new structure then has to beat what plain substitution finds, not only what crystallography has published. For a
    system without published compounds these are the hull.
    """
    from pymatgen.core import Structure

    crystals = {row["id"]: row for row in read_lines(dataset.crystals)}
    priced = []
    for label in read_lines(labels.labels):
        row = crystals[label["id"]]
        if label["energy_per_atom"] is not None and not row["known"]:
            phase = _substituted(row["id"], Structure.from_dict(row["structure"]), row["template"])
            priced.append((label["energy_per_atom"], phase))
    phases = _lowest(priced, substituted)
    rows, evaluations = _relax_phases(scratch, phases, references.potential, fmax, max_steps)
    return _reference_document(
        store, read_lines(references.phases) + rows, references.potential, {"references": evaluations}
    )


def subsystems(system: list[str]) -> list[tuple[str, ...]]:
    """All systems of two elements and more within a system; none within a binary."""
    return [part for size in range(2, len(system)) for part in itertools.combinations(system, size)]


def substitute_subsystem(system: Sequence[str], limits: dict[str, Any]) -> list[Any]:
    """Make what the shipped prototypes become with some of the elements of a system."""
    from imatgen_flows.crystals.substitution import substitute
    from imatgen_flows.crystals.templates import load_templates

    templates, _ = load_templates(n_elements=len(system), max_sites=limits["max_sites"], max_edge=limits["max_edge"])
    return substitute(templates, system, limits["max_sites"], limits["max_edge"])[0]


def _price_subsystem(
    scratch: Path, system: Sequence[str], limits: dict[str, Any], potential: str, fmax: float, max_steps: int
) -> tuple[list[dict], int]:
    """Price what substitution gives for some of the elements, and relax the lowest of each composition."""
    made = substitute_subsystem(system, limits)
    folder = scratch / "-".join((PRICED, *system))
    folder.mkdir(exist_ok=True)
    results = single_points_cached(folder, [item.id for item in made], [item.structure for item in made], potential)
    phases = [_substituted(item.id, item.structure, item.template_id) for item in made]
    lowest = _lowest([(r["energy_per_atom"], p) for r, p in zip(results, phases, strict=True) if not r["reason"]], 1)
    rows, spent = _relax_phases(scratch, lowest, potential, fmax, max_steps)
    chosen = {row["name"]: row for row in rows}
    for phase, result in zip(phases, results, strict=True):
        if phase.name in chosen:
            chosen[phase.name]["evaluations"] += result["evaluations"]
        else:
            rows.append(_row(phase, result | {"state": PRICED, "fmax": None, "steps": 0}))
    return rows, spent + sum(result["evaluations"] for result in results)


def _substituted(name: str, structure: Any, template: str) -> ReferencePhase:
    from imatgen_flows.energetics.references import ReferencePhase

    return ReferencePhase(name=name, structure=structure, source=f"substituted from {template}", kind="substituted")


def _lowest(priced: list[tuple[float, ReferencePhase]], number: int) -> list[ReferencePhase]:
    """Choose the lowest structures of each composition that has plausible oxidation states."""
    from imatgen_flows.crystals.chemistry import has_valid_oxidation

    by_formula: dict[str, list[ReferencePhase]] = {}
    for _, phase in sorted(priced, key=lambda item: item[0]):
        composition = phase.structure.composition
        if has_valid_oxidation(composition):
            by_formula.setdefault(composition.reduced_formula, []).append(phase)
    return [phase for phases in by_formula.values() for phase in phases[:number]]


def _relax_phases(scratch: Path, phases: list, potential: str, fmax: float, max_steps: int) -> tuple[list[dict], int]:
    results = relax_cached(
        scratch,
        [phase.name for phase in phases],
        [phase.structure for phase in phases],
        potential,
        fmax=fmax,
        max_steps=max_steps,
        fixed_cell=[phase.molecule for phase in phases],
    )
    rows = [_row(phase, result) for phase, result in zip(phases, results, strict=True)]
    return rows, sum(row["evaluations"] for row in rows)


def _row(phase: ReferencePhase, result: dict[str, Any]) -> dict[str, Any]:
    kept = ("state", "reason", "energy_per_atom", "fmax", "steps", "evaluations")
    return (
        {"name": phase.name, "kind": phase.kind, "source": phase.source, "molecule": phase.molecule}
        | {name: result[name] for name in kept}
        | {"structure": result["structure"] or phase.structure.as_dict()}
    )


def _reference_document(store: ArtifactStore, rows: list[dict], potential: str, evaluations: dict) -> dict[str, Any]:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.hull import Hull, HullEntry
    from imatgen_flows.energetics.potentials import get_potential

    relaxed = [row for row in rows if row["state"] == "relaxed"]
    if not relaxed:
        raise ImatgenError(
            f"none of {len(rows)} reference phases could be relaxed with {potential}; the first failed with "
            f"`{rows[0]['reason']}`. Without references there is no hull."
            if rows
            else "there are no reference phases."
        )
    hull = Hull(
        [
            HullEntry(
                name=row["name"],
                composition=Structure.from_dict(row["structure"]).composition,
                energy_per_atom=row["energy_per_atom"],
                source=row["source"],
                kind=row["kind"],
            )
            for row in relaxed
        ],
        potential=get_potential(potential).scale,
    )
    counts = {"relaxed": len(relaxed), "failed": sum(row["state"] not in ("relaxed", PRICED) for row in rows)}
    return {
        "potential": potential,
        "hull": store.put_json("hull", hull.to_dict()),
        "phases": store.put_lines("phases", rows),
        "counts": counts,
        "evaluations": evaluations,
    }
