"""A client of OPTIMADE that says when an answer is not whole.

pymatgen's `OptimadeRester` follows `links.next` alone and compares nothing with what the provider counts; a page that is
missing, or an entry that it cannot read, is a line of its log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import sleep
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit, urlunsplit

import requests

from imatgen_flows.crystals.rate_limit import RateLimit, retry_after

ATTEMPTS = 3  # at one page, where the network or the server fails
PAUSE = 2.0  # s before the next attempt
MAX_DELAY = 10.0  # s; a provider that suggests a longer pause between two pages may ask for it by 429
TIMEOUT = (10.0, 60.0)  # s to connect, and between two parts of an answer
FIELDS = "lattice_vectors,cartesian_site_positions,species,species_at_sites,structure_features"

logger = logging.getLogger(__name__)


class OptimadeError(Exception):
    """An answer that cannot be taken; the message goes on after the name of the provider."""


class FilterNotSupported(OptimadeError):
    """A filter that the provider does not implement (501) or does not know (400)."""


@dataclass(frozen=True)
class Page:
    """Entries of one page, and whether the provider says that there are others."""

    entries: list[dict[str, Any]]
    more: bool


@dataclass
class OptimadeClient:
    """Requests to one provider.

    Parameters
    ----------
    base_url : with or without a prefix path, the version and the last slash
    rate_limit : the waits that the provider asks for
    """

    base_url: str
    rate_limit: RateLimit
    session: requests.Session = field(default_factory=requests.Session)

    @property
    def endpoint(self) -> str:
        """Address of the structures, of major version 1.

        Examples
        --------
        >>> for url in ("https://oqmd.org/optimade", "http://a.org/x/v1/", "http://a.org/x/v1.2/structures?page_limit=1"):
        ...     print(OptimadeClient(url, RateLimit("")).endpoint)
        https://oqmd.org/optimade/v1/structures
        http://a.org/x/v1/structures
        http://a.org/x/v1/structures
        """
        base = urlunsplit(urlsplit(self.base_url)._replace(query="", fragment="")).rstrip("/")
        return re.sub(r"(/v\d+(\.\d+)*)?(/(structures|info|links))?$", "", base) + "/v1/structures"

    def pages(self, criterion: str) -> Iterator[Page]:
        """Ask for the structures that pass a filter, page by page, each entry once.

        The next page is where `links.next` says; where it says nothing of use although more is available, it is asked for
        by `page_offset`, which the specification recommends. After the last page, what came is compared with
        `meta.data_returned` and `meta.more_data_available` (OPTIMADE 1.2, "JSON Response Schema: Common Fields").

        Raises
        ------
        FilterNotSupported
            Where the provider cannot apply the filter.
        OptimadeError
            Where a page does not come, or the pages together are not whole.
        RateLimitError
            Where the provider asks for longer waits than a download allows.
        """
        url: str | None = _with_query(self.endpoint, {"filter": criterion, "response_fields": FIELDS})
        visited: set[str] = set()
        ids: set[str] = set()
        counted: int | None = None
        more: bool | None = None
        by_offset = False
        while url:
            try:
                answer = self._get(url, first=not visited)
            except OptimadeError:
                if not by_offset:
                    raise
                break  # pages by offset are optional; what is missing without them is said below
            visited.add(url)
            meta, entries = _member(answer, "meta"), []
            for entry in answer["data"]:
                name = str(entry["id"]) if isinstance(entry, dict) and entry.get("id") is not None else ""
                if not name or name not in ids:
                    # an entry without a name, or none at all, is left to the reader of entries to refuse
                    ids.add(name or f"entry {len(ids) + 1}")
                    entries.append(entry if isinstance(entry, dict) else {})
            returned = meta.get("data_returned")
            if isinstance(returned, int):
                counted = max(counted or 0, returned)
            # an empty page is the end of an answer, whatever it says of itself
            more = meta.get("more_data_available") if answer["data"] else False
            unfinished = more is True or (counted is not None and counted > len(ids))
            following = _next_page(url, answer)
            yield Page(entries, unfinished or bool(following))
            by_offset = unfinished and (not following or following in visited or not entries)
            if by_offset:
                offset = {"filter": criterion, "response_fields": FIELDS, "page_offset": str(len(ids))}
                following = _with_query(self.endpoint, offset)
            url = following if following not in visited and (entries or unfinished) else None
        if counted is None and more is None:
            logger.warning(
                "%s does not say how many entries pass `%s`; %d came.", self.rate_limit.service, criterion, len(ids)
            )
        _check_whole(len(ids), counted, more)

    def _get(self, url: str, first: bool) -> dict[str, Any]:
        """Return one answer; ask again where the network or the server fails, and wait where the server asks for it."""
        problem = ""
        attempt = 0
        while attempt < ATTEMPTS:
            try:
                response = self.session.get(url, timeout=TIMEOUT)
            except (requests.RequestException, ValueError) as error:  # a link may be no address, which is a ValueError
                problem = f"{type(error).__name__}: {str(error)[:200]}"
            else:
                status = response.status_code
                header = response.headers.get("Retry-After")
                if status == 429 or (status == 503 and header):
                    self.rate_limit.wait(retry_after(header))
                    continue
                answer = _read_json(response)
                if status == 200 and isinstance(answer.get("data"), list):
                    self.rate_limit.answered()
                    self._pause(_member(answer, "meta").get("request_delay"))
                    return answer
                problem = _describe(response, answer)
                if first and status in (400, 501):
                    raise FilterNotSupported(f"refuses the filter ({problem})")
                if 400 <= status < 500 or status == 501:
                    raise OptimadeError(f"refuses the request ({problem}; {self.endpoint})")
            attempt += 1
            if attempt < ATTEMPTS:
                sleep(PAUSE)
        raise OptimadeError(f"did not answer, {ATTEMPTS} times ({problem})")

    def _pause(self, delay: object) -> None:
        """Pause before the next request where `meta.request_delay` suggests it."""
        if isinstance(delay, int | float) and delay > 0:
            sleep(min(delay, MAX_DELAY))


def _check_whole(came: int, counted: int | None, more: bool | None) -> None:
    if counted is not None and came < counted:
        raise OptimadeError(f"sent {came:,} of the {counted:,} entries that it counts")
    if more is True:
        raise OptimadeError(f"sent {came:,} entries, says that there are more, and no link leads to them")


def _with_query(url: str, values: dict[str, str]) -> str:
    """Add to an address the values that its query lacks."""
    parts = urlsplit(url)
    present = parse_qsl(parts.query, keep_blank_values=True)
    absent = [(key, value) for key, value in values.items() if key not in dict(present)]
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, urlencode(absent, quote_via=quote))))))


def _next_page(url: str, answer: dict[str, Any]) -> str | None:
    """Return the address of the next page, None where no link leads there.

    A link is a string or a link object, may be relative, and is called `next_page` by some (mpds-api#48). COD's lack the
    fields that were asked for, so that what they lead to has null positions (OPTIMADE #391).
    """
    links = _member(answer, "links")
    link = links.get("next") or links.get("next_page")
    link = link.get("href") if isinstance(link, dict) else link
    if not isinstance(link, str) or not link:
        return None
    try:
        return _with_query(urljoin(url, link), {"response_fields": FIELDS})
    except ValueError:  # no address at all
        return None


def _member(answer: dict[str, Any], name: str) -> dict[str, Any]:
    value = answer.get(name)
    return value if isinstance(value, dict) else {}


def _read_json(response: requests.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _describe(response: requests.Response, answer: dict[str, Any]) -> str:
    """Say what came instead of entries: the provider's own error, or the beginning of what is no JSON."""
    errors = answer.get("errors")
    said = [str(e.get("detail") or e.get("title")) for e in errors if isinstance(e, dict)] if errors else []
    if said:
        return f"{response.status_code}: {'; '.join(said)[:200]}"
    kind = response.headers.get("Content-Type", "no type").split(";")[0]
    if answer:
        return f"{response.status_code}, JSON without a list `data`"
    text = " ".join(re.sub(r"<[^>]*>", " ", response.text[:2000]).split())[:80]
    return f"{response.status_code}, {kind} instead of JSON: {text!r}"
