"""From a finished run back to the documents that it was made of."""

from __future__ import annotations

from typing import Any, TypeVar

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.documents import JobDocument, RoundDocument

Document = TypeVar("Document", bound=JobDocument)


def finished_round(store: ArtifactStore, ledger: dict[str, Any]) -> RoundDocument:
    """Find the round that a run directory was written from: its ledger is the directory's.

    Raises
    ------
    InputError
        Where there is none whose artifacts are whole.
    """
    for path in sorted((store.root / "documents").glob("finish_round-*.json")):
        found = store.finished(path.stem)
        if found is not None and found["ledger"] == ledger:
            return RoundDocument(**found)
    raise InputError(
        f"{store.root.parent}: no artifact of the round that wrote it is whole. `imatgen run --resume` makes them anew."
    )


def first_round(store: ArtifactStore, document: RoundDocument) -> RoundDocument:
    """Go back to the campaign's first round, whose networks have learnt from nothing that was found."""
    while any(_stage_of(key) == "finish_round" for key in document.parents):
        document = parent(store, document, RoundDocument, "finish_round")
    return document


def parent(store: ArtifactStore, document: JobDocument, kind: type[Document], *stages: str) -> Document:
    """Read the document that another builds on; of several, the first."""
    return parents(store, document, kind, *stages)[0]


def parents(store: ArtifactStore, document: JobDocument, kind: type[Document], *stages: str) -> list[Document]:
    """Read the documents of some stages that another builds on.

    Raises
    ------
    InputError
        Where artifacts of one are missing or damaged.
    """
    documents = []
    for key in document.parents:
        if _stage_of(key) not in stages:
            continue
        found = store.finished(key)
        if found is None:
            raise InputError(
                f"{store.root}: artifacts of the stage {key} are missing or damaged. "
                "`imatgen run --resume` makes them anew."
            )
        documents.append(kind(**found))
    return documents


def _stage_of(key: str) -> str:
    return key.rpartition("-")[0]
