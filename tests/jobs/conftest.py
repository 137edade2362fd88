"""Documents of a shortlist and of its references, as the jobs before the validation leave them."""

from __future__ import annotations

import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Composition, Lattice, Structure

from imatgen_flows.candidates.candidate import describe_crystal, place_on_hull
from imatgen_flows.candidates.states import Geometry, State
from imatgen_flows.crystals.arrays import CrystalArrays
from imatgen_flows.energetics.hull import Hull, HullEntry
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.candidate_table import extend_table
from imatgen_flows.jobs.documents import CandidatesDocument, CandidateTable, JobDocument, ReferenceDocument

VO2 = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VO = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5] * 3]
).get_primitive_structure()
VANADIUM = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5] * 3])
OXYGEN = Structure(
    Lattice.orthorhombic(7.0, 7.1, 8.2), ["O", "O"], [[3, 3, 3], [3, 3, 4.24]], coords_are_cartesian=True
)


def candidate(sample, structure, state=State.SHORTLISTED, e_above_hull=0.1):
    """A candidate as the screening leaves it: its row, and its relaxed structure."""
    row = {
        "sample": sample,
        "sampler": "slerp",
        "seed": 1,
        "state": state.value,
        "evaluations": 8,
        "steps": 7,
        "fmax": 0.01,
    }
    if state is State.REJECTED:
        row |= {"rejected_stage": "screen", "rejected_reason": "crashed"}
    elements = [HullEntry(element.symbol, Composition(element.symbol), 0.0, "toy") for element in structure.elements]
    place = place_on_hull(Hull(elements, potential="toy"), structure.composition, e_above_hull)
    return row | describe_crystal(structure) | place, structure


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def shortlist(store):
    def build(*screened):
        rows = [row for row, _ in screened]
        crystals = [(row["sample"], CrystalArrays.of(structure)) for row, structure in screened]
        table = extend_table(store, CandidateTable(), rows, crystals, Geometry.RELAXED)
        return CandidatesDocument(
            key=f"rank-{table.parts[0].sha256[:8]}",
            candidates=table,
            counts={},
            evaluations={"screen": 8 * len(rows)},
            seed=3,
        )

    return build


@pytest.fixture
def published(store):
    """The elements, as the potential relaxed them; beside them what DFT has no business with."""
    rows = [
        {"name": "V bcc", "kind": "element", "molecule": False, "state": "relaxed", "structure": VANADIUM.as_dict()},
        {"name": "O2 molecule", "kind": "element", "molecule": True, "state": "relaxed", "structure": OXYGEN.as_dict()},
        {"name": "VO", "kind": "compound", "molecule": False, "state": "unrelaxed", "structure": VO.as_dict()},
        {"name": "made up", "kind": "substituted", "molecule": False, "state": "relaxed", "structure": VO.as_dict()},
    ]
    return ReferenceDocument(
        key="relax_references-0",
        potential="toy",
        hull=store.put_json("hull", {}),
        phases=store.put_lines("phases", rows),
        counts={},
    )


@pytest.fixture(scope="session")
def standin(tmp_path_factory):
    from imatgen_flows.testing.install import install

    return install(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def vasp(standin, monkeypatch):
    """Keyword arguments of `run_vasp` for the stand-in, which is believed."""
    import pymatgen.core

    monkeypatch.setenv("IMATGEN_STAND_IN", "true")
    monkeypatch.setitem(pymatgen.core.SETTINGS, "PMG_VASP_PSP_DIR", standin.environment["PMG_VASP_PSP_DIR"])
    return {
        "vasp_cmd": standin.environment["ATOMATE2_VASP_CMD"],
        "vasp_gamma_cmd": standin.environment["ATOMATE2_VASP_GAMMA_CMD"],
        "custodian_kwargs": {"polling_time_step": 0.1, "monitor_freq": 5},
    }


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a job or a flow in this process; return its documents by the name of the job that made them."""
    monkeypatch.chdir(tmp_path)

    def run(flow, raise_immediately=True):
        memory = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        (tmp_path / "jobs").mkdir(exist_ok=True)
        responses = run_locally(
            flow,
            store=memory,
            log=False,
            raise_immediately=raise_immediately,
            create_folders=True,
            root_dir=tmp_path / "jobs",
        )
        outputs = [response.output for runs in responses.values() for response in runs.values()]
        return {output.job: output for output in outputs if isinstance(output, JobDocument)}

    return run
