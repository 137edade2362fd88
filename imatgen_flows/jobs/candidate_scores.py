"""Scores of generated candidates before they are relaxed: lower confidence bounds of E_hull, learnt from what was relaxed."""

from __future__ import annotations

from typing import Any

from imatgen_flows.candidates.schema import Row
from imatgen_flows.io.artifacts import read_json, read_lines
from imatgen_flows.jobs.dataset_rows import relaxed_finds
from imatgen_flows.jobs.documents import CampaignData, CandidatesDocument


def score_candidates(
    unique: list[Row], candidates: CandidatesDocument, data: CampaignData, kappa: float
) -> dict[str, float] | None:
    """Predict a lower confidence bound of E_hull (eV/atom) for each sample; None where too little was relaxed.

    Earlier rounds teach by composition and latent vector. The first round has the reference phases alone, which teach by
    composition: in the latent space they are too few.

    Parameters
    ----------
    unique : rows of generated candidates, with `SELECTION_COLUMNS`
    candidates : document of these, with their latent vectors
    data : dataset, labels and references of the round
    kappa : standard deviations that count in a candidate's favour
    """
    import numpy as np
    from pymatgen.core import Composition

    from imatgen_flows.candidates.selection import FEWEST, fit_process, lower_confidence_bound

    elements, formulas = data["dataset"].elements, [str(row["formula"]) for row in unique]

    def shares(compositions: list[str]) -> Any:
        return np.array(
            [[Composition(one).get_atomic_fraction(element) for element in elements] for one in compositions]
        )

    if not unique:
        return None
    finds = relaxed_finds(data["labels"])
    if len(finds) >= FEWEST:
        rows = read_lines(data["dataset"].crystals)
        with np.load(candidates.extra["latents"].path()) as latents:
            known = np.hstack([latents["training"][list(finds)], shares([rows[row]["formula"] for row in finds])])
            here = np.hstack([latents["samples"][[row["latent_row"] for row in unique]], shares(formulas)])
        targets = list(finds.values())
    elif len(phases := _phases(data)) >= FEWEST:
        known, here = shares([formula for formula, _ in phases]), shares(formulas)
        targets = [distance for _, distance in phases]
    else:
        return None
    scores = lower_confidence_bound(fit_process(known, np.array(targets)), here, kappa)
    return {str(row["sample"]): float(score) for row, score in zip(unique, scores, strict=True)}


def _phases(data: CampaignData) -> list[tuple[str, float]]:
    """Return formula and E_hull (eV/atom) of the reference phases that hold all elements, as candidates do."""
    from imatgen_flows.energetics.hull import Hull

    table = Hull.from_dict(read_json(data["references"].hull)).table()
    return [
        (row["formula"], row["e_above_hull"]) for row in table if len(row["fractions"]) == len(data["dataset"].elements)
    ]
