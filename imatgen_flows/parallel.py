"""Run a function on many items in worker processes, so that an item that kills its process costs that item alone.

Each worker is a fresh interpreter at the end of a pipe. Pools were tried and left: when a child aborts,
`concurrent.futures` breaks the whole pool; and every pool that spawns its children, pebble's too, runs the caller's
script again in them, which hangs for a script without a `__main__` guard.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from imatgen_flows.errors import ImatgenError

START_ATTEMPTS = 3
START_SECONDS = 300.0  # to import the packages and load the weights from a cold file system
SHARE_SECONDS = 86_400.0  # of a shared task; only a hanging process takes that long
ORPHAN_SECONDS = 60.0  # beyond its time limit an item ends its own process, for when nobody is left to do it


@dataclass(frozen=True)
class Outcome:
    """What became of an item: its value, or why there is none."""

    value: Any = None
    failure: str = ""  # "error", "crashed" or "timed_out"
    detail: str = ""
    ticks: int = 0  # how often the function called `tick`, whether it came to an end or not
    seconds: float = 0.0


def run_isolated(
    make: Callable[..., Callable[[Any, Callable[[], None]], Any]],
    setup: tuple,
    items: Sequence[Any],
    *,
    workers: int,
    timeout: float,
    on_outcome: Callable[[int, Outcome], None],
) -> None:
    """Evaluate ``make(*setup)(item, tick)`` for each item, first come first served.

    Parameters
    ----------
    make : importable function; each worker calls it once, to load what is slow to load
    setup : its arguments
    items : picklable
    workers : number of processes, each held to one thread
    timeout : seconds an item may take; the loading does not count
    on_outcome : called in this thread with the index of an item and its outcome, as each ends

    Raises
    ------
    ImatgenError
        Where a worker cannot be made ready: no item is to blame then.
    """
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        waiting.put(index)
    ended: queue.SimpleQueue[tuple[int, Outcome] | BaseException] = queue.SimpleQueue()
    crew = [_Worker(make, setup, items, timeout, waiting, ended) for _ in range(min(workers, len(items)))]
    try:
        for worker in crew:
            worker.start()
        for _ in items:
            news = ended.get()
            if isinstance(news, BaseException):
                raise news
            on_outcome(*news)
    finally:
        for worker in crew:
            worker.dismiss()


def share(
    function: Callable[..., Any], tasks: Sequence[tuple], workers: int, what: str, fixed: tuple = ()
) -> list[Any]:
    """Call a function for each task, in several processes where there are more than one, and return what it gives, in order.

    Parameters
    ----------
    function : importable; called as ``function(*fixed, *task)``
    tasks : picklable
    workers : number of processes, each held to one thread; with one, nothing is started
    what : is being done, for the message of an error
    fixed : arguments of all calls, which each process is sent once

    Raises
    ------
    ImatgenError
        Where a task fails: it ends all, for a part of the answers would be a wrong answer.
    """
    if workers == 1 or len(tasks) == 1:
        return [function(*fixed, *task) for task in tasks]
    results: list[Any] = [None] * len(tasks)

    def receive(number: int, outcome: Outcome) -> None:
        if outcome.failure:
            raise ImatgenError(f"{what}: {outcome.detail}.")
        results[number] = outcome.value

    run_isolated(_bind, (function, *fixed), tasks, workers=workers, timeout=SHARE_SECONDS, on_outcome=receive)
    return results


def _bind(function: Callable[..., Any], *fixed: Any) -> Callable[[tuple, Callable[[], None]], Any]:
    return lambda task, _: function(*fixed, *task)


class _Worker(threading.Thread):
    """Looks after one child process: feeds it, times it, and replaces it when it dies."""

    def __init__(
        self,
        make: Callable,
        setup: tuple,
        items: Sequence[Any],
        timeout: float,
        waiting: queue.SimpleQueue,
        ended: queue.SimpleQueue,
    ) -> None:
        super().__init__(daemon=True)
        self.order, self.items, self.timeout = (make, setup), items, timeout
        self.waiting, self.ended = waiting, ended
        self.dismissed = False
        self.child: subprocess.Popen | None = None

    def run(self) -> None:
        try:
            while not self.dismissed:
                try:
                    index = self.waiting.get_nowait()
                except queue.Empty:
                    return
                if self.child is None:
                    self.hire()
                self.ended.put((index, self.serve(self.items[index])))
        except BaseException as error:  # handed to the caller's thread, which raises it
            self.ended.put(error)
        finally:
            self.fire()

    def hire(self) -> None:
        """Start a child and wait until it has loaded what it needs."""
        for _ in range(START_ATTEMPTS):
            self.channel, theirs = Pipe()
            self.words = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child goes
            with theirs:
                self.child = subprocess.Popen(
                    [sys.executable, "-P", "-c", f"from {__name__} import work; work({theirs.fileno()})"],
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self.words,
                )
            try:
                _send(self.channel, self.order)
                if self.channel.poll(START_SECONDS):
                    state, detail = self.channel.recv()
                    if state == "ready":
                        return
                    raise (
                        detail if isinstance(detail, ImatgenError) else ImatgenError(f"a worker cannot start: {detail}")
                    )
                trouble = f"it was not ready after {START_SECONDS:.0f} s"
            except (EOFError, OSError):
                trouble = self.last_words()
            self.fire()
            if self.dismissed:
                break
        raise ImatgenError(f"worker processes cannot be started ({START_ATTEMPTS} attempts): {trouble}.")

    def serve(self, item: Any) -> Outcome:
        """Have the child work on one item."""
        start, ticks = time.monotonic(), 0
        try:
            _send(self.channel, (item, self.timeout))
            while (left := start + self.timeout - time.monotonic()) > 0 and self.channel.poll(left):
                state, content = self.channel.recv()
                if state == "done":
                    return Outcome(content, ticks=ticks, seconds=time.monotonic() - start)
                if state == "error":
                    return Outcome(None, "error", content, ticks, time.monotonic() - start)
                ticks += 1
            failure, detail = "timed_out", f"not done after {self.timeout:g} s"
        except (EOFError, OSError):
            failure, detail = "crashed", self.last_words()
        self.fire()
        return Outcome(None, failure, detail, ticks, time.monotonic() - start)

    def last_words(self) -> str:
        """Say how a child ended."""
        assert self.child is not None
        try:
            status = self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it closed the pipe, but lives on
            self.child.kill()
            status = self.child.wait()
        end = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        self.words.seek(0)
        lines = [line for line in self.words.read().decode(errors="replace").splitlines() if line.strip()]
        return f"the worker process {end}" + (f": {lines[-1][:200]}" if lines else "")

    def fire(self) -> None:
        """End the child, if there is one."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.channel.close()
            self.words.close()
            self.child = None

    def dismiss(self) -> None:
        """End the thread, whatever its child is doing, and even if it is just starting one."""
        self.dismissed = True
        while self.is_alive():
            child = self.child
            if child is not None:
                child.kill()
            self.join(0.1)


def _environment() -> dict[str, str]:
    """Environment of a worker: one thread, and the import path of this process."""
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in sys.path)}


def work(descriptor: int) -> None:
    """Life of a child process, at its end of the pipe."""
    channel = Connection(descriptor)
    make, setup = channel.recv()
    try:
        function = make(*setup)
    except ImatgenError as error:
        return _send(channel, ("unusable", error))
    except Exception as error:
        return _send(channel, ("unusable", _describe(error)))
    _send(channel, ("ready", ""))
    while True:
        try:
            item, timeout = channel.recv()
        except (EOFError, OSError):  # dismissed, or the parent is gone
            return None
        signal.setitimer(signal.ITIMER_REAL, timeout + ORPHAN_SECONDS)
        try:
            answer = ("done", function(item, lambda: _send(channel, ("tick", None))))
        except Exception as error:
            answer = ("error", _describe(error))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(channel, answer)


def _send(channel: Connection, content: Any) -> None:
    """Send what `recv` reads. `Connection.send` would hand tensors over as open files, which only a forked child can take."""
    channel.send_bytes(pickle.dumps(content))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
