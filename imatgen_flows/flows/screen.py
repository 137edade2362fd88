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
    kappa: float = 1.0  # standard deviations of a predicted E_hull that count in a candidate's favour

    def make(self, root: str, candidates: Any, dataset: Any, priced: Any, labels: Any, references: Any) -> Flow:
        """Build the flow; `candidates` and what follows it are documents or references to them.

        `priced` are the labels that were evaluated, and tell what an evaluation costs; `labels` those learnt from.
        """
        ranked = screen_batches(
            root,
            candidates=candidates,
            dataset=dataset,
            priced=priced,
            labels=labels,
            references=references,
            screen=plain(self.screen),
            walltime=self.walltime,
            kappa=self.kappa,
        )
        return Flow([ranked], output=ranked.output, name=self.name)
