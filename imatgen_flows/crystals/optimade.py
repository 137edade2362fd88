"""Crystals of a provider of OPTIMADE, downloaded once."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from math import inf
from typing import Any
from urllib.parse import quote, urlsplit

from pymatgen.core import Structure

from imatgen_flows.crystals.download_cache import Download, cached_crystals
from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.optimade_client import FilterNotSupported, OptimadeClient, OptimadeError
from imatgen_flows.crystals.optimade_entry import count_sites, read_entry
from imatgen_flows.crystals.query import Query, TemplateQuery
from imatgen_flows.crystals.rate_limit import RateLimit, RateLimitError
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal
from imatgen_flows.errors import InputError

logger = logging.getLogger(__name__)


def read_optimade(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the crystals of a provider of OPTIMADE from the cache, after a download where it has none that is whole.

    Raises
    ------
    InputError
        Where the provider is unknown, does not answer, sends a part, ignores the filter or holds nothing; where the cache
        cannot be written to.
    """
    provider = options.provider
    if not provider:
        raise InputError(
            f"{query.section}: source `optimade` needs a `provider`, for example `oqmd`, `mp` or `jarvis`."
        )
    label = label_of(provider)
    pattern = f"optimade_{label}_*_{query.label}.jsonl.gz"
    return iter(cached_crystals(options.cache, pattern, query, lambda: _download(provider, label, query)))


def label_of(provider: str) -> str:
    """Return the beginning of the names of a provider's crystals, which is a part of names of files too."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in provider)


def entry_link(provider: str, name: str) -> str:
    """Return the address of an entry.

    Parameters
    ----------
    provider : an alias that pymatgen knows, or a URL
    name : of its crystal, as `read_optimade` gives it
    """
    client = OptimadeClient(base_url(provider, "elsewhere"), RateLimit(provider))
    return f"{client.endpoint}/{quote(name.removeprefix(f'{label_of(provider)}-'))}"


@dataclass(frozen=True)
class _Question:
    """What is asked of a provider at once.

    Attributes
    ----------
    words : for people
    filter : in the language of OPTIMADE
    n_elements, n_sites, elements : what an entry that answers has; any number, or any, where None
    max_sites : of an entry that is taken; the filter does not ask for it
    """

    words: str
    filter: str
    n_elements: int
    n_sites: int | None = None
    elements: tuple[str, ...] | None = None
    max_sites: float = inf

    def contradiction(self, crystal: Structure, n_sites: int) -> str | None:
        """Say how a crystal fails the filter, None where it passes."""
        elements = sorted({element.symbol for element in crystal.composition.element_composition})
        if len(elements) != self.n_elements or (self.elements and elements != sorted(self.elements)):
            return f"holds {', '.join(elements)}"
        if self.n_sites is not None and n_sites != self.n_sites:
            return f"has {n_sites} sites"
        return None


def _questions(query: Query) -> list[_Question]:
    """Divide a query into parts that are small enough for one answer.

    A system is asked for part by part: `HAS ONLY`, which would ask for all parts at once, is optional for a provider.
    """
    if isinstance(query, TemplateQuery):
        n_elements = query.n_elements
        return [
            _Question(f"{n} sites", f"nelements={n_elements} AND nsites={n}", n_elements, n_sites=n)
            for n in range(n_elements, query.max_sites + 1)
        ]
    return [_question_about(part) for part in query.parts]


def _question_without_sites(query: TemplateQuery) -> _Question:
    """Ask for all templates at once, for a provider that cannot ask by the number of sites."""
    n_elements = query.n_elements
    return _Question(f"{n_elements} elements", f"nelements={n_elements}", n_elements, max_sites=query.max_sites)


def _question_about(part: tuple[str, ...]) -> _Question:
    quoted = ", ".join(f'"{symbol}"' for symbol in part)
    return _Question("-".join(part), f"elements HAS ALL {quoted} AND nelements={len(part)}", len(part), elements=part)


def _download(provider: str, label: str, query: Query) -> Download:
    """Ask a provider for everything, and give each entry its crystal or the reason why it has none.

    An entry that several answers hold counts once, and as a crystal where one of the answers takes it.
    """
    service = f"OPTIMADE provider `{provider}`"
    client = OptimadeClient(base_url(provider, query.section), RateLimit(service))
    found: dict[str, Structure | Exclusion] = {}
    questions = _questions(query)
    with closing(client.session):
        while questions:
            question = questions.pop(0)
            try:
                for name, crystal in _answers(client, question, label, service):
                    if not isinstance(found.get(name), Structure):
                        found[name] = crystal
            except FilterNotSupported as error:
                if not isinstance(query, TemplateQuery) or question.n_sites is None:
                    raise _failure(query, service, question, error) from error
                logger.warning(
                    "%s %s for %s: all entries of %d elements are asked for instead, and sorted here.",
                    service, error, question.words, query.n_elements,
                )  # fmt: skip
                questions = [_question_without_sites(query)]
            except (OptimadeError, RateLimitError) as error:
                raise _failure(query, service, question, error) from error
    client.rate_limit.report()
    ignored = [x for x in found.values() if isinstance(x, Exclusion) and x.reason == "filter_ignored"]
    if ignored and len(ignored) == len(found):
        raise InputError(
            f"{query.section}: {service} ignores the filter: asked for crystals {query}, it sent {len(ignored):,} others "
            f"({ignored[0].id} {ignored[0].detail}). {query.instead}"
        )
    today = date.today().isoformat()
    source = f"OPTIMADE {provider}, {today}"
    return Download(service, today, [RawCrystal(name, source, crystal) for name, crystal in found.items()])


def _failure(query: Query, service: str, question: _Question, error: Exception) -> InputError:
    return InputError(
        f"{query.section}: {service} {error}, asked for {question.words}. No part is kept. Check the network and the name "
        f"or URL of the provider, or try later. {query.instead}"
    )


def _answers(
    client: OptimadeClient, question: _Question, label: str, service: str
) -> Iterator[tuple[str, Structure | Exclusion]]:
    """Yield each entry of the answer to a question, by its name."""
    number = ignored = 0
    for page in client.pages(question.filter):
        for entry in page.entries:
            number += 1
            identifier = entry.get("id")
            name = f"{label}-{f'{question.words}, entry {number}' if identifier is None else identifier}"
            crystal = _check_entry(name, entry, question)
            ignored += isinstance(crystal, Exclusion) and crystal.reason == "filter_ignored"
            yield name, crystal
        if number and ignored == number and page.more:
            # all of a database would follow
            raise OptimadeError(
                f"ignores the filter: none of the first {number:,} entries passes it (`{question.filter}`)"
            )
    logger.info("%s: %d entries of %s", service, number, question.words)
    if number and ignored == number:
        logger.warning(
            "%s ignores the filter for %s: none of its %d entries passes it.", service, question.words, number
        )


def _check_entry(name: str, entry: dict[str, Any], question: _Question) -> Structure | Exclusion:
    crystal = read_entry(name, entry)
    if isinstance(crystal, Exclusion):
        return crystal
    n_sites = count_sites(entry)
    if not crystal.is_ordered:
        return crystal  # no template, nor a phase; which elements it counts as is its provider's choice
    if contradiction := question.contradiction(crystal, n_sites):
        return Exclusion(name, "filter_ignored", f"{contradiction}; asked for were {question.words}")
    if n_sites > question.max_sites:
        return Exclusion(name, "too_many_sites", f"{n_sites} sites as given; the limit is {question.max_sites}")
    return crystal


def base_url(provider: str, section: str) -> str:
    """Address of a provider that is given as an alias of pymatgen or as a URL.

    Raises
    ------
    InputError
        Where it is neither; the message begins with the section of the campaign file.
    """
    if provider.startswith(("http://", "https://")):
        try:
            urlsplit(provider)
        except ValueError as error:
            raise InputError(f"{section}: `provider: {provider}` is not a URL ({error}).") from error
        return provider
    from pymatgen.ext.optimade import OptimadeRester

    known = OptimadeRester.aliases
    if provider not in known:
        near = difflib.get_close_matches(provider, known, n=1)
        hint = (
            f"Did you mean `{near[0]}`?"
            if near
            else f"Choose from {', '.join(sorted(known))}, or give a URL that begins with https://."
        )
        raise InputError(f"{section}: unknown OPTIMADE provider `{provider}`. {hint}")
    return known[provider]
