"""Energies of references and of the training structures, and the hull that all of them share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from imatgen_flows.artifacts import ArtifactStore, read_lines
from imatgen_flows.errors import ImatgenError
from imatgen_flows.jobs.candidates import load_candidates
from imatgen_flows.jobs.dataset import published_phases
from imatgen_flows.jobs.pricing import price_named, relax_named
from imatgen_flows.jobs.stage import stage
from imatgen_flows.schemas import CandidatesDocument, DatasetDocument, Energy, LabelDocument, ReferenceDocument


@stage(ReferenceDocument)
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

    `content` names what the campaign's file of known phases holds; it is there for the stage's key.
    """
    from imatgen_flows.energetics.references import elemental_fallback

    phases, _ = published_phases(system, known, limits)
    rows, evaluations = _relax_phases(scratch, phases, potential, fmax, max_steps)
    relaxed = {row["name"] for row in rows if row["state"] == "relaxed"}
    found = {phase.structure.composition.chemical_system for phase in phases if phase.name in relaxed}
    fallback = [phase for element in system if element not in found for phase in elemental_fallback(element)]
    more, spent = _relax_phases(scratch, fallback, potential, fmax, max_steps)
    return _reference_document(store, rows + more, potential, {"references": evaluations + spent})


@stage(LabelDocument)
def label_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    references: ReferenceDocument,
    potential: str,
    stable_below: float,
) -> dict[str, Any]:
    """Give each training structure its unrelaxed formation energy, and the label of the classifier."""
    from pymatgen.core import Composition, Structure

    crystals = read_lines(dataset.crystals)
    structures = [Structure.from_dict(row["structure"]) for row in crystals]
    results = price_named(scratch, [row["id"] for row in crystals], structures, potential)
    hull = load_hull(references)
    labels = []
    for row, result in zip(crystals, results, strict=True):
        energy = result["energy_per_atom"]
        label = {"id": row["id"], "energy_per_atom": energy, "formation_energy": None, "stable": None}
        label |= {"reason": result["reason"], "evaluations": result["evaluations"]}
        if energy is not None:
            formation = hull.formation_energy(Composition(row["formula"]), energy)
            label |= {"formation_energy": formation, "stable": formation <= stable_below}
        labels.append(label)
    known = [label for label in labels if label["stable"] is not None]
    counts = {
        "labelled": len(known),
        "stable": sum(label["stable"] for label in known),
        "failed": len(labels) - len(known),
    }
    return {
        "potential": potential,
        "labels": store.put_lines("labels", labels),
        "counts": counts,
        "evaluations": {"labels": sum(result["evaluations"] for result in results)},
    }


@stage(LabelDocument)
def extend_labels(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    labels: LabelDocument,
    candidates: CandidatesDocument,
    stable_below: float,
) -> dict[str, Any]:
    """Label the structures that a round added to the dataset with the energies that they were relaxed to.

    Nothing is evaluated: the screening, or DFT, has paid for them.
    """
    known = {label["id"]: label for label in read_lines(labels.labels)}
    for record in load_candidates(candidates):
        if record.energies:
            energy = record.energies[0]  # the potential's: labels share its scale, whatever DFT said
            known[f"found:{record.sample}"] = {
                "id": f"found:{record.sample}",
                "energy_per_atom": energy.energy_per_atom,
                "formation_energy": energy.formation_energy,
                "e_above_hull": (record.energies[-1].e_above_hull),
                "stable": energy.formation_energy <= stable_below,
                "reason": "",
                "evaluations": 0,
            }
    rows = [known[row["id"]] for row in read_lines(dataset.crystals)]
    counts = labels.counts | {"labelled": sum(row["stable"] is not None for row in rows)}
    counts["stable"] = sum(bool(row["stable"]) for row in rows)
    return {"potential": labels.potential, "labels": store.put_lines("labels", rows), "counts": counts}


@stage(ReferenceDocument)
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
    from pymatgen.core import Composition, Structure

    from imatgen_flows.crystals.chemistry import has_valid_oxidation
    from imatgen_flows.energetics.references import ReferencePhase

    crystals = {row["id"]: row for row in read_lines(dataset.crystals)}
    by_formula: dict[str, list[dict]] = {}
    for label in sorted(read_lines(labels.labels), key=lambda label: label["energy_per_atom"] or 0.0):
        row = crystals[label["id"]]
        if label["energy_per_atom"] is None or row["known"] or not has_valid_oxidation(Composition(row["formula"])):
            continue
        by_formula.setdefault(row["formula"], []).append(row)
    chosen = [row for rows in by_formula.values() for row in rows[:substituted]]
    phases = [
        ReferencePhase(
            name=row["id"],
            structure=Structure.from_dict(row["structure"]),
            source=f"substituted from {row['template']}",
            kind="substituted",
            molecule=False,
        )
        for row in chosen
    ]
    rows, evaluations = _relax_phases(scratch, phases, references.potential, fmax, max_steps)
    return _reference_document(
        store, read_lines(references.phases) + rows, references.potential, {"references": evaluations}
    )


def load_hull(references: ReferenceDocument) -> Any:
    """Read the hull of a reference document."""
    from imatgen_flows.artifacts import read_json
    from imatgen_flows.energetics.hull import Hull

    return Hull.from_dict(read_json(references.hull))


def energy_on(hull: Any, composition: Any, energy_per_atom: float, fmax: float, steps: int, note: str = "") -> Energy:
    """Record an energy (eV/atom) with its place on the hull of its scale."""
    return Energy(
        scale=hull.potential,
        energy_per_atom=energy_per_atom,
        formation_energy=hull.formation_energy(composition, energy_per_atom),
        e_above_hull=hull.distance(composition, energy_per_atom),
        decomposition=hull.decomposition(composition),
        fmax=fmax,
        steps=steps,
        note=note,
    )


def _relax_phases(scratch: Path, phases: list, potential: str, fmax: float, max_steps: int) -> tuple[list[dict], int]:
    results = relax_named(
        scratch,
        [phase.name for phase in phases],
        [phase.structure for phase in phases],
        potential,
        fmax=fmax,
        max_steps=max_steps,
        fixed_cell=[phase.molecule for phase in phases],
    )
    kept = ("state", "reason", "energy_per_atom", "fmax", "steps", "evaluations")
    rows = [
        {"name": phase.name, "kind": phase.kind, "source": phase.source, "molecule": phase.molecule}
        | {name: result[name] for name in kept}
        | {"structure": result["structure"] or phase.structure.as_dict()}
        for phase, result in zip(phases, results, strict=True)
    ]
    return rows, sum(row["evaluations"] for row in rows)


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
    counts = {"relaxed": len(relaxed), "failed": len(rows) - len(relaxed)}
    return {
        "potential": potential,
        "hull": store.put_json("hull", hull.to_dict()),
        "phases": store.put_lines("phases", rows),
        "counts": counts,
        "evaluations": evaluations,
    }
