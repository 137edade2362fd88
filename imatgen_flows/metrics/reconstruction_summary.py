"""The summary of reconstruction errors, as it is measured, stored in `metrics.json` and shown by the report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ReconstructionSummary:
    """Reconstruction errors of a set of crystals.

    Attributes
    ----------
    n : crystals
    rmse : root mean square errors of a, b, c (A) and alpha, beta, gamma (degrees) over all crystals with a cell, and of the
        `atoms` (A) over all with the right counts; None where there are none
    median : medians of the absolute errors of the same
    cells : crystals with a cell
    cells_reconstructed, counts_match, fully_reconstructed : crystals; see `metrics.reconstruction.ReconstructionError`
    fraction_fully_reconstructed : of all crystals; None where there are none
    """

    n: int
    rmse: dict[str, float | None]
    median: dict[str, float | None]
    cells: int
    cells_reconstructed: int
    counts_match: int
    fully_reconstructed: int
    fraction_fully_reconstructed: float | None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return asdict(self)
