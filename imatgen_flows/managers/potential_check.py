"""Checks of the potentials that a campaign names: each is loaded as its jobs load it, and evaluates one crystal."""

from __future__ import annotations

import os
import shlex
import socket
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.cluster import OPTIONAL, ClusterConfig
from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.potential_registry import POTENTIALS, Potential
from imatgen_flows.energetics.potentials import describe_functionals, describe_shared_training
from imatgen_flows.errors import ImatgenError
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.managers.checks import Check
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.energetics.relax import Relaxation

PATIENCE = 300.0  # s for one of the trial crystals, of five atoms at most
# the atoms of a trial crystal stand in no order that nature chose: an energy that is too high there is no fault
NO_VOTES = "It will lose its votes."
HARMLESS = ("", "not_converged", "diverged")


def check_potentials(config: CampaignConfig) -> list[Check]:
    """Load the potentials of a campaign, and the force field of its validation where there is one, and evaluate a crystal.

    Each runs in a process of its own, as in a job: one that crashes is a failed check.
    """
    checks = [check_potential(config.screen.potential, config.system)]
    members = [check_potential(name, config.system, votes=True) for name in config.committee.potentials]
    checks += members
    if members and all(NO_VOTES in check.detail for check in members):
        checks.append(Check("committee", False, "none of its potentials can vote on this system: name others."))
    names = [config.screen.potential, *config.committee.potentials]
    if said := " ".join(filter(None, (describe_shared_training(names), describe_functionals(names)))):
        checks.append(Check("committee", True, said))
    further = config.phonons.potential
    if config.phonons.at_most and further and further != config.screen.potential:
        checks.append(check_potential(further, config.system))
    if config.validation.is_wanted and not BACKENDS[config.validation.backend].is_vasp:
        name = config.validation.force_field
        force_field = Potential(
            f"{name} by atomate2",
            name,
            "The force field of the validation.",
            factory="imatgen_flows.flows.dft_makers:force_field_calculator",
            package="atomate2",
            options={"name": name},
        )
        checks.append(check_potential(force_field, config.system))
    return checks


def check_potential(potential: str | Potential, system: list[str], *, votes: bool = False) -> Check:
    """Check that a potential loads, and has an energy and forces for the elements of a system.

    Parameters
    ----------
    potential : see `get_potential`
    system : element symbols
    votes : whether it is a member of a committee, which only loses its votes where it does not know an element
    """
    title = f"potential {potential.name if isinstance(potential, Potential) else potential}"
    try:
        found = installed_potential(potential)
        whole, *alone = _try_crystals(found, tuple(system))
    except ImatgenError as error:
        loads = "cannot start" in str(error) or "cannot be started" in str(error)
        return Check(title, False, f"{_sentence(str(error))}{_cure_of_loading(potential) if loads else ''}")
    names = " and ".join(system)
    if whole.reason in HARMLESS:
        said = describe_installed(found)
        energy = f"{whole.energy_per_atom:.3f} eV/atom" if whole.energy_per_atom is not None else whole.detail
        return Check(title, True, f"{said}; {energy} for a trial crystal of {names}")
    unknown = {element: result for element, result in zip(system, alone, strict=True) if result.reason not in HARMLESS}
    blamed = f"it fails for {' and '.join(unknown)} alone" if unknown else "it fails for these together"
    reason = _reason(next(iter(unknown.values()), whole))
    cure = NO_VOTES if votes else "Choose another potential, or another system."
    return Check(title, votes, f"no energy for a trial crystal of {names}: {blamed} ({reason}). {cure}")


def describe_installed(potential: Potential) -> str:
    """Name the energy scale, the version of the package, and the interpreter where that is one of its own."""
    said = f"{potential.scale}, package version {potential.version or 'none'}"
    return f"{said}, in {potential.interpreter}" if potential.interpreter else said


def node_check(directory: Path, campaign: Path) -> Check | None:
    """Say how to repeat the check of the potentials on a compute node, which may have no internet; None within a job."""
    if "SLURM_JOB_ID" in os.environ:
        return None
    directory = directory.expanduser().absolute()
    profile = ClusterConfig.from_directory(directory).profiles[Profile.GPU_RELAX.value]
    asked = {"partition": profile.partition, "mem": profile.memory, "time": "10"}
    asked |= {name: getattr(profile, name) for name in OPTIONAL}
    options = [*(f"--{name}={value}" for name, value in asked.items() if value), *profile.sbatch]
    inner = (
        f". {shlex.quote(str(directory / 'env.sh'))} && {shlex.join(['imatgen', 'check', str(campaign.absolute())])}"
    )
    command = shlex.join(["srun", *options, "bash", "-c", inner])
    return Check("potentials on nodes", True, f"loaded on {socket.gethostname()} alone; on a compute node: {command}")


@lru_cache  # the plan, the checks and a run ask for the same in one process
def _try_crystals(potential: Potential, system: tuple[str, ...]) -> list[Relaxation]:
    """Evaluate a crystal of all elements, and, to find which one a fault lies with, one of each alone."""
    from imatgen_flows.energetics.relax import RelaxSettings, relax_many

    crystals = [trial_crystal(system), *(trial_crystal((element,)) for element in system)]
    one_step = RelaxSettings(max_steps=1)  # a single point would calculate no forces
    return relax_many(crystals, potential, one_step, fixed_cell=True, workers=1, timeout=PATIENCE)


def trial_crystal(system: tuple[str, ...]) -> Structure:
    """Build a crystal with one atom of each element, in a row of cubes, at the volume that crystals of them have."""
    from pymatgen.core import Composition, Lattice, Structure

    from imatgen_flows.crystals.volumes import expected_volume

    number = len(system)
    places = [[0, 0, index / number] for index in range(number)]
    crystal = Structure(Lattice.tetragonal(3, 3 * number), list(system), places)
    return crystal.scale_lattice(expected_volume(Composition("".join(system))))


def _cure_of_loading(potential: str | Potential) -> str:
    if isinstance(potential, str) and potential not in POTENTIALS:
        return f" The function `{potential}` is called with `device`, and must return an ASE calculator."
    return " Weights that are downloaded at first use must be loaded once where there is internet."


def _sentence(text: str) -> str:
    """End with a full stop what a library says without one."""
    text = text.rstrip()
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _reason(result: Relaxation) -> str:
    return result.detail or result.reason.replace("_", " ")
