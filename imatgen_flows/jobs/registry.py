"""The registry of jobs: each is declared once, where it is defined, and found here by its name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from imatgen_flows.jobs.documents import JobDocument
from imatgen_flows.profiles import Profile
from imatgen_flows.registry import Entry, Registry


@dataclass(frozen=True)
class JobSpec(Entry):
    """What the rest of the program needs to know of a job.

    Parameters
    ----------
    name : of its function; the keys of its documents begin with it
    label : its name in the log, in FireWorks and in `imatgen status`; fields such as ``{role}`` are filled from its inputs
    description : first sentence of its docstring
    profile : SLURM profile that it runs with
    document : type of the document that it returns, its role in the provenance of others; None for a job that only makes
        other jobs or hands plain values on
    job : the job function, which makes jobflow's job
    """

    profile: Profile
    document: type[JobDocument] | None
    job: Callable[..., Any]

    def title(self, inputs: Mapping[str, Any]) -> str:
        """Return the label of one job, its fields filled from the inputs."""
        fields = {name for _, name, *_ in Formatter().parse(self.label) if name}
        return self.label.format_map({name: inputs[name] for name in fields})


JOBS: Registry[JobSpec] = Registry("job")


def all_jobs() -> Registry[JobSpec]:
    """Return the registry after every module of `imatgen_flows.jobs` has declared its jobs."""
    package = importlib.import_module("imatgen_flows.jobs")
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
    return JOBS
