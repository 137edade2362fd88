"""Crystals of the Materials Project, downloaded once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, TypeVar

from pymatgen.core import Structure

from imatgen_flows.crystals.download_cache import Download, cached_crystals
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.query import Query, TemplateQuery
from imatgen_flows.crystals.rate_limit import RateLimit, RateLimitError, retry_after
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal
from imatgen_flows.errors import InputError

Answer = TypeVar("Answer")

KEY_PAGE = "https://next-gen.materialsproject.org/api"


def read_materials_project(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the crystals of the Materials Project from the cache, after a download where it has none that is whole.

    Raises
    ------
    InputError
        Where the key or the client is missing, the key is refused, or the Materials Project does not answer, sends a part
        or holds nothing; where the cache cannot be written to.
    """
    pattern = f"mp_*_{query.label}.jsonl.gz"
    return iter(cached_crystals(options.cache, pattern, query, lambda: _download(options.api_key, query)))


def _download(key: str | None, query: Query) -> Download:
    """Ask for all documents, and compare their number with the count."""

    def ask(rester: Any) -> tuple[list[dict[str, Any]], Any]:
        documents = rester.materials.summary.search(
            **_criteria(query), deprecated=False, include_gnome=False,
            all_fields=False, chunk_size=1000, fields=["material_id", "structure"],
        )  # fmt: skip
        # `search` stops without a word at a page that is empty before all have come
        return documents or [], rester.materials.summary.count(_server_criteria(query))

    version, (documents, counted) = ask_materials_project(key, ask, query.section, query.instead)
    names = [str(d.get("material_id") or f"document-{n}") for n, d in enumerate(documents, start=1)]
    refuse_part(len(set(names)), counted, query.section, query.instead)
    source = f"Materials Project {version}"
    crystals = {name: _crystal(name, document) for name, document in zip(names, documents, strict=True)}
    return Download("the Materials Project", version, [RawCrystal(n, source, x) for n, x in crystals.items()])


def ask_materials_project(
    key: str | None, ask: Callable[[Any], Answer], section: str, instead: str
) -> tuple[str, Answer]:
    """Ask the Materials Project, as often as its limit of requests makes necessary.

    Parameters
    ----------
    key : API key
    ask : what is asked of an open `MPRester` of mp-api, which returns plain dictionaries
    section : of the campaign file, to begin messages with
    instead : what can be done without the Materials Project, to end them with

    Returns
    -------
    version of the database, and what `ask` returned

    Raises
    ------
    InputError
        Where the key or the client is missing, the key is refused, or the Materials Project does not answer.
    """
    if not key:
        raise InputError(
            f"{section}: the Materials Project needs a key. Get one at {KEY_PAGE} and set MP_API_KEY. {instead}"
        )
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise InputError(
            f'{section}: the Materials Project needs mp-api: pip install "imatgen-flows[mp]". {instead}'
        ) from None
    rate_limit = RateLimit("the Materials Project")
    while True:
        try:
            with MPRester(key, use_document_model=False) as rester:
                version, answer = _database_version(rester), ask(rester)
            break
        except Exception as error:  # the client lets through what requests, urllib3 and its own decoder raise
            # the address is long and says nothing of the cause, which stands behind it
            said = re.sub(r" on URL \S+", "", f"{type(error).__name__}: {error}").replace(key, "***")
            _wait_or_explain(error, " ".join(said.split()), rate_limit, section, instead)
    rate_limit.report()
    return version, answer


def refuse_part(came: int, counted: object, section: str, instead: str) -> None:
    """Refuse fewer documents than the Materials Project counts, or a number that is none.

    Raises
    ------
    InputError
        Where documents are missing.
    """
    if not isinstance(counted, int) or came < counted:
        number = f"{counted:,}" if isinstance(counted, int) else "unknown number of"
        raise InputError(
            f"{section}: the Materials Project sent {came:,} of the {number} documents that it counts. "
            f"No part is kept. Try later. {instead}"
        )


def _database_version(rester: Any) -> str:
    """Read the version of the database, for example `2026.02.01`; where the server names none, the date stands for it."""
    version = getattr(rester, "db_version", None)  # from mp-api 0.46 on, where the method is deprecated
    return str(version or rester.get_database_version() or f"unknown-{date.today().isoformat()}")


def _criteria(query: Query) -> dict[str, Any]:
    """Write a query in the words of the Materials Project's client."""
    if isinstance(query, TemplateQuery):
        return {"num_elements": query.n_elements, "num_sites": (1, query.max_sites)}
    return {"chemsys": ["-".join(part) for part in query.parts]}


def _server_criteria(query: Query) -> dict[str, Any]:
    """Write the same query in the words of the server, as the client's `search` translates it; `count` does not."""
    everywhere = {"deprecated": False, "batch_id_not_eq": "gnome_r2scan_statics"}
    if isinstance(query, TemplateQuery):
        number = {"nelements_min": query.n_elements, "nelements_max": query.n_elements}
        return {**everywhere, **number, "nsites_min": 1, "nsites_max": query.max_sites}
    return {**everywhere, "chemsys": ",".join("-".join(part) for part in query.parts)}


def _crystal(name: str, document: dict[str, Any]) -> Structure | Exclusion:
    crystal = document.get("structure")
    if crystal is None:
        return Exclusion(name, "no_structure", "the document has no structure")
    try:
        return Structure.from_dict(crystal) if isinstance(crystal, dict) else crystal
    except Exception as error:  # a document may hold anything, and costs no more than itself
        return Exclusion(name, "unreadable", f"{type(error).__name__}: {error}"[:200])


def _wait_or_explain(error: Exception, said: str, rate_limit: RateLimit, section: str, instead: str) -> None:
    """Wait where the Materials Project limits the requests; otherwise raise the sentence about an error."""
    if _status(error) != 429:
        raise InputError(f"{section}: {_explain(_status(error), said)} {instead}") from error
    try:
        rate_limit.wait(_waiting_time(error, said))
    except RateLimitError as limit:
        raise InputError(f"{section}: the Materials Project {limit}. Try later. {instead}") from error


def _status(error: Exception) -> int | None:
    """HTTP status of an error: that of its response, or the one that the client writes into its message."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status
    found = re.search(r"status code (\d{3})|too many (\d{3}) error responses", str(error))
    return int(found[1] or found[2]) if found else None


def _waiting_time(error: Exception, said: str) -> float | None:
    """Seconds that an error asks to wait for, by its header or in its message, where it names some."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    if (seconds := retry_after(headers.get("Retry-After"))) is not None:
        return seconds
    found = re.search(r"(?:retry|try again|wait)\D{0,30}?(\d+(?:\.\d+)?)\s*(min)?", said, re.IGNORECASE)
    return float(found[1]) * (60 if found[2] else 1) if found else None


def _explain(status: int | None, said: str) -> str:
    """Say why there is no answer, and what to do."""
    if status in (401, 403) or "Valid API keys are" in said:
        return f"the Materials Project refuses the key in MP_API_KEY ({said[:200]}). Get one at {KEY_PAGE}."
    if re.search(r"JSONDecodeError|<html|<!doctype", said, re.IGNORECASE):
        text = " ".join(re.sub(r"<[^>]*>", " ", said).split())
        return f"the Materials Project answered with something else than data ({text[:200]}). Try later."
    return f"the Materials Project did not answer ({said[:200]}). Check the key and the network."
