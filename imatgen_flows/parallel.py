"""Worker processes: a function is applied to many items, and an item that kills its process is the only one lost.

Each worker is a fresh interpreter that is connected by a pipe. A pool of the standard library does not suffice: when a
child aborts, `concurrent.futures` breaks the whole pool; and every pool that spawns its children, pebble's too, runs the
caller's script again in them, which hangs for a script without a `__main__` guard.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Generic, Literal, TypeVar, cast

from imatgen_flows.errors import ImatgenError, InputError

START_ATTEMPTS = 3
START_SECONDS = 300.0  # to import the packages and load the weights from a cold file system
TASK_SECONDS = 86_400.0  # limit of a task of `parallel_map`; only a process that hangs takes that long
ORPHAN_SECONDS = 60.0  # a worker whose parent is gone ends itself so long after the time limit of its item

Item = TypeVar("Item")
Value = TypeVar("Value")
Tick = Callable[[], None]  # called by the function, to count work that may be lost with the process


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """Result of one item: its value, or the reason why there is none.

    Attributes
    ----------
    value : what the function returned; None where it failed
    failure : ``error`` (an exception), ``crashed`` (the process died) or ``timed_out``; empty where it succeeded
    detail : message of the exception, or how the process ended
    ticks : number of calls of `tick`, those before a failure included
    seconds : wall time
    """

    value: Value | None = None
    failure: Literal["", "error", "crashed", "timed_out"] = ""
    detail: str = ""
    ticks: int = 0
    seconds: float = 0.0


def core_count() -> int:
    """Return the number of cores that this process may use: under SLURM fewer than the machine has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # a SLURM that does not bind its jobs to cores says so nowhere else
    given = os.environ.get("SLURM_CPUS_ON_NODE", "") if "SLURM_JOB_ID" in os.environ else ""
    return min(cores, int(given)) if given.isdigit() and int(given) else cores


def run_isolated(
    make: Callable[..., Callable[[Item, Tick], Value]],
    setup: tuple,
    items: Sequence[Item],
    *,
    workers: int,
    timeout: float,
    on_outcome: Callable[[int, Outcome[Value]], None],
    interpreter: str = "",
) -> None:
    """Evaluate ``make(*setup)(item, tick)`` for each item in worker processes, in the order in which workers become free.

    Parameters
    ----------
    make : importable function; each worker calls it once, to load what is slow to load
    setup : its arguments
    items : picklable
    workers : number of processes, each limited to one thread
    timeout : time limit of an item, s; the time to load does not count
    on_outcome : called in this thread with the index of an item and its outcome, when the item ends
    interpreter : Python that the workers run, which must have this version of this program; empty for this one. It has
        packages of its own: of the import path of this process it gets what PYTHONPATH holds

    Raises
    ------
    InputError
        Where `workers` is below one.
    ImatgenError
        Where a worker cannot be started, which is not the fault of an item.
    """
    _check_workers(workers)
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        waiting.put(index)
    ended: queue.SimpleQueue[tuple[int, Outcome[Value]] | BaseException] = queue.SimpleQueue()
    threads = [
        _Worker(_Process(make, setup, interpreter), items, timeout, waiting, ended)
        for _ in range(min(workers, len(items)))
    ]
    try:
        for thread in threads:
            thread.start()
        for _ in items:
            message = ended.get()
            if isinstance(message, BaseException):
                raise message
            on_outcome(*message)
    finally:
        for thread in threads:
            thread.close()


def _check_workers(workers: int) -> None:
    """Refuse a number of processes that would wait for ever."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers is {workers!r}; give the number of processes, one at least.")


def parallel_map(
    function: Callable[..., Value],
    tasks: Sequence[tuple],
    workers: int,
    what: str,
    fixed: tuple = (),
    progress: Callable[[], None] | None = None,
) -> list[Value]:
    """Apply a function to tasks in several processes, and return the results in the order of the tasks.

    Parameters
    ----------
    function : importable; called as ``function(*fixed, *task)``
    tasks : picklable
    workers : number of processes, each limited to one thread; with one, or one task, no process is started
    what : the activity, for error messages
    fixed : leading arguments of all calls, sent to each process once
    progress : called in this thread when a task ends

    Raises
    ------
    InputError
        Where `workers` is below one.
    ImatgenError
        Where a task fails, which ends all: a part of the results would be a wrong result.
    """
    _check_workers(workers)
    results: dict[int, Value] = {}
    if workers == 1 or len(tasks) == 1:
        for number, task in enumerate(tasks):
            results[number] = function(*fixed, *task)
            if progress:
                progress()
        return list(results.values())

    def receive(number: int, outcome: Outcome[Value]) -> None:
        if outcome.failure:
            raise ImatgenError(f"{what}: {outcome.detail}.")
        results[number] = cast("Value", outcome.value)
        if progress:
            progress()

    run_isolated(_bind, (function, *fixed), tasks, workers=workers, timeout=TASK_SECONDS, on_outcome=receive)
    return [results[number] for number in range(len(tasks))]


def _bind(function: Callable[..., Value], *fixed: Any) -> Callable[[tuple, Tick], Value]:
    return lambda task, _: function(*fixed, *task)


class _Worker(threading.Thread):
    """Thread that feeds one worker process, limits its time, and replaces it when it dies."""

    def __init__(
        self,
        process: _Process,
        items: Sequence[Any],
        timeout: float,
        waiting: queue.SimpleQueue,
        ended: queue.SimpleQueue,
    ) -> None:
        super().__init__(daemon=True)
        self.process, self.items, self.timeout = process, items, timeout
        self.waiting, self.ended = waiting, ended

    def run(self) -> None:
        try:
            while not self.process.closed:
                try:
                    index = self.waiting.get_nowait()
                except queue.Empty:
                    return
                if self.process.child is None:
                    self.process.start()
                self.ended.put((index, self.process.evaluate(self.items[index], self.timeout)))
        except BaseException as error:  # passed to the caller's thread, which raises it
            self.ended.put(error)
        finally:
            self.process.stop()

    def close(self) -> None:
        """End the thread, whatever its process is doing, and even while a process is being started."""
        self.process.closed = True
        while self.is_alive():
            child = self.process.child
            if child is not None:
                child.kill()
            self.join(0.1)


class _Process:
    """One worker process after another, and the pipe to the present one.

    Parameters
    ----------
    make, setup, interpreter : see `run_isolated`
    """

    def __init__(self, make: Callable, setup: tuple, interpreter: str = "") -> None:
        self.setup = (make, setup)
        self.interpreter = interpreter
        self.closed = False
        self.child: subprocess.Popen | None = None

    def start(self) -> None:
        """Start a process and wait until it has loaded what it needs."""
        for _ in range(START_ATTEMPTS):
            self.channel, theirs = Pipe()
            self.stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child is stopped
            with theirs:
                self.child = self._open(theirs.fileno())
            try:
                _send(self.channel, self.setup)
                if self.channel.poll(START_SECONDS):
                    state, detail = self.channel.recv()
                    if state == "ready":
                        return
                    raise (
                        detail if isinstance(detail, ImatgenError) else ImatgenError(f"a worker cannot start: {detail}")
                    )
                reason = f"it was not ready after {START_SECONDS:.0f} s"
            except (EOFError, OSError):
                reason = self.exit_message()
            self.stop()
            if self.closed:
                break
        raise ImatgenError(f"worker processes cannot be started ({START_ATTEMPTS} attempts): {reason}.")

    def _open(self, descriptor: int) -> subprocess.Popen:
        """Start a process that serves the other end of the pipe."""
        python = self.interpreter or sys.executable
        try:
            return subprocess.Popen(
                [python, "-P", "-c", f"from {__name__} import serve; serve({descriptor})"],
                pass_fds=[descriptor],
                env=worker_environment(self.interpreter),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self.stderr,
            )
        except OSError as error:
            raise ImatgenError(f"worker processes cannot be started: {python}: {error.strerror}.") from error

    def evaluate(self, item: Any, timeout: float) -> Outcome:
        """Evaluate one item in the process; stop the process where it dies or takes too long."""
        start, ticks = time.monotonic(), 0
        failure: Literal["crashed", "timed_out"]
        try:
            _send(self.channel, (item, timeout))
            while (left := start + timeout - time.monotonic()) > 0 and self.channel.poll(left):
                state, content = self.channel.recv()
                if state == "done":
                    return Outcome(content, ticks=ticks, seconds=time.monotonic() - start)
                if state == "error":
                    return Outcome(None, "error", content, ticks, time.monotonic() - start)
                ticks += 1
            failure, detail = "timed_out", f"not done after {timeout:g} s"
        except (EOFError, OSError):
            failure, detail = "crashed", self.exit_message()
        self.stop()
        return Outcome(None, failure, detail, ticks, time.monotonic() - start)

    def exit_message(self) -> str:
        """Describe how the process ended: by which signal or exit status, and the last line that it wrote."""
        assert self.child is not None
        try:
            status = self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:  # it closed the pipe without ending
            self.child.kill()
            status = self.child.wait()
        end = f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
        self.stderr.seek(0)
        lines = [line for line in self.stderr.read().decode(errors="replace").splitlines() if line.strip()]
        return f"the worker process {end}" + (f": {lines[-1][:200]}" if lines else "")

    def stop(self) -> None:
        """Kill the process, if there is one, and close its pipe."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.channel.close()
            self.stderr.close()
            self.child = None


def worker_environment(interpreter: str = "") -> dict[str, str]:
    """Return the environment of a worker: one thread, and the import path of this process.

    Another interpreter than this one gets PYTHONPATH without what lies in this installation of Python: the packages there
    are of other versions than its own, and may be compiled for another Python.
    """
    single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = [os.path.abspath(path) for path in sys.path]
    environment = {**os.environ, **single}
    if interpreter:
        installed = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
        given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        paths = [path for path in given if path and not os.path.abspath(path).startswith(installed)]
        environment.pop("PYTHONHOME", None)
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}


def serve(descriptor: int) -> None:
    """Run the loop of a worker process: read items from a pipe and write their results to it."""
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
        except (EOFError, OSError):  # closed, or the parent is gone
            return None
        signal.setitimer(signal.ITIMER_REAL, timeout + ORPHAN_SECONDS)
        try:
            answer = ("done", function(item, lambda: _send(channel, ("tick", None))))
        except Exception as error:
            answer = ("error", _describe(error))
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(channel, answer)


def _send(channel: Connection, content: Any) -> None:
    """Send an object as bytes; `Connection.send` would send tensors as open files, which only a forked child can take."""
    channel.send_bytes(pickle.dumps(content))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
