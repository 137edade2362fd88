"""Checks of the sources of candidates: their packages, and the files of another program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.managers.checks import Check
from imatgen_flows.sources.registry import (
    ADAPTIVE,
    FILES,
    GENERATOR,
    GENETIC,
    RANDOM_SEARCH,
    RATTLED,
    SOURCES,
    SUBSTITUTION,
)

if TYPE_CHECKING:
    from pymatgen.core import Structure


def check_sources(config: CampaignConfig) -> list[Check]:
    """Check that what each source of a campaign needs is there; one line each that needs something."""
    checks = []
    for source in (SOURCES[name] for name in config.sources.competing):
        try:
            source.check()
            if source.name == FILES and config.sources.files:
                checks.append(Check(f"source {source.name}", True, _describe_files(config)))
        except InputError as error:
            checks.append(Check(f"source {source.name}", False, str(error)))
    return checks


def refuse_nothing_to_propose(config: CampaignConfig, made: Sequence[Structure]) -> None:
    """Refuse a campaign whose sources propose from the dataset alone, where that has nothing of what is searched for.

    Parameters
    ----------
    config : the campaign
    made : structures of its dataset that substitution made

    Raises
    ------
    InputError
        Where no source would propose a candidate.
    """
    from imatgen_flows.jobs.search_space import search_space

    space = search_space(config)
    # random search needs no dataset where formulas say which cells to fill
    alone = {SUBSTITUTION, RATTLED} if space.targets() else {SUBSTITUTION, RATTLED, RANDOM_SEARCH}
    if not alone.issuperset(config.sources.competing) or any(space.is_wanted(crystal) for crystal in made):
        return
    raise InputError(
        f"sources: {' and '.join(config.sources.competing)} propose from the substituted structures of the dataset, and none "
        f"of these {len(made):,} is within `search`, `limits` and `validity.charge`. Widen these, add templates, or give "
        f"`{GENETIC}` or `{GENERATOR}` a share (`sources.shares`)."
    )


def describe_sources(config: CampaignConfig) -> str:
    """Say who proposes what is relaxed: the share of each source, how they are allocated, and in how many batches."""
    sources = config.sources
    shares = ", ".join(f"{name} {share:.0%}" for name, share in sources.shares.items())
    batches = sources.number_of_batches
    parts = f"; {batches:,} batches a round" if batches > 1 else ""
    if len(sources.shares) == 1:
        return f"{', '.join(sources.competing)}{parts}"
    first = config.screen.at_most // batches
    if sources.allocation == ADAPTIVE and first < len(sources.competing):
        parts += f"; the first has {first:,} relaxations, too few to try all {len(sources.competing)} sources"
    return f"{shares}; {sources.allocation}{parts}"


def _describe_files(config: CampaignConfig) -> str:
    """Say how many crystals that a campaign looks for its files hold.

    Raises
    ------
    InputError
        Where there is none.
    """
    from imatgen_flows.candidates.given import read_given
    from imatgen_flows.jobs.search_space import search_space

    path, system = config.sources.files, "-".join(config.system)
    assert path is not None
    crystals, faults = read_given(path)
    space = search_space(config)
    own = [one for one in crystals.values() if {element.symbol for element in one.composition} == set(config.system)]
    wanted = sum(space.permits(one.composition) for one in own)
    counted = f"{len(own) - wanted:,} are not what is searched for, " if wanted < len(own) else ""
    counted += f"{len(crystals) - len(own):,} are of other elements, {len(faults):,} cannot be read or relaxed"
    if wanted:
        return f"{path}: {wanted:,} crystals of all of {system}; {counted}"
    first = f" The first fault: {faults[0]['rejected_detail']}." if faults else ""
    raise InputError(
        f"`sources.files: {path}` holds no crystal of all of {system} that is searched for: {counted}.{first}"
    )
