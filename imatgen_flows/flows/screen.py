"""The flow from candidates to a ranked shortlist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Screen
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.documents import CampaignData
from imatgen_flows.jobs.screen_batches import screen_batches


@dataclass
class ScreenMaker(Maker):
    """Relax candidates with a potential, in batches, and place them on the hull of the same potential."""

    name: str = "screen"
    screen: Screen = field(default_factory=Screen)
    walltime: float | None = None  # of a relaxation job, s; None where there is no limit
    pressure: float = 0.0  # GPa

    def make(self, root: str, candidates: Any, data: CampaignData) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        candidates : document of the candidates that were chosen, or a reference to it
        data : documents, or references to them: dataset, evaluated labels and references
        """
        part = CampaignData(dataset=data["dataset"], references=data["references"], evaluated=data["evaluated"])
        ranked = screen_batches(
            root,
            candidates=candidates,
            data=part,
            screen=plain(self.screen),
            walltime=self.walltime,
            pressure=self.pressure,
        )
        return Flow([ranked], output=ranked.output, name=self.name)
