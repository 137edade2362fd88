"""What a potential does to many crystals, in worker processes: one that fails or kills its process is the only one lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from imatgen_flows.energetics.potentials import Potential
from imatgen_flows.parallel import Item, Outcome, Tick, core_count, run_isolated


class Counted(Protocol):
    """A result that says what it took: energy-and-force evaluations, and wall time in s."""

    evaluations: int
    seconds: float


Result = TypeVar("Result", bound=Counted)


@dataclass(frozen=True)
class PotentialWorkers:
    """Worker processes with a potential, in the Python that it needs.

    Parameters
    ----------
    potential : described, not loaded
    number : of processes, each with one thread; where None, one for each core that this process may use, and one on a GPU
    timeout : time limit of one item, s; where None, that of the potential for a relaxation
    device : where the potential runs
    """

    potential: Potential
    number: int | None = None
    timeout: float | None = None
    device: str = "cpu"

    def outcomes(
        self,
        make: Callable[..., Callable[[Item, Tick], Any]],
        items: Sequence[Item],
        on_outcome: Callable[[int, Outcome[Any]], None],
        *settings: Any,
    ) -> None:
        """Evaluate ``make(potential, device, *settings)(item, tick)`` for each item; see `run_isolated`."""
        run_isolated(
            make,
            (self.potential, self.device, *settings),
            items,
            workers=(core_count() if self.device == "cpu" else 1) if self.number is None else self.number,
            timeout=self.potential.timeout if self.timeout is None else self.timeout,
            on_outcome=on_outcome,
            interpreter=self.potential.interpreter,
        )

    def results(
        self,
        make: Callable[..., Callable[[Item, Tick], Result]],
        items: Sequence[Item],
        rejected: Callable[[str, str], Result],
        on_result: Callable[[int, Result], None] | None,
        *settings: Any,
        cost: Callable[[Item], float] = lambda _: 0.0,
    ) -> list[Result]:
        """Evaluate as `outcomes` does.

        Parameters
        ----------
        make : importable function; each worker calls it once, to load the potential
        items : picklable
        rejected : makes the result of an item that failed, from reason and detail
        on_result : called with index and result when an item ends, in any order
        settings : further arguments of `make`
        cost : of an item, in any unit: those that take longest come first, so that none is waited for at the end

        Returns
        -------
        one result an item, in their order, with the evaluations and the time that it took
        """
        order = sorted(range(len(items)), key=lambda index: -cost(items[index]))
        found: dict[int, Result] = {}

        def receive(position: int, outcome: Outcome[Result]) -> None:
            index = order[position]
            result = outcome.value or rejected(outcome.failure, outcome.detail)
            result.evaluations, result.seconds = outcome.ticks, outcome.seconds
            found[index] = result
            if on_result:
                on_result(index, result)

        self.outcomes(make, [items[index] for index in order], receive, *settings)
        return [found[index] for index in range(len(items))]
