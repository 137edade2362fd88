"""Documents of a shortlist and of its references, as the jobs before the validation leave them."""

from __future__ import annotations

import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from imatgen_flows.candidates.candidate import Candidate, Energy, Origin
from imatgen_flows.candidates.states import State
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs.documents import CandidatesDocument, JobDocument, ReferenceDocument

VO2 = Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.55, 2.85), ["V", "O"], [[0, 0, 0], [0.3, 0.3, 0]])
VO = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(4.1), ["V", "O"], [[0, 0, 0], [0.5] * 3]
).get_primitive_structure()
VANADIUM = Structure(Lattice.cubic(3.0), ["V", "V"], [[0, 0, 0], [0.5] * 3])
OXYGEN = Structure(
    Lattice.orthorhombic(7.0, 7.1, 8.2), ["O", "O"], [[3, 3, 3], [3, 3, 4.24]], coords_are_cartesian=True
)


def candidate(sample, structure, state=State.SHORTLISTED, e_above_hull=0.1):
    """A candidate as the screening leaves it."""
    energy = Energy(
        scale="toy",
        energy_per_atom=-1.0,
        formation_energy=-0.5,
        e_above_hull=e_above_hull,
        decomposition={},
        fmax=0.01,
        steps=7,
    )
    return Candidate(
        sample=sample,
        origin=Origin(sampler="slerp", seed=1, row=0, x=0, y=0),
        relaxed=structure.as_dict(),
        energies=[energy],
        evaluations=8,
        state=state,
    )


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


@pytest.fixture
def shortlist(store):
    def build(*records):
        lines = store.put_lines("candidates", [record.model_dump(mode="json") for record in records])
        return CandidatesDocument(
            key=f"rank-{lines.sha256[:8]}",
            candidates=lines,
            counts={},
            evaluations={"screen": 8 * len(records)},
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
