"""Data-parallel training by several processes that torchrun starts: each takes its part of every batch."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from imatgen_flows.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one training; `ProcessGroup()` is a single process, for which every method does nothing.

    The result is that of one process with the whole batch, up to rounding and three differences: each process draws
    noise of its own; a batch normalisation sees the statistics of a part of the batch, as those of a smaller batch, and
    the running averages that are kept are those of process 0; and a loss that is no mean over items (`balanced`, over
    voxels) is averaged over the parts.

    Attributes
    ----------
    rank : of this process, from 0
    size : number of processes
    device : device of the tensors that are exchanged
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    def part(self, items: Tensor) -> Tensor:
        """Return the part of a batch for this process: two items or more, since one has no variance, or else none."""
        parts = min(self.size, max(1, len(items) // 2))
        return items.tensor_split(parts)[self.rank] if self.rank < parts else items[:0]

    def read(self, read: Callable[[], T]) -> T:
        """Read data in the first process and send them to the others, which need not have its disk."""
        message: list[T | None] = [read() if self.rank == 0 else None]
        if self.size > 1:
            dist.broadcast_object_list(message)
        return cast("T", message[0])

    def align(self, model: nn.Module) -> None:
        """Copy the weights and running averages of the first process to all others."""
        if self.size > 1:
            for value in model.state_dict().values():
                message = value.contiguous()  # channels may be last
                dist.broadcast(message, 0)
                value.copy_(message)

    def add_gradients(self, model: nn.Module) -> None:
        """Sum the gradients of all processes, in one message; those of a process without items are zero."""
        if self.size == 1:
            return
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        message = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(message)
        for weight, gradient, total in zip(
            weights, gradients, message.split([g.numel() for g in gradients]), strict=True
        ):
            weight.grad = gradient.copy_(total.view_as(gradient))

    def sum(self, value: float) -> float:
        """Return the sum of a number over all processes."""
        return self._reduce(value, dist.ReduceOp.SUM)

    def largest(self, value: int) -> int:
        """Return the maximum of a number over all processes."""
        return int(self._reduce(value, dist.ReduceOp.MAX))

    def gather(self, rows: list[T]) -> list[T]:
        """Return the rows of all processes, in the order of their ranks."""
        if self.size == 1:
            return rows
        found: list[list[T]] = [[] for _ in range(self.size)]
        dist.all_gather_object(found, rows)
        return [row for part in found for row in part]

    def _reduce(self, value: float, operation: dist.ReduceOp.RedOpType) -> float:
        if self.size == 1:
            return value
        message = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(message, operation)
        return message.item()


def initialise(device: str) -> ProcessGroup:
    """Initialise the process group, where torchrun started several processes (WORLD_SIZE).

    On GPUs each process uses the one of its LOCAL_RANK.

    Raises
    ------
    InputError
        Where WORLD_SIZE is more than one, but torchrun did not start them.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup(device=device)
    if missing := {"RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"} - set(os.environ):
        raise InputError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {', '.join(sorted(missing))} are not set. Start several "
            "processes with torchrun, or unset WORLD_SIZE to train with this one."
        )
    if not dist.is_initialized():
        if device.startswith("cuda"):
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        # kept for the next training: a second group at the same address may read what the first left there
        atexit.register(dist.destroy_process_group)
    return ProcessGroup(dist.get_rank(), dist.get_world_size(), device)
