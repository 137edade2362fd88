"""A short trial of this machine: what an evaluation, a step of training and a sample take here. Or recorded rates."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig
from imatgen_flows.energetics.evaluation_cost import EvaluationCost, measure_cost
from imatgen_flows.errors import ImatgenError

if TYPE_CHECKING:
    from imatgen_flows.energetics.potential_registry import Potential
    from imatgen_flows.jobs.build_dataset import CollectedDataset
    from imatgen_flows.models.training_cost import NetworkCost

# s, of CHGNet and of the preset `default`, on one of two cores of a cloud machine without a GPU: what `imatgen plan` measured
# there for 272 structures of V-O. A cell autoencoder that is trained and the prior were not among them: guesses
RECORDED_POTENTIAL = EvaluationCost(base=0.02, each=0.004, energy_base=0.008, energy_each=0.0012, startup=6.0)
RECORDED_STEPS = {"cell": 0.3, "basis": 0.11, "vae": 0.06, "prior": 0.03}


@dataclass(frozen=True)
class MachineRates:
    """What the parts of a campaign take on a machine.

    Attributes
    ----------
    potential : evaluations of the potential of the screening
    members : the same of the potentials of the committee that know the elements
    networks : of training and sampling; None where the campaign has no generator
    trial : s, that the measurement took; 0 where the rates are recorded ones
    """

    potential: EvaluationCost
    members: list[EvaluationCost] = field(default_factory=list)
    networks: NetworkCost | None = None
    trial: float = 0.0


def recorded_rates(config: CampaignConfig) -> MachineRates:
    """Return rates that were recorded on another machine: of CHGNet, whatever the potential, and of the default preset."""
    from imatgen_flows.models.training_cost import NetworkCost

    networks = NetworkCost(steps=RECORDED_STEPS, encode=0.004, decode=0.003, read=0.005, invert=0.003)
    members = [RECORDED_POTENTIAL] * len(config.committee.potentials)
    return MachineRates(RECORDED_POTENTIAL, members, networks if config.sources.uses_generator else None)


def measure_rates(config: CampaignConfig, potentials: Sequence[Potential], dataset: CollectedDataset) -> MachineRates:
    """Time a few evaluations of each potential on crystals of the dataset, and a few steps of training of each network.

    Parameters
    ----------
    config : the campaign
    potentials : that of the screening, then the members of the committee
    dataset : what the networks will learn

    Raises
    ------
    ImatgenError
        Where the potential of the screening cannot be loaded or cannot evaluate a structure.
    """
    from imatgen_flows.jobs.dataset_rows import structure_of

    began = time.monotonic()
    structures = [structure_of(row) for row in dataset.rows]
    screening, members = measure_cost(potentials[0], structures), []
    for member in potentials[1:]:
        try:
            members.append(measure_cost(member, structures))
        except ImatgenError:  # it does not know an element, and will lose its votes: `imatgen check` says so
            continue
    networks = _measure_networks(config, dataset) if config.sources.uses_generator else None
    return MachineRates(screening, members, networks, time.monotonic() - began)


def _measure_networks(config: CampaignConfig, dataset: CollectedDataset) -> NetworkCost:
    from imatgen_flows.crystals.system import chemical_system
    from imatgen_flows.jobs.dataset_rows import structure_of, trained_rows
    from imatgen_flows.jobs.device import use_device
    from imatgen_flows.jobs.networks import preset_of
    from imatgen_flows.models.training_cost import measure_network_cost
    from imatgen_flows.representation import pack

    rows = [dataset.rows[row] for row in trained_rows(dataset.rows, config.model)]
    crystals = pack([structure_of(row) for row in rows], tuple(chemical_system(config.system)))
    return measure_network_cost(preset_of(config.model), crystals, config.model.seed, use_device())
