"""Files of downloaded crystals: whole, dated, and downloaded again where they are not whole.

The first line of a file says how many rows follow it. A row is a crystal, or the reason why an entry of the service is none.
Files of the first version have no such line; they are taken where each of their rows can be read.
"""

from __future__ import annotations

import gzip
import json
import logging
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.json_crystals import read_line
from imatgen_flows.crystals.query import Query
from imatgen_flows.crystals.structure_files import RawCrystal, crystal_row, write_crystals
from imatgen_flows.errors import InputError

logger = logging.getLogger(__name__)


class _NotWholeError(Exception):
    """A file that is not what was downloaded; the message says why."""


@dataclass(frozen=True)
class Download:
    """What a service sent.

    Attributes
    ----------
    service : its name
    version : of its database, or the date; it becomes part of the name of the file
    crystals : one for each entry
    """

    service: str
    version: str
    crystals: list[RawCrystal]


def cached_crystals(folder: Path, pattern: str, query: Query, download: Callable[[], Download]) -> list[RawCrystal]:
    """Read the newest file of a query, after a download where there is none or where it is not whole.

    Parameters
    ----------
    folder : of the files
    pattern : name of the file, with `*` for the version
    query : what was asked for
    download : asks the service

    Returns
    -------
    crystals and exclusions, one for each entry of the service

    Raises
    ------
    InputError
        Where the download fails, where it holds no crystal, where the folder cannot be written to, or where a folder
        stands in place of the file.
    """
    damaged = None
    if cached := sorted(folder.glob(pattern)):
        if cached[-1].is_dir():
            raise InputError(
                f"{query.section}: {cached[-1]} is a folder, where a file of the cache is expected: remove it."
            )
        try:
            return _read(cached[-1])
        except _NotWholeError as error:
            damaged = cached[-1]
            logger.warning("%s: %s is not whole (%s): it is downloaded again.", query.section, damaged, error)
    try:
        answer = download()
    except InputError as error:
        raise InputError(
            f"{error} (The file in the cache is damaged: {damaged}.)" if damaged else str(error)
        ) from error
    rows = [_row(raw) for raw in answer.crystals]
    _demand_crystal(answer, rows, query)
    header = {"rows": len(rows), "source": f"{answer.service} {answer.version}"}
    path = write_crystals(folder / pattern.replace("*", answer.version), [header, *rows], query.section)
    if damaged and damaged != path:
        damaged.unlink(missing_ok=True)
    return _read(path)


def _demand_crystal(answer: Download, rows: list[dict[str, Any]], query: Query) -> None:
    """Refuse a download without a crystal; report the entries that are none."""
    excluded = [row for row in rows if "reason" in row]
    if not rows:
        raise InputError(f"{query.section}: {answer.service} holds nothing {query}. {query.instead}")
    if not excluded:
        return
    counts = ", ".join(
        f"{n:,} {reason.replace('_', ' ')}" for reason, n in Counter(r["reason"] for r in excluded).items()
    )
    first = f"the first is {excluded[0]['id']}: {excluded[0]['detail']}"
    if len(excluded) == len(rows):
        raise InputError(
            f"{query.section}: none of the {len(rows):,} entries that {answer.service} sent {query} is a crystal: {counts}; "
            f"{first}. {query.instead}"
        )
    logger.warning(
        "%s: %d of the %d entries of %s are left out: %s; %s",
        query.section, len(excluded), len(rows), answer.service, counts, first,
    )  # fmt: skip


def _row(raw: RawCrystal) -> dict[str, Any]:
    """Build the row of a crystal; one that could not be read again becomes an exclusion."""
    crystal = raw.crystal
    if isinstance(crystal, Structure):
        row = dict(crystal_row(raw.id, raw.source, crystal))
        crystal = read_line(json.dumps(row), raw.id)[2]
        if isinstance(crystal, Structure):
            return row
        crystal = replace(crystal, id=raw.id)
    return {"id": crystal.id, "source": raw.source, "reason": crystal.reason, "detail": crystal.detail}


def _read(path: Path) -> list[RawCrystal]:
    """Read a file of the cache, all of it.

    Raises
    ------
    _NotWholeError
        Where it ends too soon, is damaged, or has another number of rows than its first line says.
    """
    number = 0
    crystals: list[RawCrystal] = []
    expected: int | None = None
    try:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                name, row, crystal = read_line(line, str(number))
                if number == 1 and "rows" in row:
                    expected = row["rows"]
                    continue
                if isinstance(crystal, Exclusion):
                    if "reason" not in row:
                        raise _NotWholeError(f"line {number} cannot be read: {crystal.detail}"[:200])
                    crystal = replace(crystal, id=name)
                crystals.append(RawCrystal(name, row["source"], crystal))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise _NotWholeError(f"{error}, after {number} lines") from error
    except KeyError as error:
        raise _NotWholeError(f"line {number} has no `{error.args[0]}`") from error
    if expected is not None and expected != len(crystals):
        raise _NotWholeError(f"{len(crystals):,} of {expected:,} rows")
    if not crystals:
        raise _NotWholeError("it is empty")
    return crystals
