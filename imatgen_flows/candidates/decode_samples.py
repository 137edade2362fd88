"""Decoding of latent vectors into candidates, in several processes where there are many."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from imatgen_flows.candidates.decoding import Examined, SearchCheck, examine
from imatgen_flows.candidates.registry import DEFAULT_CHARGE_CHECK
from imatgen_flows.observer import report_count

if TYPE_CHECKING:
    from torch import Tensor

    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.sampling import Samples

MIN_PARALLEL = 1000  # samples; fewer are decoded before another process has started


def decode_samples(
    model: CrystalModel,
    samples: Samples,
    max_sites: int,
    max_edge: float,
    workers: int = 1,
    charge: str = DEFAULT_CHARGE_CHECK,
    search: SearchCheck | None = None,
) -> tuple[Tensor, list[Examined]]:
    """Project samples, decode them and examine the structures; batches are the same whatever the number of processes.

    Parameters
    ----------
    model : the trained networks
    samples : as drawn
    max_sites, max_edge : limits on sites and on the longest edge of a valid structure, A
    workers : processes, used from `MIN_PARALLEL` samples on
    charge : what is done about charge balance, one of `CHARGE_CHECKS`
    search : see `examine`

    Returns
    -------
    projected latent vectors (n, latent), and what each decoded to
    """
    import torch

    from imatgen_flows.models.crystal_model import BATCH
    from imatgen_flows.parallel import parallel_map

    parts = samples.latent.split(BATCH)
    counts = [None] * len(parts) if samples.atom_counts is None else samples.atom_counts.split(BATCH)
    tasks = list(zip(parts, counts, strict=True))
    several = workers if len(samples.latent) >= MIN_PARALLEL else 1
    fixed = (model, max_sites, max_edge, charge, search)
    done = itertools.count(1)

    def report() -> None:
        report_count(min(next(done) * BATCH, len(samples.latent)), len(samples.latent), "samples decoded")

    decoded = parallel_map(_decode_part, tasks, several, "decoding samples", fixed, progress=report)
    return torch.cat([latent for latent, _ in decoded]), [item for _, items in decoded for item in items]


def _decode_part(
    model: CrystalModel,
    max_sites: int,
    max_edge: float,
    charge: str,
    search: SearchCheck | None,
    latent: Tensor,
    atom_counts: Tensor | None,
) -> tuple[Tensor, list[Examined]]:
    from imatgen_flows.models.projection import project

    latent = project(model, latent, atom_counts)
    structures, qualities = model.compressor.read(model.decode(latent))
    elements = model.compressor.elements
    return latent, [
        examine(structure, quality, elements, max_sites, max_edge, charge, search)
        for structure, quality in zip(structures, qualities, strict=True)
    ]
