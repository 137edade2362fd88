"""The training structures: templates in, substituted and standardised crystals out."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

from imatgen_flows.candidates.novelty import Novelty
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, read_lines
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.candidates import load_candidates
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument
from imatgen_flows.settings import get_settings

BOX = 15.0  # A, edge of the images
FEWEST = 10  # training structures
DECIDES = {
    "wrong_number_of_elements": "`templates`, `system`",
    "not_selected": "`templates.where`",
    "too_many_sites": "`limits.max_sites`",
    "edge_too_long": "`limits.max_edge`",
    "held_out": "`known.held_out`",
    "held_out_prototype": "`known.held_out`",
}  # the key of the campaign file by which a reason to leave something out can be changed


@cached_job(DatasetDocument)
def build_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    system: list[str],
    templates: dict[str, Any],
    known: dict[str, Any],
    limits: dict[str, Any],
    content: list[str],
) -> dict[str, Any]:
    """Substitute the system's elements into templates, add the known phases that fit, and pack both for the codecs.

    `content` names what the files hold; it is there for the stage's key.
    """
    from imatgen_flows.candidates.holdout import hold_out_compounds, hold_out_prototypes
    from imatgen_flows.crystals.substitution import substitute

    found, losses = read_templates(system, templates, limits)
    phases, unfit = _known_phases(system, known, limits)
    losses += unfit
    counts = {"templates": len(found), "known": len(phases)}
    if known["held_out"] != "none":
        found, away = hold_out_compounds(found, system)
        losses += away
    made, rejected = substitute(found, elements=system, max_sites=limits["max_sites"], max_edge=limits["max_edge"])
    losses += rejected
    counts["substituted"] = len(made)
    if known["held_out"] == "prototypes":
        made, away = hold_out_prototypes(made, ((row["id"], _structure(row)) for row in phases))
        losses += away
    rows = [_row(item.id, item.structure, template=item.template_id, known=False) for item in made]
    if known["held_out"] == "none":
        rows += phases
    if len(rows) < FEWEST:
        raise InputError(
            f"only {len(rows)} training structures are left (templates: {counts['templates']:,}); a generator needs {FEWEST} "
            f"at least, better some hundred. Left out: {reasons(losses)}."
        )
    elements = sorted(system)
    counts |= {"kept": len(rows)} | {
        f"left out: {why}": n for why, n in Counter(item.reason for item in losses).items()
    }
    exclusions = [{"id": item.id, "reason": item.reason, "detail": item.detail} for item in losses]
    return {
        "elements": elements,
        "crystals": store.put_lines("crystals", rows),
        "packed": _pack(store, rows, elements),
        "exclusions": store.put_lines("left-out", exclusions),
        "held_out": store.put_lines("held-out", phases) if known["held_out"] != "none" else None,
        "counts": counts,
    }


@cached_job(DatasetDocument)
def extend_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    dataset: DatasetDocument,
    candidates: CandidatesDocument,
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Let the next round learn from what this one has relaxed and called new.

    All that was relaxed counts as found from now on, as DFT left it where it was validated. What still fits the images is
    trained on.
    """
    from pymatgen.core import Structure

    from imatgen_flows.crystals.standard import extent

    relaxed = [record for record in load_candidates(candidates) if record.relaxed is not None]
    found: list[dict[str, Any]] = [
        {"id": f"found:{record.sample}", "structure": record.validated or record.relaxed} for record in relaxed
    ]
    rows, exclusions = read_lines(dataset.crystals), read_lines(dataset.exclusions)
    for record, item in zip(relaxed, found, strict=True):
        structure = Structure.from_dict(item["structure"])
        if record.novelty != Novelty.NEW.value:
            exclusions.append({"id": item["id"], "reason": record.novelty, "detail": record.novelty_match})
        elif max(structure.lattice.abc) > limits["max_edge"] or extent(structure) > BOX:
            detail = f"edges {', '.join(f'{edge:.1f}' for edge in structure.lattice.abc)} A"
            exclusions.append({"id": item["id"], "reason": "edge_too_long", "detail": detail})
        else:
            rows.append(_row(item["id"], structure, template=item["id"], known=False) | {"learnt": True})
    learnt = sum(row.get("learnt", False) for row in rows)
    return {
        "elements": dataset.elements,
        "crystals": store.put_lines("crystals", rows),
        "packed": _pack(store, rows, dataset.elements),
        "exclusions": store.put_lines("left-out", exclusions),
        "held_out": dataset.held_out,
        "found": store.put_lines("found", (read_lines(dataset.found) if dataset.found else []) + found),
        "counts": dataset.counts | {"learnt": learnt, "kept": len(rows)},
    }


def read_templates(system: list[str], templates: dict[str, Any], limits: dict[str, Any]) -> tuple[list, list]:
    """Load the templates of a campaign's sections, with the cache and the key of this machine.

    Raises
    ------
    InputError
        Where none is left; it says why.
    """
    from imatgen_flows.crystals.templates import load_templates

    found, exclusions = load_templates(
        source=templates["source"],
        path=templates["path"],
        provider=templates["provider"],
        n_elements=len(system),
        max_sites=limits["max_sites"],
        max_edge=limits["max_edge"],
        cache_dir=get_settings().cache_dir,
        api_key=os.environ.get("MP_API_KEY"),
        where=templates["where"],
    )
    if not found:
        source = templates["path"] or templates["source"]
        raise InputError(
            f"none of the {len(exclusions):,} crystals of `{source}` can be a template of {'-'.join(system)}, which has "
            f"{len(system)} elements. Left out: {reasons(exclusions)}."
        )
    return found, exclusions


def reasons(exclusions: list) -> str:
    """Count in words why something was left out, the most frequent reason first, each with the key that decides it."""
    counted = Counter(item.reason for item in exclusions).most_common()
    return ", ".join(
        f"{number:,} {reason.replace('_', ' ')}" + (f" ({DECIDES[reason]})" if reason in DECIDES else "")
        for reason, number in counted
    )


def published_phases(system: list[str], known: dict[str, Any], limits: dict[str, Any]) -> tuple[list, list]:
    """Gather the phases that ship with the program and those of the campaign's own file, each crystal once.

    Returns
    -------
    reference phases, and what was left out of the file
    """
    from imatgen_flows.crystals.templates import Exclusion, load_known
    from imatgen_flows.energetics.references import ReferencePhase, reference_phases
    from imatgen_flows.matching.grouping import group_duplicates

    shipped = reference_phases(system)
    if known["path"] is None:
        return shipped, []
    read, exclusions = load_known(known["path"], system, limits["max_sites"], limits["max_edge"], known["where"])
    own = [
        ReferencePhase(
            item.id, item.structure, item.source, "compound" if len(item.structure.composition) > 1 else "element"
        )
        for item in read
    ]
    phases = shipped + own
    first_of = group_duplicates([phase.structure for phase in phases])
    for index, phase in enumerate(phases):
        if first_of[index] != index:
            exclusions.append(Exclusion(phase.name, "duplicate", f"same structure as {phases[first_of[index]].name}"))
    return [phase for index, phase in enumerate(phases) if first_of[index] == index], exclusions


def _known_phases(system: list[str], known: dict[str, Any], limits: dict[str, Any]) -> tuple[list[dict], list]:
    """Published compounds of the system that the images can hold, in the standard frame."""
    from imatgen_flows.crystals.standard import extent, standardise
    from imatgen_flows.crystals.templates import Exclusion

    phases, exclusions = published_phases(system, known, limits)
    rows = []
    for phase in phases:
        if len(phase.structure.composition) < len(system):
            continue
        structure = standardise(phase.structure)
        name = f"known:{phase.name}"
        if len(structure) > limits["max_sites"]:
            exclusions.append(
                Exclusion(name, "too_many_sites", f"{len(structure)} sites, at most {limits['max_sites']}")
            )
        elif max(structure.lattice.abc) > limits["max_edge"]:
            exclusions.append(Exclusion(name, "edge_too_long", f"{max(structure.lattice.abc):.2f} A"))
        elif extent(structure) > BOX:
            exclusions.append(Exclusion(name, "does_not_fit_box", f"extent {extent(structure):.2f} A"))
        else:
            rows.append(_row(name, structure, template="", known=True))
    return rows, exclusions


def _structure(row: dict) -> Any:
    from pymatgen.core import Structure

    return Structure.from_dict(row["structure"])


def _row(name: str, structure: Any, template: str, known: bool) -> dict[str, Any]:
    return {
        "id": name,
        "template": template,
        "known": known,
        "formula": structure.composition.reduced_formula,
        "structure": structure.as_dict(),
    }


def _pack(store: ArtifactStore, rows: list[dict], elements: list[str]) -> Any:
    from pymatgen.core import Structure

    from imatgen_flows.representation import pack

    with store.new("packed", ".npz") as pending:
        pack([Structure.from_dict(row["structure"]) for row in rows], tuple(elements)).save(pending.path)
    return pending.ref
