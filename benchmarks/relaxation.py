"""What relaxations cost by the optimiser, and whether they end in the same minima, on candidates of three chemical systems.

Each candidate is relaxed with CHGNet by every optimiser through `relax_many`, as a campaign relaxes it. Candidates are
substituted templates of other systems, rattled, and random crystals with the same cell contents; `--run` adds some that the
generator of a finished campaign of one of the systems proposed, and that it relaxed. Optimisers are compared with FIRE,
pair by pair; intervals are from a bootstrap over the candidates. Two ends are the same minimum where pymatgen's matcher
says so, at its defaults. Where their energies differ all the same, both are relaxed on to a tenth of the force, which tells
a relaxation that stopped early from a minimum that the matcher does not tell apart.

OUT.json is written after each relaxation. The same command continues it; another optimiser can be added to it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from result_tables import table

import imatgen_flows as imf
from imatgen_flows.crystals import is_charge_balanced
from imatgen_flows.crystals.substitution import substitute
from imatgen_flows.crystals.templates import Template
from imatgen_flows.energetics.optimisers import FIRE, OPTIMISER, OPTIMISERS
from imatgen_flows.energetics.relax import Relaxation, RelaxSettings, relax_many
from imatgen_flows.io.files import write_atomic
from imatgen_flows.sources.random_search import draw_crystals
from imatgen_flows.sources.rattled import rattle
from imatgen_flows.sources.target_cell import TargetCell

SYSTEMS = ("V-O", "Fe-S", "Zr-N")
TEMPLATES = "binary_templates.jsonl.gz"
TEMPLATES_TRIED = 200  # templates substituted into each system; rattled candidates are drawn from the results
DRAWS = 10_000  # of the bootstrap
TIGHT = 0.005  # eV/A, to which ends are relaxed on
# targets: share of the evaluations saved, largest difference within a minimum, and what the mean difference must exclude
SAVED, SAME_ENERGY, MEAN_ENERGY = 0.20, 2.0, 15.0  # the energies in meV/atom


@dataclass(frozen=True)
class Candidate:
    """A structure to be relaxed; names are unique."""

    name: str
    system: str
    source: str
    structure: Structure


@dataclass(frozen=True)
class Comparison:
    """An optimiser beside the first one on some candidates. Energies in meV/atom, intervals of 95 %."""

    optimiser: str
    candidates: int
    evaluations: float
    ratio: float
    ratio_interval: tuple[float, float]
    failed: int
    both: int
    difference: float
    difference_interval: tuple[float, float]
    same: int
    largest: float
    apart: tuple[str, ...]

    def row(self) -> list[str]:
        """Lay out a row of the table."""
        return [
            self.optimiser,
            str(self.candidates),
            f"{self.evaluations:.1f}",
            f"{self.ratio:.2f} ({self.ratio_interval[0]:.2f} to {self.ratio_interval[1]:.2f})",
            str(self.failed),
            f"{self.difference:+.1f} ({self.difference_interval[0]:+.1f} to {self.difference_interval[1]:+.1f})",
            f"{self.same} of {self.both}",
            f"{self.largest:.2f} ({len(self.apart)})",
        ]


HEAD = [
    "optimiser", "candidates", "evaluations each", "ratio", "not relaxed", "energy, meV/atom", "same minimum",
    "largest difference there (above 2)",
]  # fmt: skip


def candidates(number: int, seed: int, data: Path, runs: Sequence[Path]) -> list[Candidate]:
    """Draw an equal number of candidates of each system, and of each of its sources in turn."""
    opened = [imf.Run.open(run) for run in runs]
    chosen = []
    for place, system in enumerate(SYSTEMS):
        random = np.random.default_rng((seed, place))
        structures = substituted(system, data / TEMPLATES, random)
        sources = {
            "rattled": [rattle(structure, random) for structure in structures],
            "random search": [
                proposal and proposal.structure
                for proposal in draw_crystals(
                    [TargetCell.of(structure) for structure in structures[: number // len(SYSTEMS)]], seed
                )
            ],
        }
        for run in opened:
            if set(run.config.system) == set(system.split("-")):
                sources["generator"] = generated(run, random)
        drawn = {source: iter([item for item in found if item]) for source, found in sources.items()}
        turns = [source for source, _ in zip(cycle(drawn), range(number // len(SYSTEMS)), strict=False)]
        chosen += [
            Candidate(f"{system}-{index}", system, source, next(drawn[source])) for index, source in enumerate(turns)
        ]
    return chosen


def substituted(system: str, path: Path, random: np.random.Generator) -> list[Structure]:
    """Substitute a system into templates of other systems, chosen at random; none is unbalanced in charge."""
    elements = system.split("-")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if set(row["species"]) != set(elements)]
    templates = [
        Template(row["id"], Structure(row["lattice"], row["species"], row["frac_coords"]), row["source"])
        for row in (rows[index] for index in random.permutation(len(rows))[:TEMPLATES_TRIED])
    ]
    made = [item.structure for item in substitute(templates, elements)[0]]
    return [made[index] for index in random.permutation(len(made)) if is_charge_balanced(made[index].composition)]


def generated(run: imf.Run, random: np.random.Generator) -> list[Structure]:
    """Read the candidates of a run that it relaxed, as decoded, in random order."""
    table = run.candidates
    names = list(table.index[table["evaluations"] > 0])
    return [run.structure(names[index], "decoded") for index in random.permutation(len(names))]


class Results:
    """Relaxations by optimiser and candidate, in a file that is written after each of them."""

    def __init__(self, path: Path, drawn: dict[str, Any], options: argparse.Namespace) -> None:
        self.path = path
        self.content: dict[str, Any] = {"drawn": drawn, "candidates": [], "relaxations": {}}
        if path.is_file():
            self.content = json.loads(path.read_text())
            if self.content["drawn"] != drawn:
                raise SystemExit(f"{path} has the candidates of {self.content['drawn']}; name another file")
        else:
            found = candidates(options.number, options.seed, options.data, options.run)
            self.content["candidates"] = [vars(item) | {"structure": item.structure.as_dict()} for item in found]
            self.write()
        self.candidates = [
            Candidate(**row | {"structure": Structure.from_dict(row["structure"])})
            for row in self.content["candidates"]
        ]

    def write(self) -> None:
        """Write the file as a whole."""
        write_atomic(self.path, json.dumps(self.content))

    def of(self, optimiser: str) -> dict[str, dict[str, Any]]:
        """Return the relaxations by an optimiser, as plain values by name."""
        return self.content["relaxations"].setdefault(optimiser, {})

    def relax(self, optimiser: str, workers: int) -> None:
        """Relax the candidates that this optimiser has not relaxed yet."""
        starts = {item.name: item.structure for item in self.candidates}
        self._relax(optimiser, starts, RelaxSettings(optimiser=optimiser), workers)

    def relax_on(self, optimiser: str, names: Sequence[str], workers: int) -> dict[str, float]:
        """Relax the ends by FIRE and by this optimiser on, and return by how much they differ then (meV/atom)."""
        settings = RelaxSettings(fmax=TIGHT, rattle=0, optimiser=OPTIMISER)
        keys = [f"{start} (beside {optimiser}), relaxed on" for start in (FIRE, optimiser)]
        for start, key in zip((FIRE, optimiser), keys, strict=True):
            ends = {name: Structure.from_dict(self.of(start)[name]["structure"]) for name in names}
            self._relax(key, ends, settings, workers)
        return {name: difference(*(self.of(key)[name] for key in keys)) for name in names}

    def _relax(self, key: str, starts: dict[str, Structure], settings: RelaxSettings, workers: int) -> None:
        found = self.of(key)
        waiting = [name for name in starts if name not in found]

        def add(index: int, result: Relaxation) -> None:
            found[waiting[index]] = vars(result) | {"structure": result.structure and result.structure.as_dict()}
            self.write()

        relax_many([starts[name] for name in waiting], "chgnet", settings, workers=workers, on_result=add)


def compare(results: Results, optimiser: str, chosen: Sequence[Candidate]) -> Comparison:
    """Compare an optimiser with the first one on some of the candidates."""
    rows = {item.name: (results.of(FIRE)[item.name], results.of(optimiser)[item.name]) for item in chosen}
    counts = np.array([[row["evaluations"] for row in pair] for pair in rows.values()], dtype=float)
    both = {name: pair for name, pair in rows.items() if all(row["state"] == "relaxed" for row in pair)}
    differences = np.array([difference(*pair) for pair in both.values()])
    same = {name: difference(*pair) for name, pair in both.items() if is_same(*pair)}
    resampled = counts[np.random.default_rng(0).integers(len(counts), size=(DRAWS, len(counts)))].sum(axis=1)
    means = differences[np.random.default_rng(0).integers(len(both), size=(DRAWS, len(both)))].mean(axis=1)
    return Comparison(
        optimiser=optimiser,
        candidates=len(chosen),
        evaluations=counts[:, 1].mean(),
        ratio=counts[:, 1].sum() / counts[:, 0].sum(),
        ratio_interval=interval(resampled[:, 1] / resampled[:, 0]),
        failed=sum(new["state"] != "relaxed" for _, new in rows.values()),
        both=len(both),
        difference=differences.mean(),
        difference_interval=interval(means),
        same=len(same),
        largest=max(map(abs, same.values()), default=0.0),
        apart=tuple(name for name, value in same.items() if abs(value) > SAME_ENERGY),
    )


def difference(old: dict[str, Any], new: dict[str, Any]) -> float:
    """Subtract the energies of two relaxations, in meV/atom."""
    return 1000 * float(new["energy_per_atom"] - old["energy_per_atom"])


def interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of a bootstrap."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def is_same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two relaxations ended in structures that match by pymatgen's matcher at its defaults."""
    return StructureMatcher().fit(*(Structure.from_dict(row["structure"]) for row in (first, second)))


def misses(adopted: Comparison, failed_before: int) -> list[str]:
    """List the targets that the adopted optimiser misses."""
    reached = {
        f"{SAVED:.0%} fewer evaluations": adopted.ratio <= 1 - SAVED,
        f"within {SAME_ENERGY:g} meV/atom in the same minimum": adopted.largest <= SAME_ENERGY,
        f"the mean difference is below {MEAN_ENERGY:+g} meV/atom": adopted.difference_interval[1] < MEAN_ENERGY,
        "as many relaxed": adopted.failed <= failed_before,
    }
    return [target for target, is_reached in reached.items() if not is_reached]


def main() -> int:
    """Relax what is missing, print the tables, and fail where the adopted optimiser misses a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="file of the results; continued where it exists")
    parser.add_argument("--data", type=Path, required=True, help=f"folder with {TEMPLATES}")
    parser.add_argument("--optimisers", default=f"{FIRE},{OPTIMISER}", help=f"of {', '.join(OPTIMISERS.names)}")
    parser.add_argument("--number", type=int, default=60, help="of candidates, of all systems together")
    parser.add_argument("--run", type=Path, action="append", default=[], help="finished campaign of one of the systems")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of candidates")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    drawn = {"number": options.number, "seed": options.seed, "runs": [str(run) for run in options.run]}
    results = Results(options.out, drawn, options)
    optimisers = list(dict.fromkeys([FIRE, *options.optimisers.split(",")]))
    for optimiser in optimisers:
        results.relax(optimiser, options.workers)
    groups = {"all": results.candidates}
    for item in results.candidates:
        groups.setdefault(item.system, []).append(item)
        groups.setdefault(item.source, []).append(item)
    for name, chosen in groups.items():
        rows = [compare(results, optimiser, chosen).row() for optimiser in optimisers]
        print(f"{name}\n\n{table(HEAD, rows)}", flush=True)
    for optimiser in optimisers[1:]:
        apart = compare(results, optimiser, results.candidates).apart
        after = results.relax_on(optimiser, apart, options.workers)
        rows = [
            [name, f"{difference(*(results.of(key)[name] for key in (FIRE, optimiser))):+.2f}", f"{after[name]:+.2f}"]
            for name in apart
        ]
        print(table([f"{optimiser} less FIRE, meV/atom", "in the same minimum", f"relaxed on to {TIGHT:g} eV/A"], rows))
    if OPTIMISER not in optimisers:
        return 0
    first, adopted = (compare(results, optimiser, results.candidates) for optimiser in (FIRE, OPTIMISER))
    missed = misses(adopted, first.failed)
    print("\n".join(f"missed: {target}" for target in missed) or f"{OPTIMISER} reaches all targets")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
