"""Plugin of pytest: what asks for MongoDB at its default address gets the embedded LaunchPad.

`.ci/test-peers` loads it into the test suites of FireWorks and maggma, which are run unchanged.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pymongo
import pytest

from imatgen_flows import launchpad

DEFAULT_HOSTS = (None, "localhost", "127.0.0.1")
DEFAULT_PORTS = (None, 27017)
DEFAULT_URI = "mongodb://localhost"  # with or without the port, a database may follow

_connect = pymongo.MongoClient.__init__


def pytest_configure(config: pytest.Config) -> None:
    """Start the server, and lead clients there."""
    directory = Path(tempfile.mkdtemp(prefix="peers-")) / "launchpad"
    endpoint = launchpad.start(directory)
    login = {"username": endpoint.username, "password": endpoint.password}

    def connect(self, host=None, port=None, *args, **options):
        by_name = host in DEFAULT_HOSTS or str(host).startswith(DEFAULT_URI)
        if by_name and port in DEFAULT_PORTS and not options.get("username"):
            host, port, options = endpoint.host, endpoint.port, options | login
        _connect(self, host, port, *args, **options)

    pymongo.MongoClient.__init__ = connect
    config.add_cleanup(lambda: launchpad.stop(directory))
