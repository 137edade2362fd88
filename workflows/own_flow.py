"""Chain only some stages: relax candidates of a finished run again, with tighter forces, on the same hull.

python workflows/own_stages.py runs/vanadium-oxides
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from jobflow import run_locally

from imatgen_flows.config import Screen
from imatgen_flows.flows import ScreenMaker
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.documents import CandidatesDocument, DatasetDocument, LabelDocument, ReferenceDocument

if __name__ == "__main__":
    root = Path(sys.argv[1]) / "artifacts"
    store = ArtifactStore(root)

    def document(stage: str, schema: type) -> object:
        """Find what a stage of the run handed on last."""
        newest = max((root / "stages").glob(f"{stage}-*.json"), key=lambda path: path.stat().st_mtime)
        return schema(**(store.finished(newest.stem) or {}))

    flow = ScreenMaker(screen=Screen(fmax=0.02, at_most=20)).make(
        str(root),
        candidates=document("filter_candidates", CandidatesDocument),
        dataset=document("build_dataset", DatasetDocument),
        priced=(labels := document("label_dataset", LabelDocument)),
        labels=labels,
        references=document("extend_hull", ReferenceDocument),
    )
    run_locally(flow, ensure_success=True)
    print(json.dumps(document("rank_candidates", CandidatesDocument).counts))  # type: ignore[attr-defined]
