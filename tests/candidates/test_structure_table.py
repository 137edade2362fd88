"""Structures in files: exact to the bit, in the order of the samples, and only those that are asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates import structure_table
from imatgen_flows.candidates.structure_table import iterate_crystals, read_structures, write_structures
from imatgen_flows.crystals.arrays import CrystalArrays


def crystal(seed, sites=None):
    random = np.random.default_rng(seed)
    sites = random.integers(1, 20) if sites is None else sites
    return CrystalArrays(
        random.normal(size=(3, 3)) * 5, random.integers(1, 95, sites, np.uint8), random.normal(size=(sites, 3))
    )


def equal(one, other):
    pairs = zip(one, other, strict=True)
    return all(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(structure_table, "CRYSTALS_OF_A_GROUP", 3)


@pytest.mark.usefixtures("small_groups")
@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 9), max_size=10), st.sets(st.integers(0, 9)))
def test_crystals_survive_their_file_to_the_bit_and_only_wanted_ones_are_read(tmp_path_factory, sites, wanted):
    path = tmp_path_factory.mktemp("structures") / "s.parquet"
    written = {f"s{seed}": crystal(seed, number) for seed, number in enumerate(sites)}
    write_structures(path, iter(written.items()))
    read = dict(iterate_crystals([path]))
    assert list(read) == list(written)
    assert all(equal(read[sample], written[sample]) for sample in written)
    some = dict(iterate_crystals([path], {f"s{number}" for number in wanted}))
    assert list(some) == [sample for sample in written if int(sample[1:]) in wanted]
    assert all(equal(some[sample], written[sample]) for sample in some)


def test_a_structure_survives_its_file_to_the_bit(tmp_path):
    cell = Structure.from_spacegroup(225, Lattice.cubic(4.1), ["V", "O"], [[0] * 3, [0.5] * 3]).perturb(0.1, seed=1)
    write_structures(tmp_path / "s.parquet", [("a", CrystalArrays.of(cell))])
    read = read_structures([tmp_path / "s.parquet"])["a"]
    assert read == cell and read.lattice.matrix.tobytes() == cell.lattice.matrix.tobytes()
    assert read.frac_coords.tobytes() == cell.frac_coords.tobytes() and read.species == cell.species
    read.perturb(0.1)  # it is nobody else's
    assert read_structures([tmp_path / "s.parquet"])["a"] == cell


def test_of_a_sample_that_occurs_twice_the_last_is_read(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    write_structures(one, [("a", crystal(1)), ("b", crystal(2))])
    write_structures(two, [("a", crystal(3))])
    read = read_structures([one, two])
    assert list(read) == ["a", "b"] and read["a"] == crystal(3).structure() and read["b"] == crystal(2).structure()


@pytest.mark.usefixtures("small_groups")
def test_groups_without_a_wanted_sample_are_not_read(tmp_path, monkeypatch):
    write_structures(tmp_path / "s.parquet", [(f"s{seed}", crystal(seed)) for seed in range(9)])
    assert parquet.ParquetFile(tmp_path / "s.parquet").num_row_groups == 3
    read, original = [], parquet.ParquetFile.read_row_group

    def spy(self, number, columns=None, **more):
        if columns is None:
            read.append(number)
        return original(self, number, columns=columns, **more)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", spy)
    assert list(read_structures([tmp_path / "s.parquet"], ["s4", "s5"])) == ["s4", "s5"] and read == [1]
    assert not read_structures([tmp_path / "s.parquet"], []) and read == [1]


def test_no_crystal_at_all_is_a_file_too(tmp_path):
    write_structures(tmp_path / "s.parquet", [])
    assert read_structures([tmp_path / "s.parquet"]) == read_structures([]) == {}


def test_equal_crystals_are_equal_files(tmp_path):
    for name in ("one", "two"):
        write_structures(tmp_path / name, [("a", crystal(1))])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
