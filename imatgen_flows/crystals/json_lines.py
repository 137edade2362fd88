"""A file of JSON lines, which is read row by row and by the fields of its rows."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pymatgen.core import Structure

from imatgen_flows.crystals.exclusion import Exclusion
from imatgen_flows.crystals.formats import OPENERS
from imatgen_flows.crystals.json_crystals import read_line
from imatgen_flows.crystals.raw_crystal import MAX_BYTES, RawCrystal
from imatgen_flows.errors import InputError


def read_lines(path: Path, where: Mapping[str, object] | None, section: str) -> Iterator[RawCrystal]:
    """Read a file of JSON lines row by row, since it may have more of them than there is memory for.

    Parameters
    ----------
    path : of the file, which may be compressed
    where : fields of its rows and the values that they must have
    section : of the campaign file, to begin error messages with

    Raises
    ------
    InputError
        Where the file is truncated or no text, where a line is longer than `MAX_BYTES`, where no line is a crystal, or where
        `where` chooses none.
    """
    crystals = chosen = 0
    first = ""
    values: dict[str, Counter[str]] = {field: Counter() for field in where or {}}
    for number, line in enumerate(text_lines(path, section), start=1):
        if not line.strip():
            continue
        name, row, crystal = read_line(line, f"{path.name}:{number}")
        if number == 1 and row.keys() == {"rows", "source"}:
            continue  # the head of a file of the cache
        if isinstance(crystal, Exclusion):
            crystal = replace(crystal, detail=f"{path.name}, line {number}: {crystal.detail}")
            first = first or f" The first fault: {crystal.detail}."
        else:
            crystals += 1
            for field, counter in values.items():
                counter[json.dumps(row.get(field))] += 1
            if other := next((field for field, value in (where or {}).items() if row.get(field) != value), None):
                crystal = Exclusion(name, "not_selected", f"{other} is {row.get(other)}")
            else:
                chosen += 1
        source = str(row.get("source", path.name)) if isinstance(crystal, Structure) else path.name
        yield RawCrystal(name, source, crystal)
    if not crystals:
        raise InputError(
            f"{section}: no line of {path} is a crystal: one JSON object a line is expected, with `lattice`, `species` and "
            f"`frac_coords`, or as pymatgen writes it.{first}"
        )
    if not chosen:
        raise InputError(
            f"{section}: `where` chooses none of the {crystals:,} crystals of {path}. {_describe_values(values)}"
        )


def _describe_values(values: dict[str, Counter[str]]) -> str:
    """Name the three most frequent values of each field of a file."""
    sentences = []
    for field, counter in values.items():
        common = ", ".join(f"{value} ({number:,})" for value, number in counter.most_common(3))
        sentences.append(f"There `{field}` is {common}{' and others' if len(counter) > 3 else ''}.")
    return " ".join(sentences)


def text_lines(path: Path, section: str) -> Iterator[str]:
    """Yield the lines of a file; one that is not whole raises, naming how much of it could be read."""
    number = 0
    try:
        with OPENERS.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig") as stream:
            while line := stream.readline(MAX_BYTES + 1):
                number += 1
                if len(line) > MAX_BYTES:
                    raise InputError(
                        f"{section}: line {number} of {path} is longer than {MAX_BYTES // 1_000_000} MB: JSON lines are "
                        "expected, one crystal a line."
                    )
                yield line
    except gzip.BadGzipFile as error:
        raise InputError(f"{section}: {path} is not a gzip file or is damaged ({error}).") from error
    except (EOFError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{section}: {path} is truncated or damaged: {number} rows could be read. Copy or download it again."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{section}: {path} is not text: JSON lines are expected, one crystal a line.") from error
    except OSError as error:
        raise InputError(f"{section}: {path} cannot be read: {error.strerror or error}.") from error
