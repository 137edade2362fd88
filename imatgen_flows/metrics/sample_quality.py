"""Quality of what a model of prototypes draws: contents and systems as in its data, all samples counted, none selected."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from imatgen_flows.candidates.decoding import Examined, examine
from imatgen_flows.candidates.registry import KEEP_UNBALANCED
from imatgen_flows.crystals.protostructure import find_label
from imatgen_flows.metrics.statistics import rate_interval
from imatgen_flows.models.crystal_model import BATCH
from imatgen_flows.models.projection import project

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.crystals.prototype_index import PrototypeIndex
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.pretraining_data import PretrainingData

LARGE = 15  # sites that were asked for, from which a sample counts as large


@dataclass(frozen=True)
class SampleQuality:
    """What became of samples of one number of elements.

    Attributes
    ----------
    drawn : samples
    valid : those that pass the checks of validity
    clean : of these with matching atom counts, a small residual and no repair
    clean_new : of these with a protostructure that no training structure has; one without a label does not count
    large, large_clean : samples that were asked for `LARGE` sites and more, and the clean ones among them
    rejected : by reason
    """

    drawn: int
    valid: int
    clean: int
    clean_new: int
    large: int
    large_clean: int
    rejected: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, with the shares of all samples and their intervals."""
        shares = {
            f"share_{name}": [count / total if total else None, *rate_interval(count, total)]
            for name, count, total in (
                ("clean", self.clean, self.drawn),
                ("clean_new", self.clean_new, self.drawn),
                ("large_clean", self.large_clean, self.large),
            )
        }
        return asdict(self) | shares


def measure_samples(
    model: CrystalModel,
    data: PretrainingData,
    trained_on: Tensor,
    index: PrototypeIndex,
    limits: tuple[int, float],
    number: int,
    seed: int,
) -> dict[int, SampleQuality]:
    """Draw samples with the contents and the systems of random training structures, for each number of elements.

    Parameters
    ----------
    model : of prototypes
    data : what it was trained on
    trained_on : (B,) bool, which of them
    index : of their protostructures
    limits : most sites, and longest edge in A, of a valid structure
    number : of samples of each number of elements
    seed : of the choice and the samples

    Returns
    -------
    by number of elements
    """
    counts = data.crystals.counts()
    number_of_elements = (counts > 0).sum(dim=1)
    random = torch.Generator().manual_seed(seed)
    found = {}
    for elements in number_of_elements[trained_on].unique().tolist():
        rows = (trained_on & (number_of_elements == elements)).nonzero()[:, 0]
        rows = rows[torch.randint(len(rows), (number,), generator=random)]
        drawn = draw_decoded(model, counts[rows], [data.systems[row] for row in rows.tolist()], limits, seed)
        found[elements] = _count(drawn, counts[rows].sum(dim=1).tolist(), index)
    return found


def draw_decoded(
    model: CrystalModel, contents: Tensor, systems: list[tuple[str, ...]], limits: tuple[int, float], seed: int
) -> list[Examined]:
    """Draw a sample for each content (B, roles), decode it as a crystal of its own system, and examine it.

    All systems have equally many elements. Nothing is asked of the charge balance, since the systems are of any chemistry.

    Raises
    ------
    ValueError
        Where the prior is not trained.
    """
    if model.vae.prior is None:
        raise ValueError("the model has no prior")
    conditions = torch.cat([contents.float(), torch.full((len(contents), 1), torch.nan)], dim=1)
    latent = model.vae.prior.sample(conditions, seed)
    roles = model.with_elements(model.compressor.elements[: len(systems[0])])
    of_systems = [roles.with_elements(system).compressor for system in systems]
    contents = contents[:, : len(systems[0])]
    shortest = np.concatenate(
        [compressor.shortest_distances(row[None]) for compressor, row in zip(of_systems, contents, strict=True)]
    )
    latent = project(roles, latent, contents, shortest)
    examined = []
    for rows in torch.arange(len(latent)).split(BATCH):
        images = roles.decode(latent[rows])
        for place, row in enumerate(rows.tolist()):
            structures, qualities = of_systems[row].read(images[torch.tensor([place])])
            examined.append(examine(structures[0], qualities[0], systems[row], *limits, KEEP_UNBALANCED))
    return examined


def _count(drawn: list[Examined], sites: list[int], index: PrototypeIndex) -> SampleQuality:
    """Count samples by their quality; `sites` were asked for."""
    labels = [find_label(item.crystal.structure()) if item.is_clean and item.crystal else "" for item in drawn]
    large = [item for item, asked in zip(drawn, sites, strict=True) if asked >= LARGE]
    return SampleQuality(
        drawn=len(drawn),
        valid=sum(item.is_valid for item in drawn),
        clean=sum(item.is_clean for item in drawn),
        clean_new=sum(bool(label) and label not in index for label in labels),
        large=len(large),
        large_clean=sum(item.is_clean for item in large),
        rejected=dict(Counter(str(item.row["rejected_reason"]) for item in drawn if not item.is_valid)),
    )
