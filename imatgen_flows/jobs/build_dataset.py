"""The job that builds the dataset of the first round: templates in, substituted and standardised crystals out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.config import Known, Limits, Templates
from imatgen_flows.crystals.box import BOX
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.cached_job import cached_job
from imatgen_flows.jobs.campaign_inputs import count_reasons, published_phases, read_section, read_templates
from imatgen_flows.jobs.dataset_rows import crystal_row, put_packed, structure_of
from imatgen_flows.jobs.documents import DatasetDocument
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.templates import Template
    from imatgen_flows.energetics.references import ReferencePhase

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
    from imatgen_flows.crystals.system import chemical_system

    sections = read_section(Templates, templates), read_section(Known, known), read_section(Limits, limits)
    found = collect_dataset(system, *sections)
    exclusions = found.exclusion_rows()
    counts = {"templates": found.templates, "known": len(found.known), "substituted": found.substituted}
    counts |= {"kept": len(found.rows)} | {
        f"left out: {reason}": number for reason, number in Counter(row["reason"] for row in exclusions).items()
    }
    elements = chemical_system(system)
    return {
        "elements": elements,
        "crystals": store.put_lines("crystals", found.rows),
        "packed": put_packed(store, found.rows, elements),
        "exclusions": store.put_lines("exclusions", exclusions),
        "held_out": store.put_lines("held-out", found.known) if sections[1].held_out != "none" else None,
        "counts": counts,
    }


@dataclass(frozen=True)
class CollectedDataset:
    """The crystals of a dataset before they are stored, and what was left out on the way.

    Attributes
    ----------
    templates : their number
    substituted : number of structures that were made of them, those that are held out included
    rows : training structures; the known phases among them unless they are held out
    known : rows of the known phases that the images can hold
    published : all published phases, which the hull takes
    exclusions : of templates, and of structures made of them
    outside : of known phases that the images cannot hold; the hull has them
    known_exclusions : of the source of known phases, which the hull lacks too
    """

    templates: int
    substituted: int
    rows: list[dict]
    known: list[dict]
    published: list[ReferencePhase]
    exclusions: list[Exclusion]
    outside: list[Exclusion]
    known_exclusions: list[Exclusion]

    def exclusion_rows(self) -> list[dict[str, str]]:
        """Return all exclusions as rows that say in which section of the campaign the crystal was given.

        A file may be a template and a known phase, and is left out of both then.
        """
        sections = {"templates": self.exclusions, "known": [*self.outside, *self.known_exclusions]}
        return [{"section": name} | vars(item) for name, exclusions in sections.items() for item in exclusions]


def collect_dataset(system: list[str], templates: Templates, known: Known, limits: Limits) -> CollectedDataset:
    """Make the crystals of the dataset of a campaign, for the job and for the plan.

    Raises
    ------
    InputError
        Where a source cannot be read, or too few structures are left to learn from.
    """
    found = read_templates(system, templates, limits)
    return substitute_templates(system, found, published_phases(system, known), known, limits)


def substitute_templates(
    system: list[str],
    templates: tuple[list[Template], list[Exclusion]],
    published: tuple[list[ReferencePhase], list[Exclusion]],
    known: Known,
    limits: Limits,
) -> CollectedDataset:
    """Make the crystals of the dataset from what was read of its sources.

    Parameters
    ----------
    templates : as `read_templates` returns them
    published : as `published_phases` returns them

    Raises
    ------
    InputError
        Where too few structures are left to learn from.
    """
    from imatgen_flows.candidates.holdout import hold_out_compounds, hold_out_prototypes
    from imatgen_flows.crystals.substitution import substitute

    (found, unusable), (competing, unfit) = templates, published
    number, exclusions = len(found), list(unusable)
    phases, outside = known_rows(system, competing, limits)
    if known.held_out != "none":
        found, held_out = hold_out_compounds(found, system)
        exclusions += held_out
    made, rejected = substitute(found, elements=system, max_sites=limits.max_sites, max_edge=limits.max_edge)
    exclusions += rejected
    substituted = len(made)
    if known.held_out == "prototypes":
        made, held_out = hold_out_prototypes(made, ((row["id"], structure_of(row)) for row in phases))
        exclusions += held_out
    rows = [crystal_row(item.id, item.structure, item.template_id) for item in made]
    rows += phases if known.held_out == "none" else []
    if len(rows) < FEWEST:
        raise InputError(
            f"only {len(rows)} training structures are left (templates: {number:,}); a generator needs {FEWEST} "
            f"at least, better some hundred. Left out: {count_reasons([*exclusions, *outside, *unfit])}."
        )
    return CollectedDataset(number, substituted, rows, phases, competing, exclusions, outside, unfit)


def known_rows(system: list[str], phases: list[ReferencePhase], limits: Limits) -> tuple[list[dict], list[Exclusion]]:
    """Choose the published compounds of the system that the images can hold, in the standard frame."""
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.standard import extent, standardise

    rows, exclusions = [], []
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
