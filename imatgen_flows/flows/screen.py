"""From candidates to a ranked shortlist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Screen
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.screening import screen_batches


@dataclass
class ScreenMaker(Maker):
    """Relax candidates with a potential, in batches, and place them on the hull of the same potential."""

    name: str = "screen"
    screen: Screen = field(default_factory=Screen)
    walltime: float | None = None  # of a relaxation job, s; None where there is no limit

    def make(self, root: str, candidates: Any, dataset: Any, labels: Any, references: Any) -> Flow:
        """Build the flow; `candidates` and what follows it are documents or references to them."""
        ranked = screen_batches(
            root,
            candidates=candidates,
            dataset=dataset,
            labels=labels,
            references=references,
            screen=plain(self.screen),
            walltime=self.walltime,
        )
        return Flow([ranked], output=ranked.output, name=self.name)
