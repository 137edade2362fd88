"""From training structures to new candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Limits, Model, Sampling, Start
from imatgen_flows.flows.common import plain
from imatgen_flows.io.artifacts import file_hash
from imatgen_flows.jobs.candidates import filter_candidates, sample_candidates
from imatgen_flows.jobs.model_files import ROLES, import_network
from imatgen_flows.jobs.models import evaluate_reconstruction, train_autoencoder, train_generator


@dataclass
class GenerateMaker(Maker):
    """Train the three networks or take trained ones, measure them, sample, and keep what is valid, unique and not known."""

    name: str = "generate"
    generator: Model = field(default_factory=Model)
    start: Start = field(default_factory=Start)
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)

    def make(
        self,
        root: str,
        dataset: Any,
        labels: Any,
        references: Any,
        round_number: int = 0,
        networks: dict[str, Any] | None = None,
    ) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        dataset, labels, references : documents of `DatasetMaker`, or references to them
        round_number : of the campaign
        networks : of an earlier round, by role; None to begin with those of the model file, or anew where there is none
        """
        settings = plain(self.generator)
        imported = self._import(root, dataset) if networks is None else []
        networks = networks or _outputs(imported)
        as_they_are = self.start.model is not None and self.start.use == "sample_only"
        trained = [] if as_they_are else self._train(root, dataset, labels, networks)
        networks = _outputs(trained) or networks
        codes = {"dataset": dataset, "cell": networks["cell"], "basis": networks["basis"], "generator": settings}
        vae = networks["generator"]
        reconstruction = evaluate_reconstruction(root, vae=vae, **codes)
        samples = sample_candidates(
            root,
            labels=labels,
            references=references,
            vae=vae,
            sampling=plain(self.sampling),
            limits=plain(self.limits),
            round_number=round_number,
            **codes,
        )
        candidates = filter_candidates(root, candidates=samples.output, dataset=dataset, references=references)
        output = {
            "models": [networks[role] for role in ROLES],
            "reconstruction": reconstruction.output,
            "candidates": candidates.output,
        }
        return Flow([*imported, *trained, reconstruction, samples, candidates], output=output, name=self.name)

    def _import(self, root: str, dataset: Any) -> list[Any]:
        """Jobs that take the networks out of the model file, in the order of `ROLES`; none where there is no file."""
        path = self.start.model
        if path is None:
            return []
        given = {"model": str(path), "content": file_hash(path), "generator": plain(self.generator)}
        jobs = [import_network(root, dataset=dataset, role=role, **given) for role in ROLES]
        for role, job in zip(ROLES, jobs, strict=True):
            job.name = f"import {role} network"
        return jobs

    def _train(self, root: str, dataset: Any, labels: Any, start: dict[str, Any]) -> list[Any]:
        """Jobs that train the networks, from those of `start` where it has any, in the order of `ROLES`."""
        settings = plain(self.generator)
        cell, basis = (
            train_autoencoder(root, dataset=dataset, role=role, generator=settings, start=start.get(role))
            for role in ("cell", "basis")
        )
        cell.name, basis.name = "train cell autoencoder", "train basis autoencoder"
        codes = {"dataset": dataset, "cell": cell.output, "basis": basis.output, "generator": settings}
        return [cell, basis, train_generator(root, labels=labels, start=start.get("generator"), **codes)]


def _outputs(jobs: list[Any]) -> dict[str, Any]:
    return {role: job.output for role, job in zip(ROLES, jobs, strict=False)}
