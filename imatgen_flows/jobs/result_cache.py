"""Relaxations and single points within a job; each result is on disk as soon as it is there."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.device import relaxation_resources
from imatgen_flows.jobs.documents import RelaxInputs
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.search_space import pressure_input
from imatgen_flows.observer import report_count

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.known_ends import KnownEnd
    from imatgen_flows.energetics.relax import Relaxation

logger = logging.getLogger(__name__)

PROGRESS = 10  # relaxations between two lines of the log; where they are fewer than 100, there are ten lines or so
SINGLE_POINTS_A_FILE = 200


class ResultCache:
    """A cache of results by name, on disk, which a restarted process reads again.

    Parameters
    ----------
    scratch : directory of the job; what another process left there is taken over
    a_file : results that are written together; as many may be lost
    """

    def __init__(self, scratch: Path, a_file: int = 1) -> None:
        self.scratch, self.a_file = scratch, a_file
        self.rows: dict[str, dict] = {}
        for path in sorted(scratch.glob("*.json")):
            try:
                # a power cut can leave an empty file behind
                self.rows |= json.loads(path.read_text() or "{}")
            except (ValueError, TypeError) as error:
                logger.warning("%s is damaged (%s): its results are computed again.", path, error)
        self.fresh: dict[str, dict] = {}

    def add(self, name: str, row: dict) -> None:
        """Add one result."""
        self.rows[name] = self.fresh[name] = row
        if len(self.fresh) >= self.a_file:
            self.write()

    def write(self) -> None:
        """Write the results that are not on disk yet."""
        if self.fresh:
            # named by what it holds: two processes that share the directory do not take each other's place
            write_atomic(self.scratch / f"{content_key(list(self.fresh))}.json", json.dumps(self.fresh))
            self.fresh = {}


def shared_scratch(store: ArtifactStore, what: str, *inputs: Any) -> Path:
    """Return a folder of results by crystal that all jobs of a run with these inputs share.

    What one job has computed of a crystal, another one that asks for other crystals too does not compute again.
    """
    from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, versions_of

    return store.scratch(f"{what}-{content_key(versions_of(CACHE_KEY_PACKAGES), *inputs)}")


def names_of_crystals(structures: Mapping[str, Structure]) -> dict[str, str]:
    """Name results by sample and crystal: one that was relaxed otherwise has other results."""
    from imatgen_flows.crystals.identity import structure_id

    return {sample: f"{sample}-{structure_id(structure)}" for sample, structure in structures.items()}


def relax_cached(
    scratch: Path,
    names: list[str],
    structures: list[Any],
    relax: RelaxInputs,
    *,
    fixed_cell: list[bool] | None = None,
    ends: list[list[KnownEnd]] | None = None,
) -> list[dict[str, Any]]:
    """Relax structures, each isolated from the others; an interrupted job continues with those that are missing.

    `ends` are, for each structure, known crystals at which a relaxation stops; in batches on a GPU it does not.

    Returns
    -------
    one row a structure: `energetics.relax.Relaxation` as plain values, without its time
    """
    from imatgen_flows.energetics.batched import batching_obstacle, relax_batched
    from imatgen_flows.energetics.relax import RelaxSettings, relax_tasks, run_tasks

    cells, known, potential = (
        fixed_cell or [False] * len(names),
        ends or [[] for _ in names],
        installed_potential(relax["potential"]),
    )
    settings = RelaxSettings(**{name: value for name, value in relax.items() if name != "potential"})  # type: ignore[arg-type]
    resources = relaxation_resources()
    alone = resources["device"] == "cpu" or settings.pressure  # batches know none
    together = not alone and not batching_obstacle(potential, resources["device"])

    def work(places: list[int], on_result: Callable[[int, Any], None]) -> None:
        chosen, fixed = [structures[i] for i in places], [cells[i] for i in places]
        if together:
            device = resources["device"]
            relax_batched(chosen, potential, settings, device=device, fixed_cell=fixed, on_result=on_result)
        else:
            tasks = relax_tasks(chosen, settings, fixed, [known[i] for i in places])
            run_tasks(tasks, potential, on_result=on_result, **resources)

    return fill_cache(ResultCache(scratch), names, work, _relaxation_row, "relaxed")


def single_points_cached(
    scratch: Path, names: list[str], structures: list[Any], potential: str, *, pressure: float = 0.0
) -> list[dict[str, Any]]:
    """Compute the energies of structures as they are; at a pressure their enthalpies, compressed. See `relax_cached`."""
    from imatgen_flows.energetics.relax import single_points

    def evaluate(places: list[int], on_result: Callable[[int, Any], None]) -> None:
        single_points(
            [structures[i] for i in places],
            installed_potential(potential),
            on_result=on_result,
            **relaxation_resources(),
            **pressure_input(pressure),
        )

    return fill_cache(ResultCache(scratch, SINGLE_POINTS_A_FILE), names, evaluate, _relaxation_row, "evaluated")


def relaxation_of(row: Mapping[str, Any]) -> Relaxation:
    """Read a relaxation from a row that `relax_cached` or `single_points_cached` returned."""
    from pymatgen.core import Structure

    from imatgen_flows.energetics.relax import Relaxation

    values = {item.name: row[item.name] for item in fields(Relaxation) if item.name in row}
    return Relaxation(**values | {"structure": Structure.from_dict(row["structure"]) if row["structure"] else None})


def _relaxation_row(result: Any) -> dict[str, Any]:
    return {**vars(result), "structure": result.structure.as_dict() if result.structure else None}


def fill_cache(
    cache: ResultCache,
    names: list[str],
    work: Callable[[list[int], Callable[[int, Any], None]], None],
    row_of: Callable[[Any], dict[str, Any]],
    verb: str,
) -> list[dict[str, Any]]:
    """Compute the results that a cache lacks, each of which is kept as soon as it is there.

    Parameters
    ----------
    cache : by name
    names : of all results, in order
    work : computes those at some places, and calls a function with the index among these and the result
    row_of : turns a result into plain values
    verb : what is done, for the log

    Returns
    -------
    one row a name, without the time that it took
    """
    waiting = [place for place, name in enumerate(names) if name not in cache.rows]
    count = itertools.count(1)
    every = max(1, min(PROGRESS * cache.a_file, len(names) // 10))

    def add(index: int, result: Any) -> None:
        row = row_of(result)
        del row["seconds"]  # what is computed again must give the same bytes
        cache.add(names[waiting[index]], row)
        done = len(names) - len(waiting) + next(count)
        if not report_count(done, len(names), verb) and (done % every == 0 or done == len(names)):
            logger.info("%s %d of %d", verb, done, len(names))

    report_count(len(names) - len(waiting), len(names), verb)
    try:
        if waiting:
            work(waiting, add)
    finally:
        cache.write()
    return [cache.rows[name] for name in names]
