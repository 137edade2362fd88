"""Results of a campaign so far, from the stores of the cluster alone: its documents, and a round that ends early."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, TypeVar

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.jobs.documents import (
    BatchDocument,
    CampaignData,
    CandidatesDocument,
    DatasetDocument,
    JobDocument,
    LabelDocument,
    ModelDocument,
    ReconstructionDocument,
    ReferenceDocument,
    RoundDocument,
)
from imatgen_flows.managers.database import PATIENCE, address_of, database_errors

JOBFLOW_FILE = "jobflow.yaml"

Document = TypeVar("Document", bound=JobDocument)


def read_documents(cluster: Path, campaign_id: str) -> list[JobDocument]:
    """Read the documents of a campaign's finished jobs, in the order in which they ended.

    Parameters
    ----------
    cluster : configuration directory; its `jobflow.yaml` names the stores
    campaign_id : as `imatgen submit` gave it

    Raises
    ------
    InputError
        Where there is no `jobflow.yaml`.
    ImatgenError
        Where the database does not answer, or refuses.
    """
    import yaml
    from jobflow import JobStore

    from imatgen_flows.jobs.cached_job import restore

    path = cluster / JOBFLOW_FILE
    try:
        spec = yaml.safe_load(path.read_text())["JOB_STORE"]
    except OSError as error:
        raise InputError(
            f"{path}: no such file. `imatgen init --cluster {shlex.quote(str(cluster))}` writes it."
        ) from error
    docs = spec["docs_store"]
    docs["mongoclient_kwargs"] = {"serverSelectionTimeoutMS": PATIENCE} | (docs.get("mongoclient_kwargs") or {})
    with database_errors(address_of(docs)):
        store = JobStore.from_dict_spec(spec)
        store.connect()
        rows = list(store.query({"metadata.campaign_id": campaign_id}, ["output", "completed_at"]))
        store.close()
    outputs = (restore(row["output"]) for row in sorted(rows, key=lambda row: row["completed_at"]))
    # a job that was replaced has no output of its own, and one that replaces another repeats the last one's
    return list({output.key: output for output in outputs if isinstance(output, JobDocument)}.values())


def finish_partially(root: Path, documents: list[JobDocument], config: CampaignConfig) -> RoundDocument:
    """Finish a round with the relaxations that are there; candidates without one are rejected as lost.

    Parameters
    ----------
    root : of the artifact store
    documents : of the jobs that have ended
    config : of the campaign

    Raises
    ------
    ImatgenError
        Where no candidates have been chosen yet; it names the first job that is missing.
    """
    from imatgen_flows.jobs.build_dataset import build_dataset
    from imatgen_flows.jobs.finish_round import finish_round
    from imatgen_flows.jobs.label_dataset import label_dataset
    from imatgen_flows.jobs.propose_candidates import propose_candidates
    from imatgen_flows.jobs.rank_candidates import rank_candidates
    from imatgen_flows.jobs.references import extend_hull, relax_references

    def last(kind: type[Document], job: Any) -> Document:
        found = [document for document in documents if isinstance(document, kind) and document.made_by(job)]
        if not found:
            raise ImatgenError(f"the campaign has no finished job `{job.spec.label}` yet: there is nothing to harvest.")
        return found[-1]

    screen = config.screen
    reconstructions = [document for document in documents if isinstance(document, ReconstructionDocument)]
    dataset, labels = last(DatasetDocument, build_dataset), last(LabelDocument, label_dataset)
    data = CampaignData(
        dataset=dataset,
        labels=labels,
        evaluated=labels,
        references=last(ReferenceDocument, extend_hull),
        published=last(ReferenceDocument, relax_references),
    )
    candidates = last(CandidatesDocument, propose_candidates)
    ranked = rank_candidates.original(
        str(root),
        candidates=candidates,
        dataset=dataset,
        references=data["references"],
        batches=[one for one in documents if isinstance(one, BatchDocument) and candidates.key in one.parents],
        threshold=screen.threshold,
    )
    return finish_round.original(
        str(root),
        samples=config.sampling.total if config.sources.uses_generator else 0,
        data=data,
        models=[document for document in documents if isinstance(document, ModelDocument)],
        reconstruction=reconstructions[-1] if reconstructions else None,  # there is none where nothing was trained
        candidates=ranked,
    )
