"""Chain only some jobs: relax candidates of a finished run again, with tighter forces, on the same hull.

python workflows/own_flow.py runs/vanadium-oxides
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jobflow import run_locally

from imatgen_flows.config import Screen
from imatgen_flows.flows import ScreenMaker
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.documents import (
    CampaignData,
    CandidatesDocument,
    DatasetDocument,
    LabelDocument,
    ReferenceDocument,
)
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.provenance import finished_round, first_round, parent
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.references import extend_hull

if __name__ == "__main__":
    run = Path(sys.argv[1])
    store = ArtifactStore(run / "artifacts")
    # a document names the documents that it was made from: from the first round back to its filtered candidates
    first = first_round(store, finished_round(run))
    ranked = parent(store, first, CandidatesDocument, rank_candidates)
    candidates = parent(store, ranked, CandidatesDocument, filter_candidates)
    labels = parent(store, first, LabelDocument, label_dataset)
    data = CampaignData(
        dataset=parent(store, first, DatasetDocument, build_dataset),
        labels=labels,
        evaluated=labels,
        references=parent(store, first, ReferenceDocument, extend_hull),
    )
    flow = ScreenMaker(screen=Screen(fmax=0.02, at_most=20)).make(str(store.root), candidates, data)
    responses = run_locally(flow, ensure_success=True)
    outputs = [response.output for runs in responses.values() for response in runs.values()]
    (again,) = (
        output for output in outputs if isinstance(output, CandidatesDocument) and output.made_by(rank_candidates)
    )
    print(json.dumps(again.counts))
