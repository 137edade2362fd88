"""A server of each test module, with an empty database for each test."""

from __future__ import annotations

import itertools

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from imatgen_flows import launchpad

_names = itertools.count()


@pytest.fixture(scope="module")
def server_directory(tmp_path_factory):
    return tmp_path_factory.mktemp("server") / "launchpad"


@pytest.fixture(scope="module")
def endpoint(server_directory):
    yield launchpad.start(server_directory)
    launchpad.stop(server_directory)


@pytest.fixture(scope="session")
def connect():
    """Connect to an endpoint, as its user by default."""

    def build(endpoint, **options):
        login = {"username": endpoint.username, "password": endpoint.password}
        return MongoClient(endpoint.host, endpoint.port, **(login | {"serverSelectionTimeoutMS": 10_000} | options))

    return build


@pytest.fixture(scope="module")
def client(endpoint, connect):
    with connect(endpoint) as client:
        yield client


@pytest.fixture
def database(client):
    return client[f"test{next(_names)}"]


@pytest.fixture(scope="session")
def refusal():
    """Run a call that the server must refuse, and return the code of its error."""

    def code_of(call):
        with pytest.raises(OperationFailure) as raised:
            call()
        return raised.value.code

    return code_of
