"""Thousands of damaged files: no traceback, no file that takes ten seconds, and each is counted."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imatgen_flows.testing.mutations import mutate, read_damaged, seed_files

NUMBER = int(os.environ.get("DAMAGED_FILES", "2000"))  # `benchmarks/fuzz_files.py` reads more
SEEDS = seed_files()


@pytest.mark.slow
@settings(
    max_examples=NUMBER,
    derandomize=True,
    database=None,
    deadline=timedelta(seconds=10),
    suppress_health_check=list(HealthCheck),
)
@given(name=st.sampled_from(sorted(SEEDS)), seed=st.integers(0, 2**32 - 1))
def test_a_damaged_file_is_read_or_left_out_with_a_reason(name, seed):
    with tempfile.TemporaryDirectory() as folder:
        assert read_damaged(folder, name, mutate(SEEDS[name], seed))


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_file_that_is_whole_is_read(tmp_path, name):
    assert read_damaged(str(tmp_path), name, SEEDS[name]) == "read"
