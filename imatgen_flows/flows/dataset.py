"""From templates to labelled training structures and the hull."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobflow import Flow, Maker

from imatgen_flows.config import Known, Labels, Limits, References, Screen, Templates
from imatgen_flows.flows.common import content_of, plain
from imatgen_flows.jobs.dataset import build_dataset
from imatgen_flows.jobs.energies import label_dataset
from imatgen_flows.jobs.references import extend_hull, relax_references


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

    def make(self, root: str, system: list[str]) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        system : element symbols
        """
        relax = {"fmax": self.screen.fmax, "max_steps": self.screen.max_steps}
        given = {"known": plain(self.known), "limits": plain(self.limits)}
        dataset = build_dataset(
            root,
            system=system,
            templates=plain(self.templates),
            content=[content_of(self.templates.path), content_of(self.known.path)],
            **given,
        )
        published = relax_references(
            root, system=system, content=content_of(self.known.path), potential=self.screen.potential, **given, **relax
        )
        labels = label_dataset(
            root,
            dataset=dataset.output,
            references=published.output,
            potential=self.labels.potential,
            stable_below=self.labels.stable_below,
        )
        hull = extend_hull(
            root,
            dataset=dataset.output,
            labels=labels.output,
            references=published.output,
            substituted=self.references.substituted,
            **relax,
        )
        jobs = {"dataset": dataset, "published": published, "labels": labels, "references": hull}
        return Flow(list(jobs.values()), output={name: job.output for name, job in jobs.items()}, name=self.name)
