"""The flow from templates to labelled training structures and the hull."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, Maker

from imatgen_flows.config import Known, Labels, Limits, References, Screen, Templates
from imatgen_flows.flows.common import plain, with_files
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.documents import CampaignData
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.references import extend_hull, relax_references
from imatgen_flows.jobs.search_space import pressure_input, relax_inputs


@dataclass
class DatasetMaker(Maker):
    """Substitute, label with unrelaxed formation energies, and build the hull, all with one potential."""

    name: str = "dataset"
    templates: Templates = field(default_factory=Templates)
    known: Known = field(default_factory=Known)
    limits: Limits = field(default_factory=Limits)
    labels: Labels = field(default_factory=Labels)
    references: References = field(default_factory=References)
    screen: Screen = field(default_factory=Screen)
    pressure: float = 0.0  # GPa; above zero, enthalpies

    def make(self, root: str, system: list[str]) -> Flow:
        """Build the flow; its output is the campaign's data before the first round.

        Parameters
        ----------
        root : of the artifact store
        system : element symbols
        """
        relax = relax_inputs(self.screen, self.pressure)
        known, limits = with_files(self.known), plain(self.limits)
        dataset = build_dataset(root, system=system, templates=with_files(self.templates), known=known, limits=limits)
        published = relax_references(root, system=system, known=known, limits=limits, relax=relax)
        labels = label_dataset(
            root,
            dataset=dataset.output,
            references=published.output,
            potential=self.labels.potential,
            stable_below=self.labels.stable_below,
            **pressure_input(self.pressure),
        )
        hull = extend_hull(
            root,
            dataset=dataset.output,
            labels=labels.output,
            references=published.output,
            substituted=self.references.substituted,
            relax=relax,
        )
        data = CampaignData(
            dataset=dataset.output,
            labels=labels.output,
            references=hull.output,
            published=published.output,
            evaluated=labels.output,
            calculated=None,
        )
        return Flow([dataset, published, labels, hull], output=data, name=self.name)
