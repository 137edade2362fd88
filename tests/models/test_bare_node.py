"""A bare GPU node has Python, numpy and torch alone; training and its measurement need nothing else."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imatgen_flows.models.distributed import ProcessGroup
from imatgen_flows.representation import BasisImageCodec, PackedCrystals

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "train_full.py"
# torch names these as its own requirements; without them it does not import
TORCH = "torch torchgen functorch numpy sympy mpmath networkx jinja2 markupsafe filelock fsspec typing_extensions"

BARE = f"""
import sys

class Bare:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        there = top in allowed or top[0] == "_"  # an underscore: a part of Python
        return self.finder.find_spec(name, path, target) if there else None

allowed = set({TORCH!r}.split()) | sys.stdlib_module_names | {{"imatgen_flows"}}
sys.meta_path[:] = map(Bare, sys.meta_path)
"""


def on_a_bare_node(code, *arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BARE + code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_images_and_networks_import_with_numpy_and_torch_alone():
    names = [
        f"imatgen_flows.{folder}.{path.stem}"
        for folder in ("representation", "models")
        for path in sorted((ROOT / "imatgen_flows" / folder).glob("[a-z]*.py"))
    ]
    names += ["imatgen_flows.metrics.reconstruction"]
    done = on_a_bare_node(f"import importlib\nfor name in {names}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Forty crystals of two elements, atoms at random but apart."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.cartesian_prod(*[torch.arange(3.0)] * 3) * 2.2 + 5
    places = torch.stack([corners[torch.randperm(27, generator=generator)[:6]] for _ in range(40)])
    mask = torch.ones(40, 2, 3, dtype=torch.bool)
    mask[::3, 0, 2] = mask[::5, 1] = False
    path = tmp_path_factory.mktemp("packed") / "crystals.npz"
    PackedCrystals(torch.eye(3).expand(40, 3, 3) * 6.6, places.unflatten(1, (2, 3)), mask, ("O", "V")).save(path)
    return path


def test_a_bare_node_trains_at_full_scale_and_measures_what_it_held_out(packed, tmp_path):
    run = f"import runpy\nrunpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    command = (run, packed, tmp_path, "--epochs", 0.005, "--device", "cpu", "--seed", 3)
    done = on_a_bare_node(*command, "--minutes", 1e-4)
    assert done.returncode == 1, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert not result["finished"] and result["reconstruction"]["held_out"]["crystals"] == 4
    done = on_a_bare_node(*command)  # goes on
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["finished"] and (result["trained_on"], result["held_out"]) == (36, 4)
    figures = result["reconstruction"]
    assert (figures["training"]["crystals"], figures["held_out"]["crystals"]) == (36, 4)
    assert result["history"][-1]["loss"] < result["history"][0]["loss"]
    assert result["crystals_per_s"] > 0


def test_rows_are_held_out_at_random_or_as_a_file_says(tmp_path):
    split = runpy.run_path(str(SCRIPT))["split"]
    for seed in (0, 1):
        seen, held_out = split(50, None, 0.1, seed)
        assert len(held_out) == 5 and sorted([*seen.tolist(), *held_out.tolist()]) == list(range(50))
        assert torch.equal(held_out, split(50, None, 0.1, seed)[1])
    rows = tmp_path / "rows.txt"
    rows.write_text("7\n0\n7\n")
    seen, held_out = split(9, rows, 0.1, 0)
    assert held_out.tolist() == [0, 7] and seen.tolist() == [1, 2, 3, 4, 5, 6, 8]
    with pytest.raises(SystemExit, match="rows are 0 to 6"):
        split(7, rows, 0.1, 0)


def test_images_that_a_network_leaves_alone_all_come_back(packed):
    crystals = PackedCrystals.load(packed)  # some without one of the elements
    row = runpy.run_path(str(SCRIPT))["reconstruction"](
        torch.nn.Identity(), BasisImageCodec(grid=32, sigma=0.35), crystals, ProcessGroup(), batch=16
    )
    assert (row["crystals"], row["counts_match"], row["every_atom_within_0.2_A"]) == (40, 40, 40)
    assert row["atom_rmse"] < 1e-3


def test_atoms_are_matched_on_a_bare_node_too(packed):
    """A network that is hardly trained shows nothing of this: its counts differ, and nothing is matched."""
    code = f"""
import runpy, torch
from imatgen_flows.models.distributed import ProcessGroup
from imatgen_flows.representation import BasisImageCodec, PackedCrystals
measure = runpy.run_path({str(SCRIPT)!r})["reconstruction"]
codec, crystals = BasisImageCodec(grid=32, sigma=0.35), PackedCrystals.load(sys.argv[1])
print(measure(torch.nn.Identity(), codec, crystals, ProcessGroup(), batch=16)["every_atom_within_0.2_A"])
"""
    done = on_a_bare_node(code, packed)
    assert (done.returncode, done.stdout) == (0, "40\n"), done.stderr
