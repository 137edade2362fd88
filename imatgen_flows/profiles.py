"""The SLURM profiles: each job runs with the resources of one of them."""

from __future__ import annotations

from imatgen_flows.registry import DescribedEnum


class Profile(DescribedEnum):
    """What kind of node a job needs. The cluster file says what each profile asks of the queue.

    Examples
    --------
    >>> Profile("gpu_train").label
    'Training'
    """

    LIGHT = "light", "Light", "Bookkeeping: templates, filters, ranking."
    GPU_TRAIN = "gpu_train", "Training", "Training and sampling of the networks."
    GPU_RELAX = "gpu_relax", "Relaxation", "Relaxations and single points with a potential."
    CPU_VASP = "cpu_vasp", "DFT", "DFT."
