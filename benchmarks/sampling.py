"""From latent vectors to repaired structures that are told from each other and from all that is known, with a run's networks.

Half of the samples are drawn between neighbours, half from the prior. Wall time, in as many processes as the setting
IMATGEN_WORKERS says.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

MINUTES = 5  # that 10,000 samples may take on two cores


def main() -> int:
    """Draw, decode and compare; print the seconds of each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="directory of a finished run")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    from pymatgen.core import Structure

    from imatgen_flows.candidates.novelty import Novelty
    from imatgen_flows.jobs.candidates import _make, novelty_classifier
    from imatgen_flows.jobs.samples import draw_samples
    from imatgen_flows.matching.grouping import group_duplicates, primitive_cells
    from imatgen_flows.settings import get_settings

    model, start, dataset, references, limits = open_run(given.run)
    workers, seconds = get_settings().n_workers, {}
    clock = time.monotonic()

    def lap(step: str) -> None:
        nonlocal clock
        seconds[step], clock = round(time.monotonic() - clock, 1), time.monotonic()

    half = given.samples // 2
    drawn = draw_samples(model, start, {"slerp": half, "random": given.samples - half, "perturb": 0}, given.seed)
    lap("draw")
    records = [record for samples in drawn.values() for record in _make(model, samples, limits, workers)[1]]
    lap("decode, certify, repair")
    cells = primitive_cells([Structure.from_dict(record.structure) for record in records if record.id], workers)
    firsts = [index for index, first in enumerate(group_duplicates(cells, workers=workers)) if first == index]
    lap("tell from each other")
    verdicts = novelty_classifier(dataset, references).classify_all([cells[index] for index in firsts], workers)
    lap("tell from all that is known")
    found = {
        "samples": len(records), "valid": len(cells), "different": len(firsts),
        "new": Counter(novelty for novelty, *_ in verdicts)[Novelty.NEW],
    }  # fmt: skip
    total = sum(seconds.values())
    print(f"{workers} processes, {torch.__version__}: {found}; seconds: {seconds}, together {total:.0f}")
    if given.json:
        title = "From latent vectors to classified structures"
        facts = {"title": title, "processes": workers, **found, "seconds": seconds, "together": round(total)}
        given.json.write_text(json.dumps(facts, indent=1))
    return int(total > 60 * MINUTES * given.samples / 10_000)


def open_run(run: Path) -> tuple[Any, ...]:
    """Networks, starting points, dataset, references and limits of the first round of a run."""
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.artifacts import read_lines
    from imatgen_flows.jobs.documents import DatasetDocument, LabelDocument, ModelDocument, ReferenceDocument
    from imatgen_flows.jobs.models import load_generator, training_rows
    from imatgen_flows.jobs.samples import StartingPoints, energies_of
    from imatgen_flows.representation import PackedCrystals

    def documents(kind: Any, name: str) -> list[Any]:
        paths = sorted((run / "artifacts" / "documents").glob(f"{name}-*.json"), key=lambda path: path.stat().st_mtime)
        return [kind(**json.loads(path.read_text())) for path in paths]

    config = CampaignConfig.from_file(run / "campaign.yaml")
    section = config.generator.model_dump()
    dataset = documents(DatasetDocument, "build_dataset")[0]
    labels, references = documents(LabelDocument, "label_dataset")[0], documents(ReferenceDocument, "extend_hull")[0]
    networks = {model.role: model for model in reversed(documents(ModelDocument, "train_*"))}
    model = load_generator(dataset, networks["cell"], networks["basis"], networks["generator"], section)
    rows, crystals = read_lines(dataset.crystals), PackedCrystals.load(dataset.packed.path())
    start = StartingPoints(
        crystals, model.encode(crystals), rows, energies_of(rows, labels, references), training_rows(dataset, section)
    )
    return model, start, dataset, references, config.limits.model_dump()


if __name__ == "__main__":
    sys.exit(main())
