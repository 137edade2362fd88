"""What tests of several layers share."""

from __future__ import annotations

import fcntl
import os
import shutil

import pyarrow.parquet as pq
import pytest

from imatgen_flows.config import CampaignConfig

# two processes test at once on two cores: each relaxes in one process, unless a test says otherwise
os.environ.setdefault("IMATGEN_WORKERS", "1")


@pytest.fixture(scope="session")
def tiny():
    """Build a campaign that runs in a minute: small cells, a toy potential, networks that are hardly trained."""

    def build(system=("V", "O"), **sections):
        content = {
            "system": list(system),
            "limits": {"max_sites": 4, "max_edge": 6},
            "labels": {"potential": "toy"},
            "model": {"epochs": 0.06},
            "sampling": {"slerp": 40, "prior": 10, "perturb": 10},
            "screen": {"potential": "toy", "at_most": 6, "batch_size": 3, "max_steps": 100, "fmax": 0.3},
        }
        return CampaignConfig.model_validate(content | sections)

    return build


@pytest.fixture(scope="session")
def same_table():
    """Compare the tables of two runs: texts and counts exactly, numbers to 1e-9.

    The same sums in another process may differ by their last bit: it depends on where arrays lie in memory.
    """

    def compare(one, other):
        rows, others = (pq.read_table(run / "candidates.parquet").to_pylist() for run in (one, other))
        near = [
            {name: pytest.approx(value, abs=1e-9) if isinstance(value, float) else value for name, value in row.items()}
            for row in others
        ]
        return rows == near

    return compare


# jobs whose results do not depend on how a campaign samples, screens and goes on
BEFORE_SAMPLING = (
    "build_dataset",
    "relax_references",
    "label_dataset",
    "extend_hull",
    "train_",
    "evaluate_reconstruction",
)


@pytest.fixture(scope="session")
def run_once_trained(tmp_path_factory):
    """Run a campaign; what comes before its sampling is taken from another of the same dataset and networks, if one ran.

    All processes of a session share these; a campaign whose inputs differ makes its own, since jobs are found by their key.
    """
    from imatgen_flows.io.artifacts import content_key
    from imatgen_flows.managers.local import run_campaign

    here = tmp_path_factory.getbasetemp()
    shared = (here.parent if "PYTEST_XDIST_WORKER" in os.environ else here) / "trained"
    shared.mkdir(exist_ok=True)

    def run(config, directory):
        others = {"name", "sampling", "validity", "screen", "sources", "validation", "rounds"}
        before = config.model_dump(
            mode="json", exclude=dict.fromkeys(others, True) | {"search": {"compositions", "sites"}}
        )
        before["generator"] = config.sources.uses_generator
        trained = shared / content_key(before)
        with (shared / f"{trained.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (trained / "provenance.json").is_file():
                run_campaign(config, trained)
        # what it sampled and relaxed is not taken over: a test counts what its own campaign writes
        own = (
            "candidates-*",
            "decoded-structures-*",
            "relaxed-structures-*",
            "relaxations-*",
            "chosen-*",
            "allocation-*",
        )
        shutil.copytree(
            trained / "artifacts" / "objects",
            directory / "artifacts" / "objects",
            ignore=shutil.ignore_patterns(*own),
        )
        (directory / "artifacts" / "documents").mkdir()
        for path in (trained / "artifacts" / "documents").iterdir():
            if path.name.startswith(BEFORE_SAMPLING):
                shutil.copy(path, directory / "artifacts" / "documents")
        config.to_file(directory / "campaign.yaml")
        return run_campaign(config, directory, resume=True)

    return run


@pytest.fixture(scope="session")
def documents():
    """Read the documents that some jobs left in a run directory, in the order of their keys."""
    from imatgen_flows.io.artifacts import ArtifactStore

    def read(directory, *jobs):
        store = ArtifactStore(directory / "artifacts")
        names = [job.spec.name for job in jobs]
        paths = sorted(path for name in names for path in (store.root / "documents").glob(f"{name}-*.json"))
        kinds = {job.spec.name: job.spec.document for job in jobs}
        return [kinds[path.stem.rpartition("-")[0]](**store.finished(path.stem)) for path in paths]

    return read


@pytest.fixture(scope="session")
def prototypes():
    """Five vanadium oxides, by the name of their prototype."""
    from pymatgen.core import Lattice, Structure

    def cubic(group, edge, anion):
        return Structure.from_spacegroup(group, Lattice.cubic(edge), ["V", "O"], [[0, 0, 0], anion])

    rutile = Structure.from_spacegroup(136, Lattice.tetragonal(4.55, 2.86), ["V", "O"], [[0, 0, 0], [0.305, 0.305, 0]])
    return {
        "rutile": rutile,
        "fluorite": cubic(225, 4.9, [0.25, 0.25, 0.25]),
        "rocksalt": cubic(225, 4.1, [0.5, 0.5, 0.5]),
        "caesium chloride": cubic(221, 2.6, [0.5, 0.5, 0.5]),
        "zincblende": cubic(216, 4.5, [0.25, 0.25, 0.25]),
    }


@pytest.fixture(scope="session")
def redescribe():
    """Describe a crystal by other axes, handedness, origin, order of sites and volume, perhaps as a supercell."""
    import numpy as np
    from pymatgen.core import Structure

    def describe(structure, rng):
        axes = np.eye(3, dtype=int)[rng.permutation(3)]
        axes[0] += rng.integers(-1, 2) * axes[1]
        cell = structure.copy()
        cell.make_supercell(axes * [[1], [1], [rng.integers(1, 3)]])
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        order = rng.permutation(len(cell))
        species, coords = [cell[i].specie for i in order], cell.frac_coords[order] + rng.random(3)
        return Structure(cell.lattice.matrix @ rotation * rng.uniform(0.9, 1.1), species, coords)

    return describe


@pytest.fixture
def imatgen(capsys):
    """Run the command with some arguments; return its exit status, output and errors."""

    import sys

    from imatgen_flows.cli import main as cli

    def call(*arguments):
        capsys.readouterr()  # what fixtures and launchers printed
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["imatgen", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                cli.main()
                raise SystemExit(0)
        captured = capsys.readouterr()
        return end.value.code or 0, captured.out, captured.err

    return call
