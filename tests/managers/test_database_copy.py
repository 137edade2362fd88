"""A database moves to another server with its documents, its indexes and its campaigns."""

from __future__ import annotations

import json

import pytest
from jobflow import Flow, job

from imatgen_flows import launchpad
from imatgen_flows.errors import InputError
from imatgen_flows.managers import database_copy
from imatgen_flows.managers.cluster_files import write_cluster_files
from imatgen_flows.managers.database import PATIENCE, connect, read_launchpad_file
from imatgen_flows.managers.database_copy import copy_database

pytestmark = pytest.mark.usefixtures("played_slurm")


@job
def add(a, b):
    return a + b


@pytest.fixture
def chain():
    """Build a flow of two jobs."""

    def build():
        first = add(1, 2)
        return Flow([first, add(first.output, 3)])

    return build


@pytest.fixture
def target(machine, tmp_path):
    """Another configuration directory, whose database is empty."""
    directory = tmp_path / "cluster"
    directory.mkdir()
    (directory / "cluster.yaml").write_text((machine.directory / "cluster.yaml").read_text())
    write_cluster_files(directory)
    launchpad.start(directory / "launchpad")
    yield directory
    launchpad.stop(directory / "launchpad")


def contents(directory):
    """Return documents and indexes by collection."""
    content = read_launchpad_file(directory)
    with connect(content, PATIENCE) as client:
        database = client[content["name"]]
        return {
            name: (list(database[name].find(sort=[("_id", 1)])), database[name].index_information())
            for name in database.list_collection_names()
        }


def test_a_campaign_goes_on_where_its_database_was_copied_to(machine, target, chain, imatgen):
    campaign_id = machine.add(chain())
    machine.launch(1)
    machine.fireworks.db["many"].insert_many([{"_id": number, "text": "é"} for number in range(2500)])
    code, text, _ = imatgen("launchpad", "copy", str(target), "--cluster", str(machine.directory))
    assert code == 0 and "2,500" in text and contents(target) == contents(machine.directory)
    code, text, _ = imatgen("jobs", campaign_id, "--cluster", str(target), "--json")
    assert code == 0 and [job["state"] for job in json.loads(text)] == ["COMPLETED", "READY"]
    with pytest.raises(InputError, match=r"is not empty: it holds fireworks, .*Name another one as `database\.name`"):
        copy_database(machine.directory, target)
    machine.fireworks.db["many"].drop()
    machine.launch()


def test_what_cannot_be_copied_leaves_nothing_behind(machine, target, monkeypatch, chain, tmp_path):
    with pytest.raises(InputError, match="both name the database"):
        copy_database(machine.directory, machine.directory)
    with pytest.raises(InputError, match=r"my_launchpad\.yaml: no LaunchPad file"):
        copy_database(machine.directory, tmp_path)
    campaign_id = machine.add(chain())

    def break_off(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(database_copy, "_copy_collection", break_off)
        copy_database(machine.directory, target)
    assert contents(target) == {}
    busy = {"spec.campaign_id": campaign_id}
    machine.fireworks.fireworks.update_one(busy, {"$set": {"state": "RUNNING"}})
    with pytest.raises(InputError, match="1 jobs at .* are running or in the queue"):
        copy_database(machine.directory, target)
    machine.fireworks.fireworks.update_many(busy, {"$set": {"state": "DEFUSED"}})
