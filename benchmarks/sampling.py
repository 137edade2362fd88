"""Time from latent vectors to repaired structures that are deduplicated and classified, with the networks of a run.

Half of the samples are drawn between neighbours, half from the prior. It is wall time, in the number of processes of the
setting IMATGEN_WORKERS.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch

if TYPE_CHECKING:
    from imatgen_flows.config import Limits
    from imatgen_flows.jobs.documents import CampaignData, JobDocument, NetworkDocuments
    from imatgen_flows.models.crystal_model import CrystalModel
    from imatgen_flows.models.drawing import StartingPoints

Document = TypeVar("Document", bound="JobDocument")

MINUTES = 5  # that 10,000 samples may take on two cores


def main() -> int:
    """Draw, decode, deduplicate and classify samples; print the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a finished run")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from imatgen_flows.candidates.classes import Novelty
    from imatgen_flows.candidates.decode_samples import decode_samples
    from imatgen_flows.jobs.candidate_table import novelty_classifier
    from imatgen_flows.matching.grouping import group_duplicates, primitive_cells
    from imatgen_flows.models.drawing import draw_samples
    from imatgen_flows.models.registry import PERTURB, PRIOR, SLERP
    from imatgen_flows.settings import get_settings

    model, start, data, limits = open_run(given.run)
    workers, seconds = get_settings().n_workers, {}
    clock = time.monotonic()

    def lap(step: str) -> None:
        nonlocal clock
        seconds[step], clock = round(time.monotonic() - clock, 1), time.monotonic()

    half = given.samples // 2
    drawn = draw_samples(model, start, {SLERP: half, PRIOR: given.samples - half, PERTURB: 0}, given.seed)
    lap("draw")
    decoded = [
        item
        for samples in drawn.values()
        for item in decode_samples(model, samples, limits.max_sites, limits.max_edge, workers)[1]
    ]
    lap("decode, repair")
    valid = [item.crystal.structure() for item in decoded if item.is_valid and item.crystal is not None]
    cells = primitive_cells(valid, workers)
    firsts = [index for index, first in enumerate(group_duplicates(cells, workers=workers)) if first == index]
    lap("deduplicate")
    classifier = novelty_classifier(data["dataset"], data["references"])
    classes = classifier.classify_all([cells[index] for index in firsts], workers)
    lap("classify")
    found = {
        "samples": len(decoded), "valid": len(cells), "unique": len(firsts),
        "new": Counter(novelty for novelty, *_ in classes)[Novelty.NEW],
    }  # fmt: skip
    total = sum(seconds.values())
    print(f"{workers} processes, {torch.__version__}: {found}; seconds: {seconds}, together {total:.0f}")
    if given.json:
        title = "From latent vectors to classified structures"
        facts = {"title": title, "processes": workers, **found, "seconds": seconds, "together": round(total)}
        given.json.write_text(json.dumps(facts, indent=1))
    return int(total > 60 * MINUTES * given.samples / 10_000)


def open_run(run: Path) -> tuple[CrystalModel, StartingPoints, CampaignData, Limits]:
    """Read networks, starting points, data and limits of the first round of a run."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.jobs.documents import ModelDocument
    from imatgen_flows.jobs.networks import load_model
    from imatgen_flows.jobs.sample_candidates import starting_points
    from imatgen_flows.jobs.train import train_autoencoder, train_vae

    config, data = CampaignConfig.from_file(run / "campaign.yaml"), open_data(run)
    trained = documents(run, ModelDocument, train_autoencoder) + documents(run, ModelDocument, train_vae)
    # of several networks of a role the first, which is of the first round
    networks = cast("NetworkDocuments", {document.role: document for document in reversed(trained)})
    model = load_model(data["dataset"], networks, config.model)
    return model, starting_points(model, data, config.model), data, config.limits


def open_data(run: Path) -> CampaignData:
    """Read dataset, labels and references of the first round of a run."""
    from imatgen_flows.jobs.build_dataset import build_dataset
    from imatgen_flows.jobs.documents import CampaignData, DatasetDocument, LabelDocument, ReferenceDocument
    from imatgen_flows.jobs.label_dataset import label_dataset
    from imatgen_flows.jobs.references import extend_hull

    return CampaignData(
        dataset=documents(run, DatasetDocument, build_dataset)[0],
        labels=documents(run, LabelDocument, label_dataset)[0],
        references=documents(run, ReferenceDocument, extend_hull)[0],
    )


def documents(run: Path, kind: type[Document], job: Any) -> list[Document]:
    """Read the documents that a job made in a run, the oldest first."""
    paths = (run / "artifacts" / "documents").glob(f"{job.spec.name}-*.json")
    return [kind(**json.loads(path.read_text())) for path in sorted(paths, key=lambda path: path.stat().st_mtime)]


if __name__ == "__main__":
    sys.exit(main())
