"""Structures of candidates in files of parquet: arrays by sample, written once and read by those who need them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imatgen_flows.candidates.table import KEY, reading

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from imatgen_flows.crystals.arrays import CrystalArrays

CRYSTALS_OF_A_GROUP = 10_000  # that are in memory at once


def write_structures(path: Path, crystals: Iterable[tuple[str, CrystalArrays]]) -> None:
    """Write crystals with the names of their samples, group by group."""
    from pyarrow import parquet

    remaining = iter(crystals)
    with parquet.ParquetWriter(path, _schema(), compression="zstd") as writer:
        while group := list(itertools.islice(remaining, CRYSTALS_OF_A_GROUP)):
            writer.write_table(_table(group))


def read_structures(paths: Iterable[Path], samples: Collection[str] | None = None) -> dict[str, Structure]:
    """Read structures by sample, in the order of the files; of a sample that occurs twice, the last.

    Parameters
    ----------
    paths : as `write_structures` wrote them
    samples : whose structures are wanted; None for all

    Raises
    ------
    InputError
        Where a file is damaged.
    """
    return {sample: crystal.structure() for sample, crystal in iterate_crystals(paths, samples)}


def iterate_crystals(
    paths: Iterable[Path], samples: Collection[str] | None = None
) -> Iterator[tuple[str, CrystalArrays]]:
    """Read crystals one after the other, of each file one group at a time."""
    import pyarrow
    import pyarrow.compute as pc
    from pyarrow import parquet

    wanted = None if samples is None else pyarrow.array(list(samples), pyarrow.string())
    for path in paths:
        with reading(path):
            file = parquet.ParquetFile(path)
        for number in range(file.num_row_groups):
            with reading(path):
                names = file.read_row_group(number, columns=[KEY])[KEY]
                if wanted is not None and not pc.any(pc.is_in(names, value_set=wanted)).as_py():
                    continue
                group = file.read_row_group(number)
            if wanted is not None:
                group = group.filter(pc.is_in(names, value_set=wanted))
            yield from _crystals(group)


def _crystals(group: pyarrow.Table) -> Iterator[tuple[str, CrystalArrays]]:
    """Cut the columns of a group into crystals, each with arrays of its own."""
    import pyarrow.compute as pc

    from imatgen_flows.crystals.arrays import CrystalArrays

    lattices = _values(group["lattice"]).reshape(-1, 3, 3)
    numbers, coords = _values(group["numbers"]), _values(group["coords"]).reshape(-1, 3)
    ends = np.cumsum(pc.list_value_length(group["numbers"]).to_numpy())
    start = 0
    for sample, lattice, end in zip(group[KEY].to_pylist(), lattices, ends, strict=True):
        yield sample, CrystalArrays(lattice.copy(), numbers[start:end].copy(), coords[start:end].copy())
        start = end


def _values(lists: pyarrow.ChunkedArray) -> NDArray:
    """Return the values of all lists of a column, one after the other."""
    return lists.combine_chunks().flatten().to_numpy()


def _schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema(
        [
            pyarrow.field(KEY, pyarrow.string()),
            pyarrow.field("lattice", pyarrow.list_(pyarrow.float64(), 9)),
            pyarrow.field("numbers", pyarrow.list_(pyarrow.uint8())),
            pyarrow.field("coords", pyarrow.list_(pyarrow.float64())),
        ]
    )


def _table(group: list[tuple[str, CrystalArrays]]) -> pyarrow.Table:
    import pyarrow

    samples, crystals = zip(*group, strict=True)
    ends = np.cumsum([0, *(len(crystal.numbers) for crystal in crystals)], dtype=np.int32)
    return pyarrow.Table.from_arrays(
        [
            pyarrow.array(samples, pyarrow.string()),
            pyarrow.FixedSizeListArray.from_arrays(
                np.concatenate([crystal.lattice.ravel() for crystal in crystals]), 9
            ),
            pyarrow.ListArray.from_arrays(ends, np.concatenate([crystal.numbers for crystal in crystals])),
            pyarrow.ListArray.from_arrays(3 * ends, np.concatenate([crystal.coords.ravel() for crystal in crystals])),
        ],
        schema=_schema(),
    )
