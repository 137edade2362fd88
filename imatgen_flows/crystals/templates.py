"""Known crystals to substitute into: prototypes that ship with pymatgen, a file, the Materials Project, OPTIMADE."""

from __future__ import annotations

import difflib
import gzip
import json
import logging
import os
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import spglib
from pymatgen.core import Element, Structure

from imatgen_flows.crystals.repair import shortest_distance
from imatgen_flows.crystals.standard import standardise
from imatgen_flows.errors import InputError

Source = Literal["prototypes", "file", "mp", "optimade"]
SMALLEST_VOLUME = 0.1  # A^3; under it a cell is flat
CLOSEST = 0.5  # A; under it two sites are one atom written twice
PRIMITIVE_TOLERANCE = 0.01  # A; spglib's symprec. A looser one folds distorted supercells (M1 VO2) into their parents
ATTEMPTS = 3  # at one OPTIMADE page

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Template:
    """A known crystal: ordered, without oxidation states, in the standard setting of its primitive cell."""

    id: str
    structure: Structure
    source: str


@dataclass(frozen=True)
class Exclusion:
    """What did not become a template or a substituted structure, and why: `reason` to count by, `detail` to read."""

    id: str
    reason: str
    detail: str


@dataclass(frozen=True)
class _Row:
    """One crystal as it was read: a structure, or the reason why there is none."""

    id: str
    source: str
    crystal: Structure | Exclusion


def load_templates(
    source: Source = "prototypes",
    path: str | Path | None = None,
    n_elements: int = 2,
    max_sites: int = 20,
    max_edge: float = 10.0,
    provider: str | None = None,
    cache_dir: str | Path | None = None,
    api_key: str | None = None,
    where: dict[str, Any] | None = None,
) -> tuple[list[Template], list[Exclusion]]:
    """Read templates, and say of everything else that was read why it is none.

    Limits hold for the primitive cell in its Niggli setting: that is what will be substituted and drawn.

    Parameters
    ----------
    source : `prototypes` (AFLOW's, shipped with pymatgen), `file`, `mp` (Materials Project) or `optimade`
    path : for `file`: a .jsonl or .jsonl.gz with one crystal a line (`id, lattice, species, frac_coords`, optionally
        `source`; lattice in A, rows are vectors), or a directory of CIF and POSCAR files
    n_elements : how many elements a template has
    max_sites : sites in the primitive cell
    max_edge : longest edge in A
    provider : for `optimade`: an alias that pymatgen knows (`oqmd`, `mp`, `jarvis`, ...) or a URL
    cache_dir : where downloads are kept, by default ~/.cache/imatgen. What is there is used without the network;
        delete the file to download again.
    api_key : for `mp`
    where : for a .jsonl file: fields of its rows and the values that they must have

    Returns
    -------
    templates, and what was left out: together one for each crystal that the source holds

    Raises
    ------
    InputError
        Where a source cannot be read at all: a file that is missing, empty, truncated or not gzip; a download without
        key, network or package. Where `where` chooses no row.
    """
    if source == "prototypes":
        rows = _prototypes()
    elif source == "file":
        if path is None:
            raise InputError("templates: source `file` needs a `path`: a .jsonl.gz file or a folder of CIF or POSCAR.")
        rows = _file(Path(path), where, "templates")
    elif source in ("mp", "optimade"):
        cache = Path(cache_dir).expanduser() if cache_dir else Path.home() / ".cache" / "imatgen"
        if source == "mp":
            rows = _lines(_materials_project(cache, n_elements, max_sites, api_key), None, "templates")
        else:
            rows = _lines(_optimade(cache, n_elements, max_sites, provider), None, "templates")
    else:
        raise InputError(f"templates: unknown source `{source}`. Choose prototypes, file, mp or optimade.")
    templates, exclusions = [], []
    for row in rows:
        template = _examine(row, n_elements, max_sites, max_edge)
        if isinstance(template, Template):
            templates.append(template)
        else:
            logger.debug("template %s left out (%s): %s", template.id, template.reason, template.detail)
            exclusions.append(template)
    return templates, exclusions


def load_known(
    path: str | Path,
    elements: Iterable[str],
    max_sites: int = 20,
    max_edge: float = 10.0,
    where: dict[str, Any] | None = None,
) -> tuple[list[Template], list[Exclusion]]:
    """Read the published phases of a system, its elements among them, from a file or a folder.

    Parameters and errors are those of `load_templates`; phases with other elements are left out.
    """
    wanted = set(elements)
    known, exclusions = [], []
    for row in _file(Path(path), where, "known"):
        phase = _examine(row, None, max_sites, max_edge)
        if isinstance(phase, Template) and (foreign := set(phase.structure.symbol_set) - wanted):
            phase = Exclusion(row.id, "other_elements", f"holds {', '.join(sorted(foreign))}")
        if isinstance(phase, Template):
            known.append(phase)
        else:
            exclusions.append(phase)
    return known, exclusions


def _file(path: Path, where: dict[str, Any] | None, section: str) -> Iterator[_Row]:
    """Read a file or a folder; `section` of the campaign names it in errors."""
    if path.is_dir() and where:
        raise InputError(f"{section}: `where` chooses rows of a .jsonl file; {path} is a folder. Leave `where` out.")
    return _directory(path, section) if path.is_dir() else _lines(path, where, section)


def _examine(row: _Row, n_elements: int | None, max_sites: int, max_edge: float) -> Template | Exclusion:
    """Reduce a crystal to its standard primitive cell, or say what is wrong with it."""

    def exclusions(reason: str, detail: str) -> Exclusion:
        return Exclusion(row.id, reason, detail)

    crystal = row.crystal
    if isinstance(crystal, Exclusion):
        return crystal
    if not (np.isfinite(crystal.lattice.matrix).all() and np.isfinite(crystal.frac_coords).all()):
        return exclusions("nan_coordinates", "the lattice or a coordinate is not a number")
    if not crystal.is_ordered:
        mixed = next(site for site in crystal if not site.is_ordered)
        return exclusions("disordered", f"a site holds {mixed.species_string}; give an ordered cell")
    elements = sorted({site.specie.symbol for site in crystal})
    if unknown := [symbol for symbol in elements if not Element.is_valid_symbol(symbol)]:
        return exclusions("unreadable", f"{unknown[0]} is not an element")
    if n_elements is not None and len(elements) != n_elements:
        return exclusions(
            "wrong_number_of_elements", f"{len(elements)} elements ({', '.join(elements)}), not {n_elements}"
        )
    if crystal.volume < SMALLEST_VOLUME:
        return exclusions("zero_volume", f"{crystal.volume:.3g} A^3")
    try:
        crystal = standardise(primitive_cell(crystal))
    except ValueError as error:
        return exclusions("unreadable", str(error))
    if len(crystal) > max_sites:
        return exclusions("too_many_sites", f"{len(crystal)} sites in the primitive cell; the limit is {max_sites}")
    if (distance := shortest_distance(crystal)) < CLOSEST:
        return exclusions("overlap", f"two sites {distance:.2f} A apart; the limit is {CLOSEST} A")
    if (edge := max(crystal.lattice.abc)) > max_edge:
        return exclusions("edge_too_long", f"{edge:.2f} A after Niggli reduction; the limit is {max_edge:g} A")
    return Template(row.id, crystal, row.source)


def primitive_cell(crystal: Structure) -> Structure:
    """Find the primitive cell with spglib to 0.01 A, without idealising the positions; as given where there is none."""
    species = [site.specie.symbol for site in crystal]
    kinds = sorted(set(species))
    cell = (crystal.lattice.matrix.tolist(), crystal.frac_coords.tolist(), [kinds.index(symbol) for symbol in species])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # spglib announces exceptions instead of None
        found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=PRIMITIVE_TOLERANCE)
    if found is None or len(found[2]) >= len(crystal):
        return Structure(crystal.lattice, species, crystal.frac_coords)
    lattice, frac_coords, numbers = found
    return Structure(lattice, [kinds[n] for n in numbers], frac_coords)


def _prototypes() -> Iterator[_Row]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
    seen: dict[str, int] = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        label = entry["tags"]["aflow"]
        seen[label] = seen.get(label, 0) + 1
        name = label if seen[label] == 1 else f"{label}-{seen[label]}"
        yield _Row(name, "AFLOW prototypes in pymatgen", entry["snl"].structure)


def _directory(folder: Path, section: str) -> Iterator[_Row]:
    files = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".cif", ".vasp") or "POSCAR" in p.name.upper()]
    if not files:
        raise InputError(f"{section}: {folder} holds no CIF or POSCAR file (*.cif, *.vasp, *POSCAR*).")
    stems = [p.stem for p in files]
    for file in files:
        name = file.stem if stems.count(file.stem) == 1 else file.name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = file.read_text()
                crystal = Structure.from_str(text, fmt="cif" if file.suffix.lower() == ".cif" else "poscar")
        except Exception as error:
            yield _Row(name, file.name, Exclusion(name, "unreadable", f"{file}: {error or type(error).__name__}"))
        else:
            yield _Row(name, file.name, crystal)


def _lines(path: Path, where: dict[str, Any] | None, section: str) -> Iterator[_Row]:
    crystals = chosen = 0
    seen: Counter[str] = Counter()
    values: dict[str, Counter[str]] = {field: Counter() for field in where or {}}
    for number, line in enumerate(_text_lines(path, section), start=1):
        if not line.strip():
            continue
        name = f"{path.name}:{number}"
        try:
            row = json.loads(line)
            name = str(row.get("id") or name)
            seen[name] += 1
            # two rows of one id are two crystals all the same
            name = name if seen[name] == 1 else f"{name}-{seen[name]}"
            crystal: Structure | Exclusion = _read_row(row)
            crystals += 1
            for field, counter in values.items():
                counter[json.dumps(row.get(field))] += 1
            if other := next((field for field, value in (where or {}).items() if row.get(field) != value), None):
                crystal = Exclusion(name, "not_selected", f"{other} is {row.get(other)}")
            else:
                chosen += 1
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"no `{error.args[0]}`" if isinstance(error, KeyError) and error.args else str(error)
            crystal = Exclusion(name, "unreadable", f"{path.name}, line {number}: {problem}")
        source = str(row.get("source", path.name)) if isinstance(crystal, Structure) else path.name
        yield _Row(name, source, crystal)
    if not crystals:
        raise InputError(f"{section}: no line of {path} is a crystal: one JSON object a line is expected, with "
                         "`lattice`, `species` and `frac_coords`.")  # fmt: skip
    if not chosen:
        raise InputError(f"{section}: `where` chooses none of the {crystals:,} crystals of {path}. {_values(values)}")


def _values(values: dict[str, Counter[str]]) -> str:
    """Say what the fields of a file hold, the three most frequent values of each."""
    sentences = []
    for field, counter in values.items():
        common = ", ".join(f"{value} ({number:,})" for value, number in counter.most_common(3))
        sentences.append(f"There `{field}` is {common}{' and others' if len(counter) > 3 else ''}.")
    return " ".join(sentences)


def _read_row(row: dict[str, Any]) -> Structure:
    lattice = np.array(row["lattice"], dtype=float)
    coords = np.array(row["frac_coords"], dtype=float)
    if lattice.shape != (3, 3) or coords.shape != (len(row["species"]), 3):
        raise ValueError(f"{len(row['species'])} species, coordinates of shape {coords.shape}, lattice {lattice.shape}")
    return Structure(lattice, row["species"], coords)


def _text_lines(path: Path, section: str) -> Iterator[str]:
    """Lines of a plain or gzipped file; a file that is not whole raises, naming how much of it could be read."""
    if not path.is_file():
        raise InputError(f"{section}: {path} does not exist. Give a .jsonl or .jsonl.gz file or a folder of CIF files.")
    if path.stat().st_size == 0:
        raise InputError(f"{section}: {path} is empty.")
    zipped = path.suffix == ".gz"
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") if zipped else path.open(encoding="utf-8") as stream:
            for line in stream:
                number += 1
                yield line
    except gzip.BadGzipFile as error:
        raise InputError(f"{section}: {path} is not a gzip file or is damaged ({error}).") from error
    except (EOFError, zlib.error) as error:
        raise InputError(
            f"{section}: {path} is truncated or damaged: {number} rows could be read. Copy or download it again."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{section}: {path} is not text: JSON lines are expected, one crystal a line.") from error


def _materials_project(cache: Path, n_elements: int, max_sites: int, api_key: str | None) -> Path:
    """Download once; later calls find the file, whose name holds the database version."""
    pattern = f"mp_*_{n_elements}-elements_{max_sites}-sites.jsonl.gz"
    if cached := sorted(cache.glob(pattern)):
        return cached[-1]
    instead = "Or use `templates: {source: prototypes}`, which needs neither key nor network."
    if not api_key:
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
        with MPRester(api_key, use_document_model=False) as rester:
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
    rows = (_as_row(str(d["material_id"]), source, d["structure"]) for d in documents)
    return _save(cache / pattern.replace("*", str(version)), rows)


def _optimade(cache: Path, n_elements: int, max_sites: int, provider: str | None) -> Path:
    """Download once, one number of sites at a time, so that one bad page is asked again and never silently missing."""
    if not provider:
        raise InputError("templates: source `optimade` needs a `provider`, for example `oqmd`, `mp` or `jarvis`.")
    label = "".join(c if c.isalnum() or c in ".-" else "-" for c in provider)
    pattern = f"optimade_{label}_*_{n_elements}-elements_{max_sites}-sites.jsonl.gz"
    if cached := sorted(cache.glob(pattern)):
        return cached[-1]
    from pymatgen.ext.optimade import OptimadeRester

    known = OptimadeRester.aliases
    if provider not in known and not provider.startswith("http"):
        near = difflib.get_close_matches(provider, known, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"Choose from {', '.join(sorted(known))}, or give a URL."
        raise InputError(f"templates: unknown OPTIMADE provider `{provider}`. {hint}")
    with _pymatgen_log() as faults:
        rester = OptimadeRester([provider], timeout=60)
        structures: dict[str, Structure] = {}
        for nsites in range(n_elements, max_sites + 1):
            for _ in range(ATTEMPTS):
                faults.clear()
                found = rester.get_snls_with_filter(f"nelements={n_elements} AND nsites={nsites}")
                if not faults:
                    break
            else:
                raise InputError(
                    f"templates: OPTIMADE provider `{provider}` did not answer for {nsites} sites, {ATTEMPTS} times "
                    f"({faults[-1][:200]}). Check the network, try later, or use `templates: {{source: prototypes}}`."
                )
            structures |= {
                key: cast("Structure", snl.structure) for page in found.values() for key, snl in page.items()
            }
    if not structures:
        raise InputError(f"templates: OPTIMADE provider `{provider}` holds nothing with {n_elements} elements.")
    today = date.today().isoformat()
    rows = (_as_row(f"{label}-{key}", f"OPTIMADE {provider}, {today}", s) for key, s in structures.items())
    return _save(cache / pattern.replace("*", today), rows)


@contextmanager
def _pymatgen_log() -> Iterator[list[str]]:
    """Collect what pymatgen's OPTIMADE client only logs: a provider that fails is otherwise just missing."""
    faults: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            cause = record.exc_info[1] if record.exc_info else None
            faults.append(f"{type(cause).__name__}: {cause}" if cause else record.getMessage())

    client = logging.getLogger("pymatgen.ext.optimade")
    handlers, propagate = client.handlers, client.propagate
    client.handlers, client.propagate = [Collect(logging.ERROR)], False
    try:
        yield faults
    finally:
        client.handlers, client.propagate = handlers, propagate


def _as_row(name: str, source: str, crystal: Structure | dict[str, Any]) -> dict[str, Any]:
    structure = Structure.from_dict(crystal) if isinstance(crystal, dict) else crystal
    species = [{str(kind): share for kind, share in site.species.items()} for site in structure]
    return {
        "id": name,
        "source": source,
        "lattice": structure.lattice.matrix.tolist(),
        "species": [next(iter(mix)) if list(mix.values()) == [1.0] else mix for mix in species],
        "frac_coords": structure.frac_coords.tolist(),
    }


def _save(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write JSON lines under a temporary name, then rename: a cache is whole or absent."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    except OSError as error:
        raise InputError(f"templates: cannot write to {path.parent}: {error.strerror}. Set another cache.") from error
    try:
        with os.fdopen(handle, "wb") as raw, gzip.open(raw, "wt", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row) + "\n" for row in rows)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
