"""The time of each stage of a campaign, before it runs: what the stage does, times what that takes on this machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.calculations import collect_calculations
from imatgen_flows.jobs.committee import relax_member_references, relax_member_shortlist
from imatgen_flows.jobs.filter_candidates import filter_candidates
from imatgen_flows.jobs.known_elsewhere import known_elsewhere
from imatgen_flows.jobs.label_dataset import label_dataset
from imatgen_flows.jobs.phonons import compute_phonons
from imatgen_flows.jobs.propose_candidates import propose_candidates
from imatgen_flows.jobs.reconstruction import evaluate_reconstruction
from imatgen_flows.jobs.references import extend_hull, relax_references
from imatgen_flows.jobs.registry import JOBS
from imatgen_flows.jobs.relax_batch import relax_batch
from imatgen_flows.jobs.sample_candidates import sample_candidates
from imatgen_flows.jobs.screen_batches import LARGEST_BATCH
from imatgen_flows.jobs.train import train_autoencoder, train_vae
from imatgen_flows.managers.stages import CampaignStage
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.profiles import Profile

if TYPE_CHECKING:
    from imatgen_flows.managers.trial import MachineRates

# s; nothing of these is timed in a trial. Of a campaign of 160 samples on one core that four processes shared
EACH_JOB = 1.0  # its inputs read and its results written
EACH_SAMPLE_EXAMINED = 0.05  # a sample made a structure, and its validity checked
EACH_SAMPLE_FILTERED = 0.03  # compared with the others and with what is known
EACH_PROPOSED = 0.3  # a candidate chosen and admitted
EACH_LOOKED_UP = 0.5  # a relaxed candidate, in databases too
# the factor by which a stage of a profile may take more, or less: relaxations differ in their number of steps. Of what was
# planned and taken in docs/how-to/campaigns.md
RANGES = {Profile.LIGHT: 3.0, Profile.GPU_TRAIN: 1.6, Profile.GPU_RELAX: 2.0, Profile.CPU_VASP: 3.0}
RECORDED_RANGE = 4.0  # of all, by rates of another machine


@dataclass(frozen=True)
class StageTime:
    """The planned time of one stage.

    Attributes
    ----------
    title, round : as of `CampaignStage`
    seconds : s; None where nothing is known of it, as of DFT
    low, high : the range in which it probably is, s
    """

    title: str
    round: int
    seconds: float | None
    low: float
    high: float


@dataclass(frozen=True)
class CampaignCounts:
    """How much each kind of stage has to do.

    Attributes
    ----------
    seconds : of evaluations by purpose, s, all rounds together
    rounds : that are planned
    dataset : s, that it took to build the dataset for the plan
    published : share of the evaluations of references that the published phases need, before the hull is extended
    items : of the training of each network, by role
    held_out : training structures that the networks do not see
    """

    seconds: Mapping[str, float]
    rounds: int
    dataset: float
    published: float
    items: Mapping[str, int]
    held_out: int


def stage_times(
    config: CampaignConfig, stages: Sequence[CampaignStage], counts: CampaignCounts, rates: MachineRates
) -> list[StageTime]:
    """Estimate the time of each stage.

    Parameters
    ----------
    config : the campaign
    stages : of it, those of rounds that are not planned left out
    counts : how much is to be done
    rates : of this machine
    """
    times = []
    for stage in stages:
        seconds = _seconds(config, stage, counts, rates)
        factor = RANGES[JOBS[stage.job].profile] if rates.trial else RECORDED_RANGE
        known = seconds or 0.0
        times.append(StageTime(stage.title, stage.round, seconds, known / factor, known * factor))
    return times


def _seconds(config: CampaignConfig, stage: CampaignStage, counts: CampaignCounts, rates: MachineRates) -> float | None:
    """Estimate the time of one stage, s; None for DFT."""
    if stage.job == collect_calculations.spec.name:
        return None
    own = {**_of_potential(config, stage, counts, rates), **_of_networks(config, stage, counts, rates)}
    relaxed = min(config.screen.at_most, config.sampling.total or config.screen.at_most)
    samples = config.sampling.total if config.sources.uses_generator else 0
    own |= {
        build_dataset.spec.name: lambda: counts.dataset,
        filter_candidates.spec.name: lambda: samples * EACH_SAMPLE_FILTERED,
        propose_candidates.spec.name: lambda: relaxed * EACH_PROPOSED / config.sources.number_of_batches,
        known_elsewhere.spec.name: lambda: relaxed * EACH_LOOKED_UP,
    }
    return EACH_JOB + own.get(stage.job, lambda: 0.0)()


def _of_potential(
    config: CampaignConfig, stage: CampaignStage, counts: CampaignCounts, rates: MachineRates
) -> dict[str, Callable[[], float]]:
    """Say what the stages take that a potential evaluates in, s."""
    members = max(1, len(config.committee.potentials))
    start = rates.potential.startup

    def share(purpose: str, of: float = 1.0) -> float:
        return start + of * counts.seconds.get(purpose, 0.0)

    first = stage.round == 1
    chosen = config.screen.at_most / config.sources.number_of_batches
    jobs = max(1, math.ceil(chosen / (config.screen.batch_size or LARGEST_BATCH)))
    return {
        relax_references.spec.name: lambda: share("references", counts.published),
        extend_hull.spec.name: lambda: share("references", 1 - counts.published),
        label_dataset.spec.name: lambda: share("labels"),
        relax_batch.spec.name: lambda: (
            (jobs - 1) * start + share("screen", 1 / counts.rounds / config.sources.number_of_batches)
        ),
        # a member finds the references of the first round in the later ones
        relax_member_references.spec.name: lambda: share("committee references", first / members),
        relax_member_shortlist.spec.name: lambda: share("committee", 1 / counts.rounds / members),
        compute_phonons.spec.name: lambda: share("phonons", 1 / counts.rounds),
    }


def _of_networks(
    config: CampaignConfig, stage: CampaignStage, counts: CampaignCounts, rates: MachineRates
) -> dict[str, Callable[[], float]]:
    """Say what the stages take that train and use the networks, s."""
    from imatgen_flows.jobs.networks import preset_of, starting_file

    networks = rates.networks
    if networks is None:
        return {}
    model = config.model
    further = stage.round > 1 or starting_file(model) is not None
    preset = preset_of(model.model_copy(update={"epochs": model.epochs * model.fine_tune}) if further else model)
    roles = [role.value for role in ModelRole if role is not ModelRole.VAE]
    # `train {role} autoencoder`: the title names the role
    role = next((role for role in roles if train_autoencoder.spec.title({"role": role}) == stage.title), "")
    crystals = counts.items[ModelRole.VAE.value]
    return {
        train_autoencoder.spec.name: lambda: networks.training(preset, role, counts.items),
        train_vae.spec.name: lambda: networks.training(preset, ModelRole.VAE.value, counts.items),
        evaluate_reconstruction.spec.name: lambda: networks.reconstruct(crystals, counts.held_out),
        sample_candidates.spec.name: lambda: (
            config.sampling.total * (networks.sample(preset) + EACH_SAMPLE_EXAMINED) + crystals * networks.encode
        ),
    }
