"""The job that builds the dataset of the first round: templates in, substituted and standardised crystals out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from imatgen_flows.config import Known, Limits, Templates
from imatgen_flows.crystals.box import BOX
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.campaign_inputs import count_reasons, published_phases, read_section, read_templates
from imatgen_flows.jobs.dataset_rows import crystal_row, put_packed, structure_of
from imatgen_flows.jobs.documents import DatasetDocument
from imatgen_flows.profiles import Profile

FEWEST = 10  # training structures; fewer leave nothing to learn after a tenth is held out


@cached_job(DatasetDocument, profile=Profile.LIGHT, label="build dataset")
def build_dataset(
    store: ArtifactStore,
    scratch: Path,
    *,
    system: list[str],
    templates: dict[str, Any],
    known: dict[str, Any],
    limits: dict[str, Any],
) -> dict[str, Any]:
    """Substitute the system's elements into templates, add the known phases that fit, and pack both for the codecs."""
    sections = read_section(Templates, templates), read_section(Known, known), read_section(Limits, limits)
    rows, phases, exclusions, counts = _collect(system, *sections)
    if len(rows) < FEWEST:
        raise InputError(
            f"only {len(rows)} training structures are left (templates: {counts['templates']:,}); a generator needs {FEWEST} "
            f"at least, better some hundred. Left out: {count_reasons(exclusions)}."
        )
    counts |= {"kept": len(rows)} | {
        f"left out: {reason}": number for reason, number in Counter(item.reason for item in exclusions).items()
    }
    elements = sorted(system)
    return {
        "elements": elements,
        "crystals": store.put_lines("crystals", rows),
        "packed": put_packed(store, rows, elements),
        "exclusions": store.put_lines("exclusions", [vars(item) for item in exclusions]),
        "held_out": store.put_lines("held-out", phases) if sections[1].held_out != "none" else None,
        "counts": counts,
    }


def _collect(
    system: list[str], templates: Templates, known: Known, limits: Limits
) -> tuple[list[dict], list[dict], list, dict[str, int]]:
    """Make the crystals of the dataset.

    Returns
    -------
    rows of the dataset, rows of the known phases, exclusions, and numbers of templates, known phases and substituted ones
    """
    from imatgen_flows.candidates.holdout import hold_out_compounds, hold_out_prototypes
    from imatgen_flows.crystals.substitution import substitute

    found, exclusions = read_templates(system, templates, limits)
    phases, unfit = _known_phases(system, known, limits)
    exclusions += unfit
    counts = {"templates": len(found), "known": len(phases)}
    if known.held_out != "none":
        found, held_out = hold_out_compounds(found, system)
        exclusions += held_out
    made, rejected = substitute(found, elements=system, max_sites=limits.max_sites, max_edge=limits.max_edge)
    exclusions += rejected
    counts["substituted"] = len(made)
    if known.held_out == "prototypes":
        made, held_out = hold_out_prototypes(made, ((row["id"], structure_of(row)) for row in phases))
        exclusions += held_out
    rows = [crystal_row(item.id, item.structure, item.template_id) for item in made]
    return rows + (phases if known.held_out == "none" else []), phases, exclusions, counts


def _known_phases(system: list[str], known: Known, limits: Limits) -> tuple[list[dict], list]:
    """Choose the published compounds of the system that the images can hold, in the standard frame."""
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.standard import extent, standardise

    phases, exclusions = published_phases(system, known)
    rows = []
    for phase in phases:
        if len(phase.structure.composition) < len(system):
            continue
        structure = standardise(phase.structure)
        name, edge = f"known:{phase.name}", max(structure.lattice.abc)
        if len(structure) > limits.max_sites:
            exclusions.append(Exclusion(name, "too_many_sites", f"{len(structure)} sites, at most {limits.max_sites}"))
        elif edge > limits.max_edge:
            exclusions.append(Exclusion(name, "edge_too_long", f"{edge:.2f} A"))
        elif extent(structure) > BOX:
            exclusions.append(Exclusion(name, "does_not_fit_box", f"extent {extent(structure):.2f} A"))
        else:
            rows.append(crystal_row(name, structure, known=True))
    return rows, exclusions
