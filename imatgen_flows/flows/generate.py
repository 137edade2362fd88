"""From training structures to new candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Maker

from imatgen_flows.config import Generator, Limits, Sampling
from imatgen_flows.flows.common import plain
from imatgen_flows.jobs.candidates import filter_candidates, sample_candidates
from imatgen_flows.jobs.models import evaluate_reconstruction, train_autoencoder, train_generator

ROLES = ("cell", "basis", "generator")


@dataclass
class GenerateMaker(Maker):
    """Train the three networks, measure them, sample, decode, and keep what is valid, unique and not known."""

    name: str = "generate"
    generator: Generator = field(default_factory=Generator)
    sampling: Sampling = field(default_factory=Sampling)
    limits: Limits = field(default_factory=Limits)

    def make(
        self,
        root: str,
        dataset: Any,
        labels: Any,
        references: Any,
        round_number: int = 0,
        start: dict[str, Any] | None = None,
    ) -> Flow:
        """Build the flow.

        Parameters
        ----------
        root : of the artifact store
        dataset, labels, references : documents of `DatasetMaker`, or references to them
        round_number : of the campaign
        start : networks to go on from, by role; None to train from the start
        """
        settings, start = plain(self.generator), start or dict.fromkeys(ROLES)
        cell, basis = (
            train_autoencoder(root, dataset=dataset, role=role, generator=settings, start=start[role])
            for role in ("cell", "basis")
        )
        cell.name, basis.name = "train cell autoencoder", "train basis autoencoder"
        codes = {"dataset": dataset, "cell": cell.output, "basis": basis.output, "generator": settings}
        vae = train_generator(root, labels=labels, start=start["generator"], **codes)
        reconstruction = evaluate_reconstruction(root, vae=vae.output, **codes)
        samples = sample_candidates(
            root,
            labels=labels,
            references=references,
            vae=vae.output,
            sampling=plain(self.sampling),
            limits=plain(self.limits),
            round_number=round_number,
            **codes,
        )
        candidates = filter_candidates(root, candidates=samples.output, dataset=dataset, references=references)
        output = {
            "models": [cell.output, basis.output, vae.output],
            "reconstruction": reconstruction.output,
            "candidates": candidates.output,
        }
        return Flow([cell, basis, vae, reconstruction, samples, candidates], output=output, name=self.name)
