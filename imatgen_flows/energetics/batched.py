"""Relaxation of crystals in batches on a GPU by torch-sim; a failure remains that of one structure."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymatgen.core import Lattice, Structure

from imatgen_flows.energetics.guard import (
    MAX_ENERGY,
    SHORTEST_DISTANCE,
    VOLUME_CHANGE,
    StoppedError,
    check_geometry,
    check_results,
)
from imatgen_flows.energetics.potential_registry import Potential
from imatgen_flows.energetics.potentials import get_potential
from imatgen_flows.energetics.relax import (
    DEFAULT,
    Relaxation,
    RelaxSettings,
    Task,
    relax_many,
    relax_tasks,
)
from imatgen_flows.errors import InputError
from imatgen_flows.parallel import Outcome, Tick, run_isolated

if TYPE_CHECKING:
    from ase import Atoms

ATOMS_AT_ONCE = 2000  # atoms in the memory of the GPU; when structures leave, others take their place
# torch-sim evaluates the initial structure for the optimiser and once more for the cell filter, atomate2 the final one
# again; tests/energetics/test_batched.py counts them
EXTRA_EVALUATIONS = {"free cell": 3, "fixed cell": 2}


def relax_batched(
    structures: Sequence[Structure],
    potential: str | Potential,
    settings: RelaxSettings = DEFAULT,
    *,
    fixed_cell: bool | Sequence[bool] = False,
    batch_size: int = 256,
    timeout: float = 3600.0,
    device: str = "cuda",
    on_result: Callable[[int, Relaxation], None] | None = None,
) -> list[Relaxation]:
    """Relax structures in batches, with the FIRE and the Frechet cell filter of torch-sim; otherwise as `relax_many`.

    Both displace the atoms by the same noise; with ASE's FIRE, `relax_many` agrees in energy to well within 1 meV/atom. A
    batch that raises, crashes or takes too long is halved until the faulty structures are alone; `relax_many` relaxes
    those, or says why it cannot. A batch makes at least one step.

    Parameters
    ----------
    structures : ordered crystals
    potential : see `get_potential`; `batching_obstacle` says which are supported
    settings, fixed_cell : see `relax_many`; the optimiser of the settings is for structures that are relaxed singly
    batch_size : structures of a batch; an interruption loses at most one batch
    timeout : time limit of a batch, s
    device : where the potential runs
    on_result : called with index and result of each structure when its batch ends

    Returns
    -------
    one `Relaxation` a structure, in the order of the structures. Its evaluations are the steps taken, and two or (where
    the cell is free) three that torch-sim and atomate2 add; those of a batch that failed are divided evenly. Its seconds
    are an even share of the batch's.

    Raises
    ------
    InputError
        Where this machine cannot batch this potential (the message says why), or `max_steps` is below one.
    ImatgenError
        Where the potential cannot be loaded. Nothing that a structure does raises.
    """
    potential = get_potential(potential)
    if obstacle := batching_obstacle(potential, device):
        raise InputError(f"potential `{potential.name}` cannot relax in batches on {device}: {obstacle}.")
    if settings.pressure:
        raise InputError(f"relaxations in batches know no pressure, and {settings.pressure:g} GPa is asked for.")
    if settings.max_steps < 1:
        raise InputError(f"max_steps is {settings.max_steps}; a relaxation in batches takes at least one step.")
    run = _Run(relax_tasks(structures, settings, fixed_cell), settings, potential, device, timeout, on_result)
    batches = [
        group[start : start + batch_size]
        for group in ([i for i, task in enumerate(run.tasks) if task.fixed_cell is held] for held in (False, True))
        for start in range(0, len(group), batch_size)
    ]
    while batches:
        failed = run.attempt(batches)
        batches = [half for batch in failed if len(batch) > 1 for half in (batch[::2], batch[1::2])]
    run.relax_singly()
    return [run.results[index] for index in range(len(structures))]


def batching_obstacle(potential: str | Potential, device: str = "cuda") -> str:
    """Say in a clause why structures cannot be relaxed in batches on this machine; empty if they can."""
    potential = get_potential(potential)
    if potential.factory not in _TORCHSIM_MODELS:
        return "torch-sim has no model for it"
    if potential.interpreter:
        return "it runs in an interpreter of its own"
    if sys.version_info < (3, 12):
        return f"atomate2's torch-sim makers need Python 3.12 or newer, this is {sys.version_info[0]}.{sys.version_info[1]}"
    if missing := [name for name in ("atomate2", "torch_sim") if find_spec(name) is None]:
        return f"the Python package `{missing[0]}` is missing: `pip install 'imatgen-flows[torchsim]'`"
    if device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            return "PyTorch finds no CUDA device"
    return ""


@dataclass
class _Run:
    """Results so far, and the evaluations spent on structures without a result."""

    tasks: list[Task]
    settings: RelaxSettings
    potential: Potential
    device: str
    timeout: float
    on_result: Callable[[int, Relaxation], None] | None

    def __post_init__(self) -> None:
        self.results: dict[int, Relaxation] = {}
        self.lost = [0] * len(self.tasks)  # evaluations of batches that failed

    def attempt(self, batches: list[list[int]]) -> list[list[int]]:
        """Relax batches, in fresh processes; return those that failed."""
        failed = []

        def receive(position: int, outcome: Outcome[list[Relaxation]]) -> None:
            batch = batches[position]
            if outcome.value is None:
                failed.append(batch)
                for rank, index in enumerate(batch):
                    self.lost[index] += outcome.ticks // len(batch) + (rank < outcome.ticks % len(batch))
            else:
                for index, result in zip(batch, outcome.value, strict=True):
                    result.seconds = outcome.seconds / len(batch)
                    self.deliver(index, result)

        run_isolated(
            _batcher,
            (self.potential, self.device),
            [[self.tasks[index] for index in batch] for batch in batches],
            workers=1,
            timeout=self.timeout,
            on_outcome=receive,
        )
        return failed

    def relax_singly(self) -> None:
        """Relax the structures that have no result, each on its own."""
        rest = [index for index in range(len(self.tasks)) if index not in self.results]
        if rest:
            relax_many(
                [self.tasks[index].structure for index in rest],
                self.potential,
                self.settings,
                fixed_cell=[self.tasks[index].fixed_cell for index in rest],
                device=self.device,
                on_result=lambda position, result: self.deliver(rest[position], result),
            )

    def deliver(self, index: int, result: Relaxation) -> None:
        """Store a result and pass it to the caller."""
        result.evaluations += self.lost[index]
        self.results[index] = result
        if self.on_result:
            self.on_result(index, result)


def _batcher(potential: Potential, device: str) -> Callable[[list[Task], Tick], list[Relaxation]]:
    """Load the model once; where it cannot be loaded, that is not the fault of a structure."""
    from atomate2.torchsim.core import pick_model

    model = _torchsim_model(potential, device)
    pick_model(model["model_type"], model["model_path"], **model["model_kwargs"])
    return partial(_relax_or_exit, potential, model)


def _relax_or_exit(*arguments: Any) -> list[Relaxation]:
    """Relax a batch; end the process on an error, after which its CUDA context may be unusable."""
    try:
        return _relax_batch(*arguments)
    except Exception as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


def _relax_batch(potential: Potential, model: Mapping[str, Any], tasks: list[Task], tick: Tick) -> list[Relaxation]:
    """Relax structures with equal settings. `tick` is called once for each evaluation of each structure."""
    results: dict[int, Relaxation] = {}
    starts: dict[int, Atoms] = {}
    for index, task in enumerate(tasks):
        atoms = _start(task)
        try:
            check_geometry(atoms, atoms.get_volume())
            starts[index] = atoms
        except StoppedError as stop:
            results[index] = _rejected(stop)
    if starts:
        results.update(zip(starts, _optimize(list(starts.values()), tasks[0], model, tick), strict=True))
    for result in results.values():
        if result.structure is not None and result.energy_per_atom is not None:
            result.energy_per_atom += potential.correction_per_atom(result.structure)
    return [results[index] for index in range(len(tasks))]


def _start(task: Task) -> Atoms:
    """Return the initial atoms of `relax_one`, to the last digit."""
    from pymatgen.io.ase import AseAtomsAdaptor

    atoms = AseAtomsAdaptor.get_atoms(task.structure, msonable=False)
    if task.settings.rattle and len(atoms) > 1:
        atoms.rattle(task.settings.rattle, seed=task.settings.seed)
    return atoms


def _optimize(starts: list[Atoms], task: Task, model: Mapping[str, Any], tick: Tick) -> list[Relaxation]:
    """Run atomate2's maker on structures, and check each final geometry as `relax_one` does."""
    from atomate2.torchsim import core
    from torch_sim.optimizers import Optimizer
    from torch_sim.optimizers.cell_filters import CellFilter

    watch = _Watch([len(atoms) for atoms in starts], [atoms.get_volume() for atoms in starts], task, tick)
    name: Any = "watched"  # the maker looks its convergence function up by name, though it is annotated otherwise
    core.CONVERGENCE_FN_REGISTRY[name] = lambda watch: watch
    maker = core.TorchSimOptimizeMaker(
        optimizer=Optimizer.fire,
        **model,
        convergence_fn=name,
        convergence_fn_kwargs={"watch": watch},
        autobatcher_dict={
            "memory_scales_with": "n_atoms",
            "max_memory_scaler": max(ATOMS_AT_ONCE, *(len(atoms) for atoms in starts)),
        },
        max_steps=task.settings.max_steps,
        steps_between_swaps=1,
        init_kwargs={} if task.fixed_cell else {"cell_filter": CellFilter.frechet},
    )
    extra = EXTRA_EVALUATIONS["fixed cell" if task.fixed_cell else "free cell"]
    for _ in range(extra * len(starts)):
        tick()
    document = maker.make.original(maker, [_structure(atoms) for atoms in starts]).output
    output = document.output
    results = []
    for i, (atoms, end) in enumerate(zip(starts, document.structures, strict=True)):
        account = Relaxation(fmax=watch.fmax[i], steps=watch.steps[i], evaluations=watch.steps[i] + extra)
        values = {"energy": output.energies[i], "forces": output.all_forces[i]}
        if output.stress is not None:
            values["stress"] = output.stress[i]
        volume = atoms.get_volume()
        atoms.set_cell(end.lattice.matrix)
        atoms.set_positions(end.cart_coords)
        results.append(_final_result(account, atoms, volume, values, task.settings))
    return results


def _final_result(
    account: Relaxation, atoms: Atoms, volume: float, values: dict[str, Any], settings: RelaxSettings
) -> Relaxation:
    """Add the final structure and energy to the account of a relaxation, or the reason why it is rejected."""
    try:
        check_geometry(atoms, volume)
        check_results(values, len(atoms))
    except StoppedError as stop:
        return replace(_rejected(stop), steps=account.steps, evaluations=account.evaluations)
    account = replace(account, structure=_structure(atoms), energy_per_atom=values["energy"] / len(atoms))
    if account.fmax is not None and account.fmax < settings.fmax:
        return account
    detail = f"largest force {account.fmax:.3f} eV/A after {account.steps} steps (limit {settings.fmax:g})"
    return replace(account, state="rejected", reason="not_converged", detail=detail)


def _rejected(stop: StoppedError) -> Relaxation:
    return Relaxation(state="rejected", reason=stop.reason, detail=stop.detail)


def _structure(atoms: Atoms) -> Structure:
    return Structure(Lattice(atoms.cell[:]), atoms.get_chemical_symbols(), atoms.positions, coords_are_cartesian=True)


class _Watch:
    """Convergence function that releases a system when it is relaxed, out of steps or unphysical, and counts its steps.

    torch-sim passes the state of the present systems to a convergence function, but not which systems they are. Their
    order tells: the first ones start, those that stay keep their order, and newcomers are last.
    """

    def __init__(self, sizes: list[int], volumes: list[float], task: Task, tick: Tick) -> None:
        self.sizes, self.volumes, self.task, self.tick = sizes, volumes, task, tick
        self.present: list[int] = []
        self.started = 0
        self.steps = [0] * len(sizes)
        self.fmax = [float("nan")] * len(sizes)

    def __call__(self, state: Any, last_energy: Any = None) -> Any:
        import torch

        newcomers = state.n_systems - len(self.present)
        self.present += range(self.started, self.started + newcomers)
        self.started += newcomers
        if state.n_atoms_per_system.tolist() != [self.sizes[i] for i in self.present]:
            raise RuntimeError("torch-sim changed the order of the systems in a batch")
        forces = self._largest_forces(state)
        for i, force in zip(self.present, forces.tolist(), strict=True):
            self.tick()
            self.steps[i] += 1
            self.fmax[i] = force
        spent = torch.tensor([self.steps[i] >= self.task.settings.max_steps for i in self.present], device=state.device)
        leave = (forces < self.task.settings.fmax) | spent | self._unphysical(state, forces)
        self.present = [i for i, gone in zip(self.present, leave.tolist(), strict=True) if not gone]
        return leave

    def _largest_forces(self, state: Any) -> Any:
        from torch_sim import system_wise_max_force

        forces = system_wise_max_force(state)
        return forces if self.task.fixed_cell else forces.maximum(state.cell_forces.norm(dim=2).amax(dim=1))

    def _unphysical(self, state: Any, forces: Any) -> Any:
        """Return a mask of the systems that are outside the limits of `relax_many`."""
        import torch
        from torch_sim.neighbors import torchsim_nl

        sizes = state.n_atoms_per_system
        initial = torch.tensor([self.volumes[i] for i in self.present], device=state.device)
        change = torch.linalg.det(state.cell).abs() / initial
        lost = ~(forces.isfinite() & state.energy.isfinite() & change.isfinite())
        lost[state.system_idx[~state.forces.isfinite().all(dim=1)]] = True
        lost |= (state.energy / sizes).abs() > MAX_ENERGY
        lost |= (change > VOLUME_CHANGE) | (change < 1 / VOLUME_CHANGE)
        shortest = torch.tensor(SHORTEST_DISTANCE, device=state.device, dtype=state.dtype)
        _, close, _ = torchsim_nl(state.positions, state.row_vector_cell, state.pbc, shortest, state.system_idx)
        lost[close.long()] = True
        return lost


def _torchsim_model(potential: Potential, device: str) -> dict[str, Any]:
    """Return the arguments with which a torch-sim maker loads the weights that the potential's options name."""
    import torch
    from atomate2.torchsim.schema import TorchSimModelType

    model_type, path, options = _TORCHSIM_MODELS[potential.factory](dict(potential.options))
    return {
        "model_type": TorchSimModelType[model_type],
        "model_path": path,
        "model_kwargs": {"device": torch.device(device), **options},
    }


def _sevennet(options: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    return "SEVENNET", options.pop("model", "7net-0"), options


def _mace(options: dict[str, Any]) -> tuple[str, str, dict[str, Any]]:
    import torch
    from mace.calculators.foundations_models import download_mace_mp_checkpoint

    name = options.pop("model", None)  # `mace_mp` takes a file too
    path = name if name and Path(name).exists() else download_mace_mp_checkpoint(name)
    return "MACE", path, {"dtype": getattr(torch, options.pop("default_dtype", "float32")), **options}


# by the factory of the ASE calculator: model type, weights and options of the same model in torch-sim
_TORCHSIM_MODELS: dict[str, Callable[[dict[str, Any]], tuple[str, str, dict[str, Any]]]] = {
    "imatgen_flows.energetics.sevennet:sevennet": _sevennet,
    "mace.calculators:mace_mp": _mace,
}
