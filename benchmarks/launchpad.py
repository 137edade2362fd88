"""Load on the embedded LaunchPad: 200,000 documents, 1 GB in GridFS, a regular expression that would not end, idle clients.

`--checkout DIR` measures the program of another checkout, beside which the figures of this one are to be read.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gridfs
from pymongo import MongoClient
from pymongo.errors import PyMongoError

STATES = ("WAITING", "READY", "RUNNING", "COMPLETED", "FIZZLED")
GROUP = {"_id": "$state", "number": {"$sum": 1}, "mean": {"$avg": "$energy"}, "lowest": {"$min": "$energy"}}


class Bench:
    """A server in a directory of its own, and the table of what was measured."""

    def __init__(self, directory: Path) -> None:
        from imatgen_flows import launchpad
        from imatgen_flows.launchpad.control import ServerFiles

        self._launchpad, self._directory, self._files = launchpad, directory, ServerFiles(directory)
        self.missed: list[str] = []
        self.start()

    def start(self) -> float:
        """Start the server and return the seconds that it takes."""
        begin = time.monotonic()
        self.endpoint = self._launchpad.start(self._directory)
        return time.monotonic() - begin

    def stop(self) -> None:
        """Stop the server."""
        self._launchpad.stop(self._directory)

    def client(self) -> MongoClient:
        """Connect."""
        login = {"username": self.endpoint.username, "password": self.endpoint.password}
        return MongoClient(self.endpoint.host, self.endpoint.port, **login)

    def memory(self, which: str = "VmRSS") -> float:
        """Return the resident memory of the server in MB; `VmHWM` for its peak."""
        status = Path(f"/proc/{self._files.running()}/status").read_text()
        return int(status.split(f"{which}:")[1].split()[0]) / 1e3

    def file(self) -> float:
        """Return the size of the database with its log in MB."""
        return sum(path.stat().st_size for path in self._directory.glob("database*")) / 1e6

    def row(self, what: str, value: float, unit: str, target: float | None = None) -> None:
        """Print a figure, with the target that it must stay below."""
        shown = "" if target is None else f"target {target:g} {unit}"
        if target is not None and value > target:
            self.missed.append(what)
            shown += ", missed"
        print(f"{what:58s}{value:12,.1f} {unit:3s} {shown}", flush=True)

    def timed(self, what: str, work: Callable[[], Any], target: float | None = None) -> None:
        """Print the shortest of three times in ms, and how long the finds of another client took at most."""
        taken = []
        with self.others() as waits:
            for _ in range(3):
                begin = time.perf_counter()
                work()
                taken.append(1e3 * (time.perf_counter() - begin))
                if taken[0] > 3_000:  # once is enough
                    break
        self.row(what, min(taken), "ms", target)
        self.row("  another client's find meanwhile, the 95th percentile", percentile(waits), "ms", 50)

    @contextmanager
    def others(self) -> Iterator[list[float]]:
        """Let another client find one document again and again; gives the ms that it waited."""
        waits: list[float] = []
        done = threading.Event()

        def find() -> None:
            with self.client() as client:
                small = client["other"].small
                small.replace_one({"_id": 1}, {"x": 1}, upsert=True)
                ready.set()
                while not done.wait(0.005):
                    begin = time.perf_counter()
                    with suppress(PyMongoError):
                        small.find_one({"_id": 1})
                    waits.append(1e3 * (time.perf_counter() - begin))

        ready = threading.Event()
        thread = threading.Thread(target=find)
        thread.start()
        ready.wait()
        try:
            yield waits
        finally:
            while not waits:
                time.sleep(0.01)
            done.set()
            thread.join()


def percentile(values: list[float]) -> float:
    """Return the 95th percentile."""
    return sorted(values)[min(len(values) - 1, int(0.95 * len(values)))]


def small_commands(bench: Bench) -> None:
    """Time the commands that workers send."""
    with bench.client() as client:
        things = client["bench"].commands
        number = 1_000
        for what, work in (
            ("insert of one", lambda n: things.insert_one({"_id": n, "n": n, "state": "READY"})),
            ("find by _id", lambda n: things.find_one({"_id": n})),
            ("update by _id", lambda n: things.update_one({"_id": n}, {"$set": {"n": -n}})),
        ):
            begin = time.perf_counter()
            for n in range(number):
                work(n)
            bench.row(f"{what}, of {number:,}", 1e3 * (time.perf_counter() - begin) / number, "ms")


def documents(bench: Bench, number: int) -> None:
    """Measure searches through many small documents."""
    dice = random.Random(7)
    with bench.client() as client:
        things = client["bench"].fireworks
        rows = (
            {
                "fw_id": n,
                "name": f"relax {n}",
                "state": dice.choice(STATES),
                "energy": dice.random(),
                "spec": {"_priority": n % 10, "nodes": [n, n + 1]},
            }
            for n in range(number)
        )
        begin = time.monotonic()
        things.insert_many(rows)
        bench.row(f"insert of {number:,}", time.monotonic() - begin, "s")
        for field in ("fw_id", "state", "energy"):
            things.create_index(field)
        bench.row("memory with them", bench.memory(), "MB")
        bench.timed("sort by an indexed field, first 100", lambda: list(things.find().sort("energy").limit(100)), 100)
        bench.timed("sort by it, first batch of all", lambda: next(things.find().sort("energy", -1)), 100)
        bench.timed(
            "range of 1,000", lambda: list(things.find({"energy": {"$gte": 0.5, "$lt": 0.5 + 1e3 / number}})), 100
        )
        bench.timed(
            "range and sort, first 100",
            lambda: list(things.find({"energy": {"$gt": 0.5}}).sort("fw_id").limit(100)),
            100,
        )
        claim = {"$set": {"state": "RUNNING"}}
        bench.timed(
            "100 claimed by state and sort",
            lambda: [things.find_one_and_update({"state": "READY"}, claim, sort=[("energy", -1)]) for _ in range(100)],
        )
        bench.timed("group", lambda: list(things.aggregate([{"$group": GROUP}])), 1_000)
        bench.timed("find without an index", lambda: list(things.find({"name": "relax 77"})))
    bench.stop()
    bench.row("start", bench.start(), "s", 2)
    bench.row("memory after it", bench.memory(), "MB")
    bench.row("file", bench.file(), "MB")


def files(bench: Bench, nbytes: int) -> None:
    """Measure memory, start and file with large files in GridFS."""
    with bench.client() as client:
        store, part = gridfs.GridFS(client["bench"], "fs"), nbytes // 8
        begin = time.monotonic()
        numbers = [store.put(os.urandom(part)) for _ in range(8)]
        bench.row(f"{nbytes / 1e6:,.0f} MB into GridFS", time.monotonic() - begin, "s")
        begin = time.monotonic()
        store.get(numbers[3]).read()
        bench.row("an eighth of it read", time.monotonic() - begin, "s")
        bench.row("memory, peak", bench.memory("VmHWM"), "MB", 300)
    bench.stop()
    bench.row("start", bench.start(), "s", 2)
    bench.row("memory after it", bench.memory(), "MB", 300)
    with bench.client() as client:
        with bench.others() as waits:
            begin = time.monotonic()
            client["bench"]["fs.chunks"].drop()
            bench.row("drop", time.monotonic() - begin, "s")
        bench.row("  another client's find meanwhile, the 95th percentile", percentile(waits), "ms", 50)
        begin = time.monotonic()
        while bench.file() > 50 and time.monotonic() - begin < 60:
            time.sleep(0.5)
        bench.row("file within a minute of the drop", bench.file(), "MB", 50)


def expression(bench: Bench) -> None:
    """Measure what others wait for a regular expression of exponential time."""
    with bench.client() as client:
        things = client["bench"].texts
        things.insert_one({"text": "a" * 26 + "b"})
        with bench.others() as waits:
            begin = time.monotonic()
            for pattern in ("^(a+)+$", "^(a|a)+$"):
                with suppress(PyMongoError):
                    things.find_one({"text": {"$regex": pattern}}, max_time_ms=5_000)
            bench.row("two expressions of exponential time", time.monotonic() - begin, "s")
        bench.row("  another client's find meanwhile, the longest", max(waits), "ms", 100)


def idle(bench: Bench) -> None:
    """Measure what 500 idle connections cost."""
    before = bench.memory()
    connections = [socket.create_connection((bench.endpoint.host, bench.endpoint.port)) for _ in range(500)]
    with bench.others() as waits:
        time.sleep(2)
    bench.row("memory of 500 idle connections", bench.memory() - before, "MB")
    bench.row("  another client's find meanwhile, the median", statistics.median(waits), "ms", 100)
    for connection in connections:
        connection.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, default=Path(__file__).parent.parent, help="whose server is measured")
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--megabytes", type=int, default=1024, help="in GridFS")
    given = parser.parse_args()
    sys.path.insert(0, str(given.checkout))
    os.environ["PYTHONPATH"] = str(given.checkout)
    print(f"load {os.getloadavg()[0]:.1f} in the last minute; {given.checkout}")
    missed = []
    for part in (
        small_commands,
        lambda bench: documents(bench, given.documents),
        lambda bench: files(bench, given.megabytes * 2**20),
        expression,
        idle,
    ):
        with tempfile.TemporaryDirectory() as name:
            bench = Bench(Path(name) / "launchpad")
            try:
                part(bench)
            finally:
                bench.stop()
            missed += bench.missed
    print(f"load {os.getloadavg()[0]:.1f} in the last minute")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
