"""The jobs that build the hull: published phases, and the best structures that substitution gives."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Known, Limits
from imatgen_flows.errors import ImatgenError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.campaign_inputs import fallback_phases, hull_phases, read_section
from imatgen_flows.jobs.dataset_rows import structure_of
from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ReferenceDocument, RelaxInputs
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.result_cache import relax_cached, single_points_cached
from imatgen_flows.jobs.search_space import pressure_input
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.crystals.substitution import Substituted
    from imatgen_flows.energetics.hull import Hull
    from imatgen_flows.energetics.references import ReferencePhase

logger = logging.getLogger(__name__)

SINGLE_POINT = "single_point"  # state of a substituted structure that was evaluated once, to choose what is relaxed


@cached_job(ReferenceDocument, profile=Profile.GPU_RELAX, label="relax references")
def relax_references(
    store: ArtifactStore,
    scratch: Path,
    *,
    system: list[str],
    known: dict[str, Any],
    limits: dict[str, Any],
    relax: RelaxInputs,
) -> dict[str, Any]:
    """Relax the published phases of the system, and simple structures of an element that has no relaxed phase then.

    Of three elements and more, the systems within compete too: the best of what substitution into the shipped prototypes
    gives for each composition. A ternary that is not compared with binaries is compared with nothing.

    At a pressure all energies are enthalpies, and solids take the place of molecules.
    """
    bounds, pressure = read_section(Limits, limits), relax.get("pressure", 0.0)
    phases = hull_phases(system, read_section(Known, known), pressure)
    rows = relax_published(scratch, system, phases, relax)
    for subsystem in subsystems(system):
        rows += _relax_subsystem(scratch, subsystem, bounds, relax, [row["name"] for row in rows])
    spent = sum(row["evaluations"] for row in rows)
    hull = build_hull(rows, relax["potential"], pressure)
    return _reference_fields(store, rows, relax["potential"], hull) | {"evaluations": {"references": spent}}


@cached_job(ReferenceDocument, profile=Profile.GPU_RELAX, label="extend hull")
def extend_hull(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    references: ReferenceDocument,
    substituted: int,
    relax: RelaxInputs,
) -> dict[str, Any]:
    """Relax the lowest substituted structures of each composition, and add them to the hull.

    A new structure then has to beat what plain substitution finds, not only what crystallography has published. For a
    system without published compounds these are the hull.
    """
    from imatgen_flows.energetics.published import number_names

    crystals = {row["id"]: row for row in read_lines(dataset.crystals)}
    before = read_lines(references.phases)
    evaluated = []
    for label in read_lines(labels.labels):
        row = crystals[label["id"]]
        if label["energy_per_atom"] is not None and not row["known"]:
            phase = _substituted_phase(row["id"], structure_of(row), row["template"])
            evaluated.append((label["energy_per_atom"], phase))
    lowest = number_names(_lowest(evaluated, substituted), [row["name"] for row in before])
    rows = _relax_phases(scratch, lowest, relax)
    spent = sum(row["evaluations"] for row in rows)
    pressure = relax.get("pressure", 0.0)
    hull = build_hull(before + rows, references.potential, pressure)
    logger.info("%s", hull.basis.sentence(pressure))
    fields = _reference_fields(store, before + rows, references.potential, hull)
    return fields | {"evaluations": {"references": spent}}


def relax_published(
    scratch: Path, system: Sequence[str], phases: list[ReferencePhase], relax: RelaxInputs
) -> list[dict[str, Any]]:
    """Relax published phases, and simple structures of each element that has no relaxed phase then.

    Parameters
    ----------
    scratch : where each relaxation is kept under the name of its phase, and found again
    system : element symbols
    phases : as `published_phases` returns them
    relax : potential and settings

    Returns
    -------
    one row a phase: what it is, its state, its energy, and its structure as relaxed, or as it was where it did not relax
    """
    from imatgen_flows.energetics.published import number_names

    rows = _relax_phases(scratch, phases, relax)
    relaxed = {row["name"] for row in rows if row["state"] == "relaxed"}
    found = {phase.structure.composition.chemical_system for phase in phases if phase.name in relaxed}
    fallback = fallback_phases(list(system), found, relax.get("pressure", 0.0))
    return rows + _relax_phases(scratch, number_names(fallback, [row["name"] for row in rows]), relax)


def subsystems(system: list[str]) -> list[tuple[str, ...]]:
    """List all systems of two elements and more within a system; a binary has none."""
    return [part for size in range(2, len(system)) for part in itertools.combinations(system, size)]


def substitute_subsystem(system: Sequence[str], limits: Limits) -> list[Substituted]:
    """Substitute some of the elements of a system into the shipped prototypes."""
    from imatgen_flows.crystals.substitution import substitute
    from imatgen_flows.crystals.templates import load_templates

    templates, _ = load_templates(n_elements=len(system), max_sites=limits.max_sites, max_edge=limits.max_edge)
    return substitute(templates, system, limits.max_sites, limits.max_edge)[0]


def _relax_subsystem(
    scratch: Path, system: Sequence[str], limits: Limits, relax: RelaxInputs, taken: Collection[str]
) -> list[dict[str, Any]]:
    """Evaluate what substitution gives for some of the elements, and relax the lowest of each composition."""
    from imatgen_flows.energetics.published import number_names

    made = substitute_subsystem(system, limits)
    folder = scratch / "-".join((SINGLE_POINT, *system))
    folder.mkdir(exist_ok=True)
    results = single_points_cached(
        folder,
        [item.id for item in made],
        [item.structure for item in made],
        relax["potential"],
        **pressure_input(relax.get("pressure", 0.0)),
    )
    phases = number_names([_substituted_phase(item.id, item.structure, item.template_id) for item in made], taken)
    lowest = _lowest([(r["energy_per_atom"], p) for r, p in zip(results, phases, strict=True) if not r["reason"]], 1)
    rows = _relax_phases(scratch, lowest, relax)
    chosen = {row["name"]: row for row in rows}
    for phase, result in zip(phases, results, strict=True):
        if phase.name in chosen:
            chosen[phase.name]["evaluations"] += result["evaluations"]
        else:
            rows.append(_phase_row(phase, result | {"state": SINGLE_POINT, "fmax": None, "steps": 0}))
    return rows


def _substituted_phase(name: str, structure: Structure, template: str) -> ReferencePhase:
    from imatgen_flows.energetics.references import ReferencePhase

    return ReferencePhase(name=name, structure=structure, source=f"substituted from {template}", kind="substituted")


def _lowest(evaluated: list[tuple[float, ReferencePhase]], number: int) -> list[ReferencePhase]:
    """Choose the structures of lowest energy (eV/atom) of each composition.

    No rule of chemistry keeps one away: the energy alone decides what lies on a hull.
    """
    by_formula: dict[str, list[ReferencePhase]] = {}
    for _, phase in sorted(evaluated, key=lambda item: item[0]):
        by_formula.setdefault(phase.structure.composition.reduced_formula, []).append(phase)
    return [phase for phases in by_formula.values() for phase in phases[:number]]


def _relax_phases(scratch: Path, phases: list[ReferencePhase], relax: RelaxInputs) -> list[dict[str, Any]]:
    results = relax_cached(
        scratch,
        [phase.name for phase in phases],
        [phase.structure for phase in phases],
        relax,
        fixed_cell=[phase.molecule for phase in phases],
    )
    return [_phase_row(phase, result) for phase, result in zip(phases, results, strict=True)]


def _phase_row(phase: ReferencePhase, result: dict[str, Any]) -> dict[str, Any]:
    of_result = ("state", "reason", "energy_per_atom", "fmax", "steps", "evaluations")
    return (
        {"name": phase.name, "kind": phase.kind, "source": phase.source, "origin": phase.origin}
        | {"molecule": phase.molecule}
        | {name: result[name] for name in of_result}
        | {"structure": result["structure"] or phase.structure.as_dict()}
    )


def _demand_elements(rows: list[dict[str, Any]], potential: str) -> None:
    """Refuse references without a relaxed phase of each element: formation energies need one.

    Raises
    ------
    ImatgenError
        It names the element, and why its phases failed.
    """
    by_element: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        symbols = sorted(element.symbol for element in structure_of(row).composition.elements)
        for symbol in symbols:
            by_element.setdefault(symbol, []).extend([row] if len(symbols) == 1 else [])
    for symbol, phases in by_element.items():
        if any(phase["state"] == "relaxed" for phase in phases):
            continue
        if not phases:
            raise ImatgenError(f"there is no reference phase of {symbol}. Give `known` a phase of it.")
        raise ImatgenError(
            f"no reference phase of {symbol} could be relaxed with {potential}: {len(phases)} failed, the first "
            f"({phases[0]['name']}) with `{phases[0]['reason']}`. Raise `screen.max_steps`, choose another potential, or "
            f"give `known` a phase of {symbol}."
        )


def build_hull(rows: list[dict[str, Any]], potential: str, pressure: float = 0.0) -> Hull:
    """Build the hull of those phases that were relaxed.

    Parameters
    ----------
    rows : of reference phases
    potential : that relaxed them
    pressure : at which, GPa; above zero, energies are enthalpies

    Raises
    ------
    ImatgenError
        Where no phase, or none of an element, could be relaxed.
    """
    from imatgen_flows.energetics.hull import Hull, HullEntry
    from imatgen_flows.energetics.pressure import scale_at

    relaxed = [row for row in rows if row["state"] == "relaxed"]
    if not relaxed:
        raise ImatgenError(
            f"none of {len(rows)} reference phases could be relaxed with {potential}; the first failed with "
            f"`{rows[0]['reason']}`. Without references there is no hull: raise `screen.max_steps`, or choose another "
            "potential."
            if rows
            else "there are no reference phases."
        )
    _demand_elements(rows, potential)
    entries = [
        HullEntry(
            name=row["name"],
            composition=structure_of(row).composition,
            energy_per_atom=row["energy_per_atom"],
            source=row["source"],
            kind=row["kind"],
            origin=row.get("origin", ""),
        )
        for row in relaxed
    ]
    return Hull(entries, potential=scale_at(installed_potential(potential).scale, pressure))


def _reference_fields(store: ArtifactStore, rows: list[dict[str, Any]], potential: str, hull: Hull) -> dict[str, Any]:
    """Return the fields of the document of a hull."""
    return {
        "potential": potential,
        "hull": store.put_json("hull", hull.to_dict()),
        "phases": store.put_lines("phases", rows),
        "counts": {"relaxed": len(hull.entries), "failed": sum(map(has_failed, rows))},
    }


def has_failed(row: Mapping[str, Any]) -> bool:
    """Tell whether a reference phase was to be relaxed, and could not be."""
    return row["state"] not in ("relaxed", SINGLE_POINT)
