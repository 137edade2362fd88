"""What a campaign has come to so far, from the stores of the cluster alone: documents in the job store, bulk in artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.jobs.documents import (
    BatchDocument,
    CandidatesDocument,
    DatasetDocument,
    JobDocument,
    LabelDocument,
    ModelDocument,
    ReconstructionDocument,
    ReferenceDocument,
    RoundDocument,
)
from imatgen_flows.managers.database import PATIENCE, database_errors

JOBFLOW_FILE = "jobflow.yaml"

Document = TypeVar("Document", bound=JobDocument)


def read_documents(cluster: Path, campaign_id: str) -> list[JobDocument]:
    """Read the documents of a campaign's finished stages, in the order in which they ended.

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
        raise InputError(f"{path}: no such file. `imatgen init --cluster {cluster}` writes it.") from error
    docs = spec["docs_store"]
    docs["mongoclient_kwargs"] = {"serverSelectionTimeoutMS": PATIENCE}
    with database_errors(docs["host"], docs["port"]):
        store = JobStore.from_dict_spec(spec)
        store.connect()
        rows = list(store.query({"metadata.campaign_id": campaign_id}, ["output", "completed_at"]))
        store.close()
    outputs = (restore(row["output"]) for row in sorted(rows, key=lambda row: row["completed_at"]))
    # a job that was replaced has no output of its own, and one that replaces another repeats the last one's
    return list({output.key: output for output in outputs if isinstance(output, JobDocument)}.values())


def finish_partially(root: Path, documents: list[JobDocument], samples: int, screen: dict[str, Any]) -> RoundDocument:
    """Rank and close the books with the relaxations that are there; candidates of the others are rejected as lost.

    Parameters
    ----------
    root : of the artifact store
    documents : of the stages that have ended
    samples : that the campaign asked for
    screen : the campaign's section of that name

    Raises
    ------
    ImatgenError
        Where no candidates have been filtered yet; it names the first stage that is missing.
    """
    from imatgen_flows.io.artifacts import ArtifactStore
    from imatgen_flows.jobs.finish_round import finish_round
    from imatgen_flows.jobs.screening import choose, rank_candidates

    def last(kind: type[Document], stage: str) -> Document:
        found = [document for document in documents if isinstance(document, kind) and document.stage == stage]
        if not found:
            raise ImatgenError(f"the campaign has no finished stage `{stage}` yet: there is nothing to harvest.")
        return found[-1]

    dataset, labels = last(DatasetDocument, "build dataset"), last(LabelDocument, "label dataset")
    common = {"dataset": dataset, "references": last(ReferenceDocument, "extend hull")}
    candidates = last(CandidatesDocument, "filter candidates")
    ranked = rank_candidates.original(
        str(root),
        candidates=candidates,
        chosen=choose(ArtifactStore(root), candidates, dataset, labels, screen["at_most"], 0.0),
        batches=[document for document in documents if isinstance(document, BatchDocument)],
        threshold=screen["threshold"],
        **common,
    )
    return finish_round.original(
        str(root),
        samples=samples,
        published=last(ReferenceDocument, "relax references"),
        labels=labels,
        models=[document for document in documents if isinstance(document, ModelDocument)],
        reconstruction=last(ReconstructionDocument, "evaluate reconstruction"),
        candidates=ranked,
        round_number=0,
        **common,
    )
