"""Sources of templates and of known phases, and what can be held out of the training set, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.registry import Entry, Registry

if TYPE_CHECKING:
    from imatgen_flows.crystals.query import Query
    from imatgen_flows.crystals.raw_crystal import RawCrystal


@dataclass(frozen=True)
class SourceOptions:
    """Options of a source of crystals; each source reads those that it needs.

    Parameters
    ----------
    path : for `file`: a .jsonl or .jsonl.gz with one crystal a line (`id, lattice, species, frac_coords`, optionally
        `source`; lattice in A, rows are vectors), a file of another format, or a folder of such files
    where : for a .jsonl file: fields of its rows and the values that they must have
    provider : for `optimade`: an alias that pymatgen knows (`oqmd`, `mp`, `jarvis`, ...) or a URL
    cache_dir : folder of downloads, by default ~/.cache/imatgen. What is there is used without the network; delete the
        file to download again.
    api_key : for `mp`
    workers : number of processes that read many files and reduce many crystals
    """

    path: str | Path | None = None
    where: Mapping[str, object] = field(default_factory=dict)
    provider: str | None = None
    cache_dir: str | Path | None = None
    api_key: str | None = None
    workers: int = 1

    @property
    def cache(self) -> Path:
        """Folder of downloads."""
        return Path(self.cache_dir).expanduser() if self.cache_dir else Path.home() / ".cache" / "imatgen"


@dataclass(frozen=True)
class CrystalSource(Entry):
    """A source of crystals, for templates or for known phases.

    Parameters
    ----------
    loader : ``module:function``; called with the options and the query, it yields crystals. It may yield others than were
        asked for: they are sorted out afterwards.
    """

    loader: str = ""

    def read(self, options: SourceOptions, query: Query) -> Iterable[RawCrystal]:
        """Read the crystals of this source.

        Raises
        ------
        InputError
            Where the source cannot be read at all.
        """
        module, _, function = self.loader.partition(":")
        crystals: Iterable[RawCrystal] = getattr(import_module(module), function)(options, query)
        return crystals


_ELSEWHERE = (
    CrystalSource(
        "file",
        "File",
        "A file of crystals (JSON lines, CIF, POSCAR, extended XYZ and others), or a folder of such files.",
        loader="imatgen_flows.crystals.local_sources:read_file",
    ),
    CrystalSource(
        "mp",
        "Materials Project",
        "The Materials Project; it needs a key in MP_API_KEY.",
        loader="imatgen_flows.crystals.materials_project:read_materials_project",
    ),
    CrystalSource(
        "optimade",
        "OPTIMADE",
        "A provider of OPTIMADE, for example oqmd.",
        loader="imatgen_flows.crystals.optimade:read_optimade",
    ),
)

TEMPLATE_SOURCES = Registry(
    "source of templates",
    CrystalSource(
        "prototypes",
        "Prototypes",
        "The prototypes that ship with pymatgen.",
        loader="imatgen_flows.crystals.local_sources:read_prototypes",
    ),
    *_ELSEWHERE,
)

KNOWN_SOURCES = Registry(
    "source of known phases",
    CrystalSource(
        "shipped",
        "Shipped",
        "Those alone that ship with the program.",
        loader="imatgen_flows.crystals.local_sources:read_nothing",
    ),
    *_ELSEWHERE,
)

HOLD_OUT = Registry(
    "held-out set",
    Entry("none", "Nothing", "All known phases may train the networks."),
    Entry("structures", "Structures", "All published compounds of the system are held out."),
    Entry("prototypes", "Prototypes", "Also every template that becomes one of these compounds."),
)
