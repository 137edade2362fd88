"""Crystals of the Materials Project, downloaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.crystals.query import Query, TemplateQuery
from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal, crystal_row, read_crystals, write_crystals
from imatgen_flows.errors import InputError


def read_materials_project(options: SourceOptions, query: Query) -> Iterator[RawCrystal]:
    """Read the crystals of the Materials Project from the cache, after a download where it has none."""
    return read_crystals(_download(options, query), None, query.section)


def _download(options: SourceOptions, query: Query) -> Path:
    """Find or download the file of the Materials Project's crystals, whose name holds the version of the database."""
    pattern = f"mp_*_{query.label}.jsonl.gz"
    if cached := sorted(options.cache.glob(pattern)):
        return cached[-1]
    if not options.api_key:
        raise InputError(
            f"{query.section}: the Materials Project needs a key. Get one at https://next-gen.materialsproject.org/api and "
            f"set MP_API_KEY. {query.instead}"
        )
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise InputError(
            f'{query.section}: the Materials Project needs mp-api: pip install "imatgen-flows[mp]". {query.instead}'
        ) from None
    try:
        with MPRester(options.api_key, use_document_model=False) as rester:
            version = rester.get_database_version()
            documents = rester.materials.summary.search(
                **_criteria(query), deprecated=False, include_gnome=False,
                all_fields=False, chunk_size=1000, fields=["material_id", "structure"],
            )  # fmt: skip
    except Exception as error:  # the client lets through what requests, urllib3 and its own decoder raise
        raise InputError(
            f"{query.section}: the Materials Project did not answer ({type(error).__name__}: {str(error)[:200]}). "
            f"Check the key and the network. {query.instead}"
        ) from error
    if not documents:
        raise InputError(f"{query.section}: the Materials Project holds nothing {query}. {query.instead}")
    source = f"Materials Project {version}"
    rows = (crystal_row(str(d["material_id"]), source, _structure(d["structure"])) for d in documents)
    return write_crystals(options.cache / pattern.replace("*", str(version)), rows, query.section)


def _criteria(query: Query) -> dict[str, Any]:
    """Write a query in the words of the Materials Project's client."""
    if isinstance(query, TemplateQuery):
        return {"num_elements": query.n_elements, "num_sites": (1, query.max_sites)}
    return {"chemsys": ["-".join(part) for part in query.parts]}


def _structure(crystal: Structure | dict) -> Structure:
    return Structure.from_dict(crystal) if isinstance(crystal, dict) else crystal
