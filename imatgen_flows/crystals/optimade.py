"""Crystals of a provider of OPTIMADE, downloaded once."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import cast

from pymatgen.core import Structure

from imatgen_flows.crystals.query import Query, TemplateQuery
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal, crystal_row, read_crystals, write_crystals
from imatgen_flows.errors import InputError

ATTEMPTS = 3  # at one page


def read_optimade(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the crystals of a provider of OPTIMADE from the cache, after a download where it has none."""
    return read_crystals(_download(options, query), None, query.section)


def _download(options: SourceOptions, query: Query) -> Path:
    """Find or download the file of a provider's crystals, whose name holds the date.

    The download asks for one number of sites, or one chemical system, at a time, so that a page that fails is asked for
    again, and never missing without an error.
    """
    provider = options.provider
    if not provider:
        raise InputError(
            f"{query.section}: source `optimade` needs a `provider`, for example `oqmd`, `mp` or `jarvis`."
        )
    label = "".join(c if c.isalnum() or c in ".-" else "-" for c in provider)
    pattern = f"optimade_{label}_*_{query.label}.jsonl.gz"
    if cached := sorted(options.cache.glob(pattern)):
        return cached[-1]
    from pymatgen.ext.optimade import OptimadeRester

    known = OptimadeRester.aliases
    if provider not in known and not provider.startswith("http"):
        near = difflib.get_close_matches(provider, known, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Choose from {', '.join(sorted(known))}, or give a URL."
        raise InputError(f"{query.section}: unknown OPTIMADE provider `{provider}`. {hint}")
    with _client_errors() as errors:
        rester = OptimadeRester([provider], timeout=60)
        structures: dict[str, Structure] = {}
        for words, criterion in _filters(query).items():
            for _ in range(ATTEMPTS):
                errors.clear()
                found = rester.get_snls_with_filter(criterion)
                if not errors:
                    break
            else:
                raise InputError(
                    f"{query.section}: OPTIMADE provider `{provider}` did not answer for {words}, {ATTEMPTS} times "
                    f"({errors[-1][:200]}). Check the network, or try later. {query.instead}"
                )
            structures |= {
                key: cast("Structure", snl.structure) for page in found.values() for key, snl in page.items()
            }
    if not structures:
        raise InputError(f"{query.section}: OPTIMADE provider `{provider}` holds nothing {query}.")
    today = date.today().isoformat()
    rows = (crystal_row(f"{label}-{key}", f"OPTIMADE {provider}, {today}", s) for key, s in structures.items())
    return write_crystals(options.cache / pattern.replace("*", today), rows, query.section)


def _filters(query: Query) -> dict[str, str]:
    """Write a query as filters of OPTIMADE, by what each asks for in words.

    A system is asked for part by part: `HAS ONLY`, which would ask for all parts at once, is optional for a provider.
    """
    if isinstance(query, TemplateQuery):
        return {
            f"{number} sites": f"nelements={query.n_elements} AND nsites={number}"
            for number in range(query.n_elements, query.max_sites + 1)
        }
    return {
        "-".join(part): "elements HAS ALL "
        + ", ".join(f'"{symbol}"' for symbol in part)
        + f" AND nelements={len(part)}"
        for part in query.parts
    }


@contextmanager
def _client_errors() -> Iterator[list[str]]:
    """Collect the errors that pymatgen's OPTIMADE client only logs, where the provider's answer is then just missing."""
    errors: list[str] = []

    class Collect(logging.Handler):
        """Handler that appends each error to the list."""

        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            errors.append(f"{type(cause).__name__}: {cause}" if cause else record.getMessage())

    client = logging.getLogger("pymatgen.ext.optimade")
    handlers, propagate = client.handlers, client.propagate
    client.handlers, client.propagate = [Collect(logging.ERROR)], False
    try:
        yield errors
    finally:
        client.handlers, client.propagate = handlers, propagate
