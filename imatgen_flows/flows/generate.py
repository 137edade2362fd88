"""The flow from training structures to new candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Limits, Model, Sampling, Search, Validity
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.documents import CampaignData, CandidateChecks, InputFile, NetworkDocuments
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.import_network import import_network
from imatgen_flows.jobs.networks import starting_file
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.sample_candidates import sample_candidates
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.models.registry import ModelRole

CELL, BASIS, VAE = (role.value for role in ModelRole)


@dataclass
class GenerateMaker(Maker):
    """Train the three networks and measure them, or take trained ones; sample, and keep what is valid, unique and new."""

    name: str = "generate"
    model: Model = field(default_factory=Model)
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)
    validity: Validity = field(default_factory=Validity)
    search: Search = field(default_factory=Search)

    def make(
        self, root: str, data: CampaignData, round_number: int = 0, networks: NetworkDocuments | None = None
    ) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        data : documents, or references to them: dataset, labels and references
        round_number : of the campaign
        networks : of an earlier round; None to begin with those of the model file, or anew where there is none
        """
        dataset = data["dataset"]
        imported = self._import(root, dataset) if networks is None else {}
        networks = networks or _outputs(imported)
        share = self.model.fine_tune if networks else 1.0
        model = self.model.model_copy(update={"epochs": self.model.epochs * share}) if share else self.model
        settings = model.training
        trained = self._train(root, data, networks, settings) if share else {}
        networks = _outputs(trained) or networks
        common = {"networks": networks, "model": settings}
        # what was not trained here was measured where it was
        measured = [evaluate_reconstruction(root, dataset=dataset, **common)] if trained else []
        samples = sample_candidates(
            root,
            data=CampaignData(dataset=dataset, labels=data["labels"], references=data["references"]),
            sampling=self.sampling.numbers,
            checks=self._checks(),
            round_number=round_number,
            **common,
        )
        candidates = filter_candidates(root, candidates=samples.output, dataset=dataset, references=data["references"])
        reconstruction = measured[0].output if measured else None
        output = {"networks": networks, "reconstruction": reconstruction, "candidates": candidates.output}
        jobs = [*imported.values(), *trained.values(), *measured, samples, candidates]
        return Flow(jobs, output=output, name=self.name)

    def _checks(self) -> CandidateChecks:
        checks = CandidateChecks(limits=plain(self.limits), validity=plain(self.validity))
        if self.search.is_restricted:
            checks["search"] = self.search.model_dump(include={"compositions", "sites"})
        return checks

    def _import(self, root: str, dataset: Any) -> dict[str, Any]:
        """Make the jobs that take the networks out of the model file, by role; none where there is no file."""
        file = InputFile.of(starting_file(self.model))
        if file is None:
            return {}
        common = {"dataset": dataset, "file": file, "model": self.model.training}
        return {role.value: import_network(root, role=role.value, **common) for role in ModelRole}

    def _train(
        self, root: str, data: CampaignData, start: NetworkDocuments, settings: dict[str, Any]
    ) -> dict[str, Any]:
        """Make the jobs that train the networks, by role, each from that of `start` where there is one."""
        common = {"dataset": data["dataset"], "model": settings}
        jobs = {role: train_autoencoder(root, role=role, start=start.get(role), **common) for role in (CELL, BASIS)}
        vae = train_vae(root, labels=data["labels"], networks=_outputs(jobs), start=start.get(VAE), **common)
        return jobs | {VAE: vae}


def _outputs(jobs: dict[str, Any]) -> Any:
    return {role: job.output for role, job in jobs.items()}
