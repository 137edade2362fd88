"""The device of a job: a GPU or the CPU, with its threads and worker processes."""

from __future__ import annotations

from typing import TypedDict

from imatgen_flows.errors import InputError
from imatgen_flows.settings import get_settings


class RelaxationResources(TypedDict):
    """What relaxations run on: the device, and the number of processes."""

    device: str
    workers: int


def use_device() -> str:
    """Choose the device of the networks, and set the number of threads that they use on a CPU.

    Raises
    ------
    InputError
        Where the settings ask for a GPU and there is none.
    """
    import torch

    settings = get_settings()
    torch.set_num_threads(settings.threads)
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "IMATGEN_DEVICE is `cuda`, but torch sees no GPU here. Set it to `auto` or `cpu`, or use a GPU node."
        )
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


def relaxation_resources() -> RelaxationResources:
    """Choose the device and the number of processes of relaxations: one process on a GPU."""
    device = use_device()
    return {"device": device, "workers": get_settings().n_workers if device == "cpu" else 1}
