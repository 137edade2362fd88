"""The registry of jobs: every job is declared once, and found by what it made."""

from __future__ import annotations

import json

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactRef, ArtifactStore
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.documents import CandidateTable, LabelDocument, ReconstructionDocument, RoundDocument
from imatgen_flows.jobs.extend_dataset import extend_labels
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.provenance import finished_round, first_round, parent, parents
from imatgen_flows.jobs.registry import JOBS, all_jobs
from imatgen_flows.jobs.train import train_autoencoder

NOTHING = ArtifactRef(uri="file:///x", sha256="0", nbytes=0, kind="none")


def test_every_job_says_what_it_is():
    declared = [spec for spec in all_jobs() if spec.job.__module__.startswith("imatgen_flows.")]
    assert len(declared) >= 20
    for spec in declared:
        assert spec.label and spec.description.endswith(".") and spec.job.spec is spec
    assert JOBS["train_autoencoder"].title({"role": "cell"}) == "train cell autoencoder"
    assert train_autoencoder("root", role="basis").name == "train basis autoencoder"


def test_a_document_knows_the_job_that_made_it():
    document = LabelDocument(key="extend_labels-0f", potential="toy", labels=NOTHING, counts={})
    assert document.job == "extend_labels"
    assert document.made_by(label_dataset, extend_labels) and not document.made_by(label_dataset)


@pytest.fixture
def run(tmp_path):
    """Two rounds as their documents tell them."""
    store = ArtifactStore(tmp_path / "artifacts")
    nothing = store.put_lines("nothing", [])
    common = {"candidates": CandidateTable(parts=[nothing]), "ledger": {}, "tables": {}}
    label = {"potential": "toy", "labels": nothing, "counts": {}}
    documents = (
        LabelDocument(key="label_dataset-a", **label),
        LabelDocument(key="extend_labels-b", **label),
        RoundDocument(key="finish_round-a", round=0, parents=["label_dataset-a"], **common),
        RoundDocument(key="finish_round-b", round=1, parents=["extend_labels-b", "finish_round-a"], **common),
    )
    for document in documents:
        store.finish(document.key, document.model_dump(mode="json"))
    (tmp_path / "provenance.json").write_text(json.dumps({"document": "finish_round-b"}))
    return tmp_path


def test_a_run_directory_leads_to_the_documents_that_it_was_made_from(run):
    store, last = ArtifactStore(run / "artifacts"), finished_round(run)
    assert last.round == 1 and first_round(store, last).round == 0
    assert parent(store, last, LabelDocument, label_dataset, extend_labels).key == "extend_labels-b"
    assert parent(store, first_round(store, last), LabelDocument, label_dataset, extend_labels).key == "label_dataset-a"
    assert parents(store, last, ReconstructionDocument, build_dataset) == []


def test_a_run_directory_that_names_no_document_is_refused_with_the_cure(run):
    (run / "provenance.json").write_text("{}")
    with pytest.raises(InputError, match=r"does not say which document .*`imatgen run --resume` writes it anew"):
        finished_round(run)
    (run / "provenance.json").write_text(json.dumps({"document": "finish_round-never"}))
    with pytest.raises(InputError, match="no artifact of the round that wrote it is whole"):
        finished_round(run)


def test_missing_artifacts_of_a_parent_are_named(run):
    store, last = ArtifactStore(run / "artifacts"), finished_round(run)
    (store.root / "documents" / "finish_round-a.json").unlink()
    with pytest.raises(InputError, match="artifacts of the job finish_round-a are missing or damaged"):
        parent(store, last, RoundDocument, finish_round)
