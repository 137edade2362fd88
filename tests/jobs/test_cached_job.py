"""What a cached job promises whichever manager runs it: found again, continued, refused in words."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.errors import ImatgenError, InputError, Interrupted
from imatgen_flows.io.artifacts import ArtifactStore
from imatgen_flows.jobs import cached_job as cached_jobs
from imatgen_flows.jobs.cached_job import ENVIRONMENT_FILE, cached_job, potential_versions, write_environment
from imatgen_flows.jobs.documents import LabelDocument
from imatgen_flows.profiles import Profile


@cached_job(LabelDocument, profile=Profile.LIGHT, label="count to {number}")
def count_to(
    store: ArtifactStore, scratch: Path, *, number: int, warn_at: list[int], signal_number: int = signal.SIGUSR1
) -> dict:
    """Count up, a file a step; at some steps SLURM's warning arrives, or another signal."""
    steps = scratch / "steps"
    done = int(steps.read_text()) if steps.exists() else 0
    for step in range(done + 1, number + 1):
        steps.write_text(str(step))
        if step in warn_at:
            os.kill(os.getpid(), signal_number)
    return {"potential": "none", "labels": store.put_json("count", number), "counts": {"steps": number - done}}


@cached_job(LabelDocument, profile=Profile.LIGHT, label="fill the disk")
def fill_the_disk(store: ArtifactStore, scratch: Path) -> dict:
    with Path("/dev/full").open("w") as disk:
        disk.write("x" * 100_000)
    return {}


def run(job, **options):
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    responses = run_locally(job, store=store, log=False, raise_immediately=True, **options)
    return [response.output for runs in responses.values() for response in runs.values()]


def test_the_warning_before_the_walltime_ends_in_a_job_that_continues(tmp_path, monkeypatch):
    monkeypatch.setenv("IMATGEN_ON_WALLTIME", "continue")
    outputs = run(count_to(str(tmp_path), number=10, warn_at=[3, 7]))
    assert outputs[:2] == [None, None]  # two jobs handed over
    assert outputs[2].counts == {"steps": 3}  # the third did the rest, and nothing again


def test_a_continuing_job_keeps_name_profile_and_campaign(tmp_path, monkeypatch):
    monkeypatch.setenv("IMATGEN_ON_WALLTIME", "continue")
    job = count_to(str(tmp_path), number=4, warn_at=[2])
    job.name = "relax batch 3 of 9"
    job.update_config({"manager_config": {"_category": "gpu_relax"}, "pass_manager_config": False})
    job.update_metadata({"campaign_id": "abc"})
    job.function_kwargs = {"number": 4, "warn_at": [2]}
    store = JobStore(MemoryStore())
    store.connect()
    (again,) = job.run(store).replace.jobs
    assert (again.name, again.uuid, again.index) == (job.name, job.uuid, 2)
    assert again.config.manager_config == {"_category": "gpu_relax"}
    assert again.metadata["campaign_id"] == "abc"


def test_at_home_a_signal_stops_and_resume_goes_on(tmp_path):
    with pytest.raises(Interrupted, match="continues from its scratch"):
        run(count_to(str(tmp_path), number=5, warn_at=[2]))
    assert run(count_to(str(tmp_path), number=5, warn_at=[2]))[0].counts == {"steps": 3}


@pytest.fixture
def interruptible():
    """A shell in the background ignores Ctrl-C; a test must not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_says_the_same_as_slurms_warning_and_resume_goes_on(tmp_path, interruptible):
    job = count_to(str(tmp_path), number=5, warn_at=[2], signal_number=signal.SIGINT)
    with pytest.raises(Interrupted, match="count to 5: stopped by SIGINT; it continues from its scratch"):
        run(job)
    again = count_to(str(tmp_path), number=5, warn_at=[2], signal_number=signal.SIGINT)
    assert run(again)[0].counts == {"steps": 3}


def test_a_job_that_never_gets_on_is_not_continued_for_ever(tmp_path, monkeypatch):
    monkeypatch.setenv("IMATGEN_ON_WALLTIME", "continue")
    monkeypatch.setattr(cached_jobs, "CONTINUATIONS", 3)
    with pytest.raises(ImatgenError, match="longer walltime"):
        run(count_to(str(tmp_path), number=100, warn_at=list(range(100))))


def test_a_full_disk_is_named_with_its_cure(tmp_path):
    with pytest.raises(ImatgenError, match=r"No space left on device.*imatgen retry"):
        run(fill_the_disk(str(tmp_path)))


def test_a_worker_of_the_submitting_environment_is_welcome(tmp_path):
    write_environment(ArtifactStore(tmp_path).root)
    assert run(count_to(str(tmp_path), number=1, warn_at=[]))


@pytest.mark.parametrize(("package", "version"), [("python", "3.9"), ("torch", "1.0"), ("imatgen_flows", "0.0.1")])
def test_a_worker_with_other_versions_is_refused(tmp_path, package, version):
    write_environment(ArtifactStore(tmp_path).root)
    path = tmp_path / ENVIRONMENT_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {package: version}))
    with pytest.raises(InputError, match=rf"{package} .* instead of {version}.*cluster.yaml"):
        run(count_to(str(tmp_path), number=1, warn_at=[]))


def test_the_name_of_a_job_says_what_it_works_on():
    assert count_to("/tmp", number=1, warn_at=[]).name == "count to 1"


def test_the_package_of_a_potential_is_part_of_the_keys_of_its_own_jobs_alone(monkeypatch):
    assert potential_versions("chgnet") == potential_versions("toy") == potential_versions("emt") == {}
    assert (
        potential_versions("my_module:make") == potential_versions("orb") == {}
    )  # no version is known, or none is there
    assert potential_versions("sevennet") == {"sevenn": version("sevenn")}
    named = (
        {"relax": {"potential": "sevennet", "fmax": 0.05}},
        {"potential": "sevennet"},
        {"relax": {"potential": "toy"}},
    )
    assert [set(cached_jobs._potential_versions(inputs)) for inputs in named] == [{"sevenn"}, {"sevenn"}, set()]
    before = cached_jobs._potential_versions(named[0])
    newer = replace(get_potential("sevennet"), version="0.14.0")
    monkeypatch.setattr(cached_jobs, "installed_potential", lambda name: newer)
    assert cached_jobs._potential_versions(named[0]) != before
