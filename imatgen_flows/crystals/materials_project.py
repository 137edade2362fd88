"""Templates of the Materials Project, downloaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pymatgen.core import Structure

from imatgen_flows.crystals.registry import SourceOptions
from imatgen_flows.crystals.structure_files import RawCrystal, crystal_row, read_crystals, write_crystals
from imatgen_flows.errors import InputError


def read_materials_project(options: SourceOptions, n_elements: int, max_sites: int) -> Iterator[RawCrystal]:
    """Read the crystals of the Materials Project from the cache, after a download where it has none."""
    return read_crystals(_download(options, n_elements, max_sites), None, "templates")


def _download(options: SourceOptions, n_elements: int, max_sites: int) -> Path:
    """Find or download the file of the Materials Project's crystals, whose name holds the version of the database."""
    pattern = f"mp_*_{n_elements}-elements_{max_sites}-sites.jsonl.gz"
    if cached := sorted(options.cache.glob(pattern)):
        return cached[-1]
    instead = "Or use `templates: {source: prototypes}`, which needs neither key nor network."
    if not options.api_key:
        raise InputError(
            "templates: the Materials Project needs a key. Get one at https://next-gen.materialsproject.org/api and "
            f"set MP_API_KEY. {instead}"
        )
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise InputError(
            f'templates: the Materials Project needs mp-api: pip install "imatgen-flows[mp]". {instead}'
        ) from None
    try:
        with MPRester(options.api_key, use_document_model=False) as rester:
            version = rester.get_database_version()
            documents = rester.materials.summary.search(
                num_elements=n_elements, num_sites=(1, max_sites), deprecated=False, include_gnome=False,
                all_fields=False, chunk_size=1000, fields=["material_id", "structure"],
            )  # fmt: skip
    except Exception as error:  # the client lets through what requests, urllib3 and its own decoder raise
        raise InputError(
            f"templates: the Materials Project did not answer ({type(error).__name__}: {str(error)[:200]}). "
            f"Check the key and the network. {instead}"
        ) from error
    if not documents:
        raise InputError(f"templates: the Materials Project holds nothing with {n_elements} elements. {instead}")
    source = f"Materials Project {version}"
    rows = (crystal_row(str(d["material_id"]), source, _structure(d["structure"])) for d in documents)
    return write_crystals(options.cache / pattern.replace("*", str(version)), rows)


def _structure(crystal: Structure | dict) -> Structure:
    return Structure.from_dict(crystal) if isinstance(crystal, dict) else crystal
