"""Provenance: from a finished run back to the documents that it was made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from imatgen_flows.config import CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.committee import take_votes
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, JobDocument, RoundDocument, job_of
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.finish_round import finish_round
from imatgen_flows.jobs.known_elsewhere import known_elsewhere
from imatgen_flows.jobs.phonons import compute_phonons
from imatgen_flows.jobs.place_calculations import place_candidates
from imatgen_flows.jobs.propose_candidates import propose_candidates
from imatgen_flows.jobs.rank_candidates import rank_candidates
from imatgen_flows.jobs.sample_candidates import sample_candidates

Document = TypeVar("Document", bound=JobDocument)

PROVENANCE_FILE = "provenance.json"
ROUND_KEY = "document"  # of provenance.json: key of the document that the run directory was written from
SETTINGS_KEY = "settings"  # of provenance.json: the campaign that was run, as `campaign.yaml` said it then


def finished_round(run: Path) -> RoundDocument:
    """Read the document of the last round of a run directory.

    Parameters
    ----------
    run : the run directory; its provenance.json names the document

    Raises
    ------
    InputError
        Where it names none, or artifacts of that document are missing or damaged.
    """
    try:
        key = json.loads((run / PROVENANCE_FILE).read_text())[ROUND_KEY]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{run / PROVENANCE_FILE} does not say which document the run directory was written from. "
            "`imatgen run --resume` writes it anew, `imatgen harvest` for a run on a cluster."
        ) from error
    found = ArtifactStore(run / "artifacts").finished(key)
    if found is None:
        raise InputError(
            f"{run}: no artifact of the round that wrote it is whole. `imatgen run --resume` makes them anew."
        )
    return RoundDocument(**found)


def refuse_edited(run: Path, config: CampaignConfig, keys: Sequence[str]) -> None:
    """Refuse the campaign file of a finished run whose settings are no longer those that the run had.

    Parameters
    ----------
    run : the run directory; where its provenance.json holds no settings, nothing can be compared
    config : its campaign file, as it is now
    keys : of the campaign file that matter, as ``screen.fmax``

    Raises
    ------
    InputError
        It names each key that was edited, with both values.
    """
    try:
        had = json.loads((run / PROVENANCE_FILE).read_text()).get(SETTINGS_KEY)
    except (OSError, ValueError):  # who needs the provenance itself says so
        return
    if not had:  # of a run of an earlier version
        return
    now = config.model_dump(mode="json", by_alias=True)
    values = [(key, _value(now, key), _value(had, key)) for key in keys]
    edited = [
        f"`{key}` is {json.dumps(one)}, the run had {json.dumps(other)}" for key, one, other in values if one != other
    ]
    if edited:
        raise InputError(
            f"{run / 'campaign.yaml'} was edited after the run ended: {'; '.join(edited)}. Write these values back; for "
            "others, run the campaign in another directory."
        )


def _value(settings: Any, key: str) -> Any:
    """Look up a key of the campaign file, as ``screen.fmax``."""
    for part in key.split("."):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


def candidates_so_far(run: Path) -> CandidateTable | None:
    """Find the candidates of a run that has not ended: of its rounds that have, and of the one that goes on.

    None where no samples have been drawn yet.
    """
    ended: CandidateTable | None = None
    current: CandidateTable | None = None
    for path in sorted((run / "artifacts" / "documents").glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        job = job_of(path.stem)
        if job not in [made.spec.name for made in (*_WITH_CANDIDATES, finish_round)]:
            continue
        content = ArtifactStore(run / "artifacts").finished(path.stem)
        if content is None:
            continue
        if job == finish_round.spec.name:
            ended, current = RoundDocument(**content).candidates, None
        else:
            current = CandidatesDocument(**content).candidates
    if ended is None and current is None:
        return None
    return (ended or CandidateTable()) + (current or CandidateTable())


# that go on from ranked candidates, in any order
_AFTER_RANKING = (take_votes, compute_phonons, known_elsewhere, place_candidates)
_WITH_CANDIDATES = (sample_candidates, filter_candidates, propose_candidates, rank_candidates, *_AFTER_RANKING)


def ranked_candidates(store: ArtifactStore, document: RoundDocument) -> CandidatesDocument:
    """Go back from a round to its candidates as they were ranked, before anything was added to them."""
    found = parent(store, document, CandidatesDocument, rank_candidates, *_AFTER_RANKING)
    while not found.made_by(rank_candidates):
        found = parent(store, found, CandidatesDocument, rank_candidates, *_AFTER_RANKING)
    return found


def first_round(store: ArtifactStore, document: RoundDocument) -> RoundDocument:
    """Go back to the first round of the campaign, whose networks were trained on nothing that the campaign found."""
    while any(job_of(key) == finish_round.spec.name for key in document.parents):
        document = parent(store, document, RoundDocument, finish_round)
    return document


def parent(store: ArtifactStore, document: JobDocument, kind: type[Document], *jobs: Any) -> Document:
    """Read the document that another was made from; of several, the first. See `parents`.

    Raises
    ------
    InputError
        Where there is none, as for the networks of a run without the generator.
    """
    found = parents(store, document, kind, *jobs)
    if not found:
        labels = " or ".join(f"`{job.spec.label}`" for job in jobs)
        raise InputError(f"{store.root.parent}: this run has no job {labels}, since its sources need none.")
    return found[0]


def parents(store: ArtifactStore, document: JobDocument, kind: type[Document], *jobs: Any) -> list[Document]:
    """Read the documents that another was made from.

    Parameters
    ----------
    store : of the run
    document : one of its documents
    kind : type of the documents that are looked for
    jobs : the job functions that made them

    Raises
    ------
    InputError
        Where artifacts of one are missing or damaged.
    """
    documents = []
    for key in document.parents:
        if job_of(key) not in [job.spec.name for job in jobs]:
            continue
        found = store.finished(key)
        if found is None:
            raise InputError(
                f"{store.root}: artifacts of the job {key} are missing or damaged. `imatgen run --resume` makes them anew."
            )
        documents.append(kind(**found))
    return documents
