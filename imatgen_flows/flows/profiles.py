"""What each job asks of a cluster: four profiles, for the jobs of a flow and for those that it makes while it runs."""

from __future__ import annotations

from typing import Any

from jobflow import Flow

# a job whose name holds the text gets the profile; what nothing names is light
PROFILE_OF = {
    "train": "gpu_train",
    "sample": "gpu_train",
    "reconstruction": "gpu_train",
    "relax": "gpu_relax",
    "label": "gpu_relax",
    "hull": "gpu_relax",
    "MP": "cpu_vasp",  # atomate2's makers of the Materials Project; it comes last, since some of them relax
}
DEFAULT_PROFILE = "light"


def assign_profiles(flow: Flow, manager_configs: dict[str, dict[str, Any]]) -> None:
    """Give every job the configuration of its profile.

    Parameters
    ----------
    flow : changed in place
    manager_configs : by profile, what jobflow hands to the manager as it is
    """
    for text, profile in (("", DEFAULT_PROFILE), *PROFILE_OF.items()):
        # a job must not hand its own profile on to the jobs that it makes
        config = {"manager_config": manager_configs[profile], "pass_manager_config": False}
        flow.update_config(config, name_filter=text, dynamic=True)
