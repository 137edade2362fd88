"""The training loop: it can be killed at any moment, and continues from its checkpoint with the same result."""

from __future__ import annotations

import io
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypedDict

import torch
from torch import Tensor, nn

from imatgen_flows.errors import ImatgenError, Interrupted
from imatgen_flows.io.files import write_atomic
from imatgen_flows.models.distributed import ProcessGroup, initialise
from imatgen_flows.observer import observer, report_count

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.jsonl"

LossOfBatch: TypeAlias = Callable[[nn.Module, Tensor, torch.Generator], Tensor]


class Epoch(TypedDict):
    """The record of one epoch of a training."""

    epoch: int  # from 1
    loss: float  # mean over its batches
    learning_rate: float  # of its last step
    seconds: float  # wall time since the start of the training


History: TypeAlias = list[Epoch]


class TrainingInterrupted(Interrupted):
    """A signal stopped the training; its checkpoint is on disk."""


class CheckpointError(ImatgenError):
    """A checkpoint cannot be used."""


@dataclass(frozen=True)
class Schedule:
    """Number of epochs, batch size and learning rate of a training."""

    epochs: int
    batch_size: int
    learning_rate: float
    cosine: bool = False  # warm up over 2 % of the steps, then anneal to zero
    min_steps: int = 0  # more epochs for a small dataset
    clip: float | None = None  # largest norm of the gradient

    def total_epochs(self, n_items: int) -> int:
        """Return the number of epochs, which reach both `epochs` and `min_steps`."""
        return max(self.epochs, math.ceil(self.min_steps / self.steps_per_epoch(n_items)))

    def steps_per_epoch(self, n_items: int) -> int:
        """Return the number of batches of an epoch; a last batch of one item is dropped, since it has no variance."""
        whole, rest = divmod(n_items, self.batch_size)
        return max(1, whole + (rest > 1))

    def n_steps(self, n_items: int) -> int:
        """Return the number of steps of the whole training."""
        return self.total_epochs(n_items) * self.steps_per_epoch(n_items)

    def rate(self, step: int, n_steps: int) -> float:
        """Return the learning rate of a step."""
        if not self.cosine:
            return self.learning_rate
        done = step / n_steps
        return self.learning_rate * min(1.0, done * 50 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))


def train(
    model: nn.Module,
    loss_of_batch: LossOfBatch,
    n_items: int,
    schedule: Schedule,
    seed: int,
    directory: Path,
    label: str = "training",
    save_every: float = 20.0,
) -> History:
    """Train a model, with checkpoints in `directory`; continue from one that is there.

    The random numbers of a step depend on (seed, epoch, step) alone, so that a training that was killed and continued has
    the same batches with the same noise as one that was not.

    Under torchrun every process takes its part of each batch (`ProcessGroup` has what that changes); the first one alone
    reads and writes files. A signal to any of them stops all after the same step, and another number of processes may
    continue.

    Parameters
    ----------
    model : on its device; left in evaluation mode with the final weights
    loss_of_batch : called with the model, indices (B,) of the items, and a CPU random generator; returns the loss
    n_items : number of training items
    schedule : epochs, batch size, learning rate
    seed : of the data order and of all noise
    directory : for `checkpoint.pt` and `metrics.jsonl`, one JSON line an epoch
    label : shown at the progress bar
    save_every : seconds between checkpoints

    Returns
    -------
    one record for each epoch

    Raises
    ------
    TrainingInterrupted
        After SIGTERM or SIGUSR1 (which SLURM sends before the walltime); a checkpoint has been written.
    CheckpointError
        Where the checkpoint is corrupt, or belongs to another model, dataset or schedule.
    ImatgenError
        Where the loss is not finite, naming the items of the batch; or where a GPU's memory does not hold two items.
    """
    epochs, per_epoch = schedule.total_epochs(n_items), schedule.steps_per_epoch(n_items)
    n_steps = epochs * per_epoch
    optimiser = torch.optim.Adam(model.parameters(), schedule.learning_rate, fused=True)
    identity = {"n_items": n_items, "seed": seed, **asdict(schedule)}
    group = initialise(next(model.parameters()).device.type)
    step, total, history = _restore(directory, identity, model, optimiser, group)
    group.align(model)
    began = time.monotonic() - (history[-1]["seconds"] if history else 0.0)
    saved, saved_step, parts = time.monotonic(), step, 1
    with _stop_signals() as stop, _progress(n_steps, step, label, group) as bar:
        model.train()
        while step < n_steps:
            epoch, index = divmod(step, per_epoch)
            order = torch.randperm(n_items, generator=_generator(seed, epoch, -1))
            items = order[index * schedule.batch_size : (index + 1) * schedule.batch_size]
            rate = schedule.rate(step, n_steps)
            for parameters in optimiser.param_groups:
                parameters["lr"] = rate
            draw = (seed, epoch, index + group.rank * per_epoch)
            share = len(group.part(items)) / len(items)
            loss, parts = _gradients(model, optimiser, loss_of_batch, group.part(items), share, draw, parts, label)
            group.add_gradients(model)
            loss = group.sum(loss)
            if not math.isfinite(loss):
                kept = f"{directory / CHECKPOINT} holds good weights" if saved_step else "no weights were kept yet"
                raise ImatgenError(
                    f"{label}: the loss is not finite at step {step + 1} of {n_steps}, on the items {_some(items)}; {kept}. "
                    "Lower the learning rate of the preset, or look for a broken structure among these."
                )
            if schedule.clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
            optimiser.step()
            total += loss
            step += 1
            report_count(step, n_steps, f"steps of the {label}")
            bar.update()
            if step % per_epoch == 0:
                seconds = round(time.monotonic() - began, 3)
                history.append(Epoch(epoch=epoch + 1, loss=total / per_epoch, learning_rate=rate, seconds=seconds))
                bar.set_postfix(loss=f"{total / per_epoch:.4f}")
                total = 0.0
                if group.rank == 0:
                    _write_metrics(directory, history)
            signalled = group.largest(stop[0] if stop else 0)
            if step == n_steps or signalled or time.monotonic() - saved > save_every:
                if group.rank == 0:
                    _save(directory, identity, model, optimiser, step, total, history)
                saved, saved_step = time.monotonic(), step
            if signalled:
                raise TrainingInterrupted(
                    f"{label}: stopped by a signal after step {step} of {n_steps}; the checkpoint in {directory} continues.",
                    signalled,
                )
    group.align(model)
    model.eval()
    return history


def accelerated(device: str) -> AbstractContextManager[Any]:
    """Compute in bfloat16 on a GPU, where that is faster; around a network alone, never around the rendering of images."""
    return torch.autocast("cuda", torch.bfloat16) if device.startswith("cuda") else nullcontext()


def _gradients(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of_batch: LossOfBatch,
    items: Tensor,
    share: float,
    draw: tuple[int, int, int],
    parts: int,
    label: str,
) -> tuple[float, int]:
    """Compute the gradients of a batch, in several parts where a GPU's memory does not hold it.

    Parameters
    ----------
    model, optimiser, loss_of_batch, items, label : as for `train`
    share : of the whole batch that the items are: 1, or less where other processes have the rest
    draw : seed, epoch and step, for the random generator
    parts : number of parts that batches have been taken in so far; it doubles where a GPU runs out of memory

    Returns
    -------
    the loss, and the number of parts
    """
    while True:
        optimiser.zero_grad()
        generator, total = _generator(*draw), 0.0
        if not len(items):
            return total, parts
        try:
            for part in items.chunk(parts):
                loss = loss_of_batch(model, part, generator) * (share * len(part) / len(items))
                loss.backward()
                total += loss.item()
            return total, parts
        except torch.OutOfMemoryError:
            if 4 * parts > len(items):  # a part of one item has no variance
                raise ImatgenError(
                    f"{label}: {len(items)} items do not fit into the memory of the GPU, not even {len(part)} at a time. "
                    "Choose a smaller grid, or another GPU."
                ) from None
            parts *= 2
            torch.cuda.empty_cache()
            logger.warning(
                "%s: the GPU is out of memory; batches of %d are taken in %d parts", label, len(items), parts
            )


def _some(items: Tensor) -> str:
    """List the first ten items for an error message."""
    shown = ", ".join(map(str, items[:10].tolist()))
    return shown if len(items) <= 10 else f"{shown} and {len(items) - 10} more"


def _generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """Return the random generator of a step, or of the order of an epoch, whose index is -1."""
    # a large odd stride keeps the streams of neighbouring epochs and steps apart; torch takes seeds of 64 bits
    return torch.Generator().manual_seed(((seed * 1_000_003 + epoch) * 1_000_003 + index + 1) % 2**63)


Identity: TypeAlias = dict[str, int | float | bool | None]  # number of items, seed and schedule of a training


def _restore(
    directory: Path, identity: Identity, model: nn.Module, optimiser: torch.optim.Optimizer, group: ProcessGroup
) -> tuple[int, float, History]:
    """Load a checkpoint, where there is one; return the step, the summed loss of its epoch so far, and the history."""
    path = directory / CHECKPOINT
    advice = "Delete the file to train from the start."
    state = group.read(lambda: _read(path, identity, advice))
    if state is None:
        return 0, 0.0, []
    try:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        return state["step"], state["total"], state["history"]
    except (KeyError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path} is of another network: {error}. {advice}") from error


def _read(path: Path, identity: Identity, advice: str) -> dict[str, Any] | None:
    """Read a checkpoint and check that it belongs to this training."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        found = state["identity"]
    except Exception as error:
        raise CheckpointError(f"checkpoint {path} is corrupt ({type(error).__name__}). {advice}") from error
    if found != identity:
        raise CheckpointError(f"checkpoint {path} belongs to another training: {found}, not {identity}. {advice}")
    return state


def _save(
    directory: Path,
    identity: Identity,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    total: float,
    history: History,
) -> None:
    """Write a checkpoint."""
    state = {
        "identity": identity,
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "total": total,
        "history": history,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    # written by Python: torch's own writer hides a full disk behind a RuntimeError
    write_atomic(directory / CHECKPOINT, buffer.getvalue())


def _write_metrics(directory: Path, history: History) -> None:
    """Rewrite all lines: a continued training must not repeat the epochs after its checkpoint."""
    write_atomic(directory / METRICS, "".join(json.dumps(row) + "\n" for row in history))


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Record SIGTERM and SIGUSR1 in a list, so that the step in progress is finished first."""
    stop: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    names = (signal.SIGTERM, signal.SIGUSR1)
    before = {name: signal.signal(name, lambda number, _: stop.append(number)) for name in names}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


class _Bar(Protocol):
    """The part of a tqdm progress bar that is used here."""

    def update(self) -> object: ...

    def set_postfix(self, **_: str) -> object: ...


class _Silent:
    """A progress bar that shows nothing."""

    def update(self) -> None: ...

    def set_postfix(self, **_: str) -> None: ...


@contextmanager
def _progress(n_steps: int, step: int, label: str, group: ProcessGroup) -> Iterator[_Bar]:
    """Show a progress bar where nobody observes: on a terminal only, and where a bare GPU node does not lack tqdm."""
    hide = True if group.rank or observer() else None
    try:
        from tqdm import tqdm
    except ImportError:
        yield _Silent()
        return
    with tqdm(total=n_steps, initial=step, desc=label, disable=hide, unit="step", leave=False) as bar:
        yield bar
