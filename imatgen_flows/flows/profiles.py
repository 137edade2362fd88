"""Assignment of SLURM profiles to the jobs of a flow, and to those that they make while the campaign runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobflow import Flow
from jobflow.core.job import store_inputs

from imatgen_flows.energetics.backends import BACKENDS, NONE
from imatgen_flows.jobs.registry import all_jobs
from imatgen_flows.profiles import Profile


def assign_profiles(flow: Flow, manager_configs: Mapping[str, dict[str, Any]], backend: str = NONE) -> None:
    """Give every job the configuration of the profile that it is declared with.

    Jobs that are not in the registry are atomate2's: they get the profile of the back end. Only jobflow's own `store_inputs`,
    which copies an output, is light.

    Parameters
    ----------
    flow : changed in place
    manager_configs : by profile, what jobflow hands to the manager as it is
    backend : of the validation
    """
    profiles: list[tuple[Any, Profile]] = [(None, BACKENDS[backend].profile), (store_inputs, Profile.LIGHT)]
    profiles += [(spec.job, spec.profile) for spec in all_jobs()]
    for job, profile in profiles:
        # a job must not hand its own profile on to the jobs that it makes
        config = {"manager_config": manager_configs[profile.value], "pass_manager_config": False}
        flow.update_config(config, function_filter=job, dynamic=True)
