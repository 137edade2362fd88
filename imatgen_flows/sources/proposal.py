"""The interface of sources that are compared on the same cells: one proposal for each target cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pymatgen.core import Structure

from imatgen_flows.sources.target_cell import TargetCell

MAX_DRAWS = 20  # of a source for one target, until a proposal is new
SEED_STEP = 100_000  # between the seeds of these draws; there are fewer targets than this

T = TypeVar("T")


@dataclass(frozen=True)
class Proposal:
    """A structure that a source proposes for one target.

    Attributes
    ----------
    name : of the structure or the space group that it was made from
    structure : to be relaxed
    as_asked : whether its cell has the contents of the target
    """

    name: str
    structure: Structure
    as_asked: bool = True


@dataclass(frozen=True)
class Generated:
    """A valid candidate of the generator.

    Attributes
    ----------
    sample : name of the sample
    sampler : that drew it
    structure : as decoded
    clean : whether it decoded without any doubt or repair
    """

    sample: str
    sampler: str
    structure: Structure
    clean: bool = False


@dataclass(frozen=True)
class SourceContext:
    """Data of a campaign from which sources make their proposals.

    Attributes
    ----------
    generated : candidates of the generator, one for each target
    substituted : substituted structures, by name
    is_new : whether a structure, unrelaxed, matches nothing that is known
    volume_ratio : of crystals at the pressure of the campaign over that expected at zero pressure
    """

    generated: Sequence[Generated] = ()
    substituted: Mapping[str, Structure] = field(default_factory=dict)
    is_new: Callable[[Structure], bool] = lambda _: True
    volume_ratio: float = 1.0


class FillCells(Protocol):
    """Function of a source: it fills each target with a structure, or with None where it has none."""

    def __call__(self, targets: Sequence[TargetCell], context: SourceContext, seed: int, /) -> list[Proposal | None]:
        """Propose one structure for each target; the seed decides all choices."""


def redraw_known(
    draw: Callable[[Sequence[T], int], list[Proposal | None]],
    items: Sequence[T],
    seed: int,
    is_new: Callable[[Structure], bool],
) -> list[Proposal | None]:
    """Redraw proposals that already match a known structure; relaxing them cannot yield a new one.

    Parameters
    ----------
    draw : draws one proposal for each item from a seed
    items : targets, or whatever else `draw` takes
    seed : of the first draws
    is_new : whether a structure matches nothing that is known

    Returns
    -------
    one proposal for each item; None where none could be drawn, or none of 20 draws was new
    """
    found: dict[int, Proposal | None] = {}
    waiting = list(range(len(items)))
    for attempt in range(MAX_DRAWS):
        proposals = draw([items[index] for index in waiting], seed + SEED_STEP * attempt)
        found |= {
            index: proposal
            for index, proposal in zip(waiting, proposals, strict=True)
            if proposal is None or is_new(proposal.structure)
        }
        waiting = [index for index in waiting if index not in found]
        if not waiting:
            break
    return [found.get(index) for index in range(len(items))]
