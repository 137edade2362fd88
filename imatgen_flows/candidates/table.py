"""The candidate table: parts that jobs write one after the other, and their join.

A part holds the columns that one job fills, for the samples that it touched, with their key `sample`. A later part adds
samples, or fills cells of those that are there; a null fills nothing. Everything is done by column, so that a million
candidates need no object each.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

from imatgen_flows.candidates.schema import COLUMNS, EMPTY, Column, Row, arrow_schema, column_names, columns_of
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import writing

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

KEY = "sample"
ROWS_OF_A_GROUP = 50_000  # rows that are read and written at once


def table_part(rows: Sequence[Mapping[str, object]], names: Iterable[str] = ()) -> pyarrow.Table:
    """Build a part of the table from rows.

    Parameters
    ----------
    rows : each with `sample` and the cells that it fills
    names : columns of the part; by default those that occur in the rows

    Raises
    ------
    ValueError
        Where a row fills a column that the table does not have.
    """
    import pyarrow

    columns = columns_of({KEY, *names} | {name for row in rows for name in row})
    return pyarrow.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(columns))


def write_part(path: Path, part: pyarrow.Table) -> None:
    """Write a part as parquet: equal parts give equal bytes."""
    from pyarrow import parquet

    parquet.write_table(part, path, row_group_size=ROWS_OF_A_GROUP, compression="zstd")


def read_part(path: Path, names: Iterable[str] | None = None, samples: Collection[str] | None = None) -> pyarrow.Table:
    """Read a part, or of it some columns (those that it has) of some samples.

    Raises
    ------
    InputError
        Where the file is missing or damaged.
    """
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import parquet

    chosen = None if samples is None else pc.field(KEY).isin(pyarrow.array(list(samples), pyarrow.string()))
    with reading(path):
        held = parquet.read_schema(path).names
        wanted = [name for name in held if names is None or name in {KEY, *names}]
        return parquet.read_table(path, columns=wanted, filters=chosen)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name a file of parquet that cannot be read.

    Raises
    ------
    InputError
        Where the block fails to read it.
    """
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise InputError(
            f"{path}: cannot be read as parquet: {str(error).rstrip('.')}. Run the campaign again with --resume."
        ) from error


def join(parts: Sequence[pyarrow.Table], names: Iterable[str] | None = None) -> pyarrow.Table:
    """Join parts to one table with a row for each sample, in the order in which the samples first occur.

    Parameters
    ----------
    parts : in the order in which they were written
    names : columns of the result beside `sample`; by default all. A cell that no part fills is empty, as `EMPTY` says

    Examples
    --------
    >>> drawn = table_part([{"sample": "a", "state": "valid"}, {"sample": "b", "state": "valid"}])
    >>> ranked = table_part([{"sample": "b", "state": "screened", "e_above_hull": 0.02}])
    >>> join([drawn, ranked], ["state", "e_above_hull"]).to_pylist()[1]
    {'sample': 'b', 'state': 'screened', 'e_above_hull': 0.02}
    """
    import numpy as np
    import pyarrow

    columns = columns_of({KEY, *(column_names() if names is None else names)})
    schema = arrow_schema(columns)
    if not parts:
        return schema.empty_table()
    keys = pyarrow.concat_arrays([part[KEY].combine_chunks() for part in parts]).dictionary_encode()
    samples = keys.dictionary
    places = np.split(keys.indices.to_numpy(), np.cumsum([len(part) for part in parts])[:-1])  # rows in the result
    arrays = [
        samples if column.name == KEY else _fill(column, schema.field(column.name).type, parts, places, len(samples))
        for column in columns
    ]
    return pyarrow.Table.from_arrays(arrays, schema=schema)


def _fill(
    column: Column, kind: pyarrow.DataType, parts: Sequence[pyarrow.Table], places: Sequence[NDArray], number: int
) -> pyarrow.Array:
    """Take each cell of a column from the last part that fills it, or from the empty value in front of them all."""
    import numpy as np
    import pyarrow
    import pyarrow.compute as pc

    source, pieces, offset = np.zeros(number, np.int64), [pyarrow.array([EMPTY[column.type]], kind)], 1
    for part, place in zip(parts, places, strict=True):
        if column.name not in part.column_names:
            continue
        piece = part[column.name].combine_chunks().cast(kind)
        has_value = np.asarray(pc.is_valid(piece))
        source[place[has_value]] = offset + np.flatnonzero(has_value)
        pieces.append(piece)
        offset += len(piece)
    return pyarrow.concat_arrays(pieces).take(pyarrow.array(source))


def read_table(
    paths: Sequence[Path], names: Iterable[str] | None = None, samples: Collection[str] | None = None
) -> pyarrow.Table:
    """Read and join the parts of a table, or of it some columns of some samples."""
    wanted = None if names is None else list(names)
    return join([read_part(path, wanted, samples) for path in paths], wanted)


def rows_of(table: pyarrow.Table) -> list[Row]:
    """Return the rows of a table, for those parts of a program that need few of them."""
    return cast("list[Row]", table.to_pylist())


def count_by(table: pyarrow.Table, *names: str) -> dict[tuple, int]:
    """Count the rows of a table by the values of some columns, in the order in which these first occur."""
    counted = table.group_by(list(names), use_threads=False).aggregate([([], "count_all")])
    keys = zip(*(counted[name].to_pylist() for name in names), strict=True)
    return dict(zip(keys, counted["count_all"].to_pylist(), strict=True))


def csv_text(names: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Write some columns of rows as CSV: a null is empty, and the texts of a list are joined by spaces.

    Examples
    --------
    >>> csv_text(["parents", "residual"], [{"parents": ["a", "b"], "residual": None}]).splitlines()
    ['parents,residual', 'a b,']
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(names)
    for row in rows:
        values = [row[name] for name in names]
        writer.writerow([" ".join(map(str, value)) if isinstance(value, list) else value for value in values])
    return buffer.getvalue()


def write_table(path: Path, table: pyarrow.Table) -> None:
    """Write a table as parquet, whole or not at all, with label, unit and description of each column."""
    with writing(path) as temporary:
        write_part(temporary, table.cast(arrow_schema([c for c in COLUMNS if c.name in table.column_names])))
