"""The crystals that a campaign starts from: templates, and published phases of its system."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from imatgen_flows.config import Known, Limits, SourceSection, Templates
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import Section
from imatgen_flows.jobs.documents import InputFile
from imatgen_flows.settings import get_settings

if TYPE_CHECKING:
    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.crystals.registry import SourceOptions
    from imatgen_flows.crystals.templates import Template
    from imatgen_flows.energetics.references import ReferencePhase

# the key of the campaign file that decides about each reason of an exclusion
KEYS_OF_REASONS = {
    "wrong_number_of_elements": "`templates`, `system`",
    "not_selected": "`templates.where`, `known.where`",
    "too_many_sites": "`limits.max_sites`",
    "edge_too_long": "`limits.max_edge`",
    "held_out": "`known.held_out`",
    "held_out_prototype": "`known.held_out`",
}

SectionType = TypeVar("SectionType", bound=Section)


def read_section(kind: type[SectionType], values: Mapping[str, Any]) -> SectionType:
    """Give a section of the campaign its class back, where it reached a job as plain values and input files."""
    plain = {name: value.path if isinstance(value, InputFile) else value for name, value in values.items()}
    return kind.model_validate(plain)


def read_templates(system: list[str], templates: Templates, limits: Limits) -> tuple[list[Template], list[Exclusion]]:
    """Load the templates of a campaign, with the cache and the access key of this machine.

    Raises
    ------
    InputError
        Where none is left; it says why.
    """
    from imatgen_flows.crystals.templates import load_templates

    found, exclusions = load_templates(
        templates.source,
        source_options(templates),
        n_elements=len(system),
        max_sites=limits.max_sites,
        max_edge=limits.max_edge,
    )
    if not found:
        source = templates.path or templates.source
        raise InputError(
            f"none of the {len(exclusions):,} crystals of `{source}` can be a template of {'-'.join(system)}, which has "
            f"{len(system)} elements. Left out: {count_reasons(exclusions)}."
        )
    return found, exclusions


def count_reasons(exclusions: Iterable[Exclusion]) -> str:
    """Count the reasons of exclusions in words, the most frequent first, each with the key that decides about it."""
    counted = Counter(item.reason for item in exclusions).most_common()
    return ", ".join(
        f"{number:,} {reason.replace('_', ' ')}"
        + (f" ({KEYS_OF_REASONS[reason]})" if reason in KEYS_OF_REASONS else "")
        for reason, number in counted
    )


def published_phases(system: list[str], *known: Known) -> tuple[list[ReferencePhase], list[Exclusion]]:
    """Collect the phases that ship with the program and those of sources of the user's own, each crystal once.

    Phases of one name are numbered. The limits of the images do not hold: the hull takes every phase.

    Returns
    -------
    reference phases, and the exclusions of the sources
    """
    from imatgen_flows.crystals.known_phases import load_known
    from imatgen_flows.energetics.published import merge_phases
    from imatgen_flows.energetics.references import ReferencePhase, reference_phases

    own: list[ReferencePhase] = []
    exclusions: list[Exclusion] = []
    for section in known:
        read, excluded = load_known(section.source, system, source_options(section))
        exclusions += excluded
        own += [
            ReferencePhase(
                item.id,
                item.structure,
                item.source,
                "compound" if len(item.structure.composition) > 1 else "element",
                origin=section.path.name if section.path else item.source,
            )
            for item in read
        ]
    phases, repeated = merge_phases(reference_phases(system) + own)
    return phases, exclusions + repeated


def hull_phases(system: list[str], known: Known, pressure: float) -> list[ReferencePhase]:
    """Collect the phases that the hull of a campaign rests on: at a pressure (GPa), solids in place of molecules.

    Raises
    ------
    InputError
        Where a molecule is to be replaced, and no solid is known.
    """
    from imatgen_flows.energetics.published import merge_phases
    from imatgen_flows.energetics.references import replace_molecules

    phases, _ = published_phases(system, known)
    return merge_phases(replace_molecules(phases, system))[0] if pressure else phases


def fallback_phases(system: list[str], found: Collection[str], pressure: float) -> list[ReferencePhase]:
    """Collect simple structures of the elements of a system that are not `found`; at a pressure (GPa) no molecules."""
    from imatgen_flows.energetics.references import elemental_fallback

    phases = [phase for element in system if element not in found for phase in elemental_fallback(element)]
    return [phase for phase in phases if not (pressure and phase.molecule)]


def source_options(section: SourceSection) -> SourceOptions:
    """Gather the options of a source of crystals, with the cache, the access key and the cores of this machine."""
    from imatgen_flows.crystals.registry import SourceOptions

    settings = get_settings()
    return SourceOptions(
        path=section.path,
        where=section.where,
        provider=section.provider,
        cache_dir=settings.cache_dir,
        api_key=os.environ.get("MP_API_KEY"),
        workers=settings.n_workers,
    )
