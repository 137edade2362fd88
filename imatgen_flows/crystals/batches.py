"""Work on thousands of crystals: in several processes where it pays, with its progress in the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from imatgen_flows.observer import report_count
from imatgen_flows.parallel import parallel_map

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 100  # items that a process takes at once
MIN_PARALLEL = 500  # items; fewer are done before another process has started
REPORT_EVERY = 1000  # items between two lines of the log

logger = logging.getLogger(__name__)


def map_items(
    function: Callable[..., Result], items: Sequence[Item], workers: int, what: str, fixed: tuple = ()
) -> list[Result]:
    """Apply a function to each of many items, and return the results in their order.

    Parameters
    ----------
    function : importable; called as ``function(*fixed, item)``; it must not raise, which would end all
    items : picklable
    workers : number of processes
    what : the activity, for the log and for error messages
    fixed : leading arguments of all calls
    """
    chunks = [(items[start : start + CHUNK],) for start in range(0, len(items), CHUNK)]
    done = 0

    def report() -> None:
        nonlocal done
        done = min(done + CHUNK, len(items))
        observed = report_count(done, len(items), what)
        if not observed and done % REPORT_EVERY == 0 and len(items) > REPORT_EVERY:
            logger.info("%s: %s of %s", what, f"{done:,}", f"{len(items):,}")

    several = workers if len(items) >= MIN_PARALLEL else 1
    results = parallel_map(_apply, chunks, several, what, fixed=(function, fixed), progress=report)
    return [result for chunk in results for result in chunk]


def _apply(function: Callable[..., Result], fixed: tuple[Any, ...], chunk: Sequence[Any]) -> list[Result]:
    return [function(*fixed, item) for item in chunk]
