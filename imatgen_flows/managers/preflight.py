"""Checks and plan of a campaign before it starts: whether it can run here, what it will do, and what that costs."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from imatgen_flows.config import CampaignConfig, Rounds, Screen
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.energetics.hull_basis import HullBasis
from imatgen_flows.errors import ImatgenError, InputError, Interrupted
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.managers.checks import Check, refuse_faults
from imatgen_flows.managers.dft_check import check_dft, check_dft_elements
from imatgen_flows.managers.elsewhere_check import check_elsewhere
from imatgen_flows.managers.phonon_plan import plan_phonons
from imatgen_flows.managers.plan import Plan
from imatgen_flows.managers.plan_costs import committee_evaluations, seconds_by_purpose, sites_by_purpose
from imatgen_flows.managers.potential_check import check_potentials, describe_installed
from imatgen_flows.managers.search_check import check_search, describe_search
from imatgen_flows.managers.source_check import check_sources, describe_sources, refuse_nothing_to_propose
from imatgen_flows.managers.stage_times import CampaignCounts, stage_times
from imatgen_flows.managers.stages import CampaignStage, campaign_stages
from imatgen_flows.managers.trial import measure_rates, recorded_rates
from imatgen_flows.models.registry import ModelRole
from imatgen_flows.settings import get_settings
from imatgen_flows.sources.registry import FILES

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from imatgen_flows.crystals.exclusion import Exclusion
    from imatgen_flows.energetics.references import ReferencePhase
    from imatgen_flows.models.model_file import ModelCard

logger = logging.getLogger(__name__)

FREE_DISK = 2.0  # GB that a campaign may need
CURE_OF_HULL = "Give `known` a source of published phases: a file, mp or optimade."
# evaluations of a training structure at a pressure: 5.8 (CHGNet, 10 GPa) to 8.2 (toy potential, 100 GPa) in the mean over 31
# of V-O
POINTS_OF_A_COMPRESSION = 8
VASP_RUNS = 3  # of a chain: two relaxations and a static calculation


def check_machine(
    config: CampaignConfig | None = None, directory: Path | None = None, *, read_templates: bool = True
) -> list[Check]:
    """Check what a campaign needs on this machine, without running any of it.

    Parameters
    ----------
    config : the campaign; where None, whether the default potential is installed
    directory : where the run will be written; the working directory where None
    read_templates : whether the templates are read as the run reads them, which may take minutes; or only looked for
    """
    settings = get_settings()
    checks = [Check("python", sys.version_info >= (3, 11), sys.version.split()[0])]
    for package in ("torch", "pymatgen", "jobflow", "ase"):
        checks.append(Check(package, find_spec(package) is not None, "installed" if find_spec(package) else "missing"))
    checks += check_potentials(config) if config else [_check_potential(Screen().potential)]
    checks += [*check_search(config), *check_sources(config), *check_elsewhere(config)] if config else []
    if config and config.validation.is_wanted:
        checks += check_dft(config)
    asked = (config.templates.source, config.known.source, config.validation.references) if config else ()
    wants_key = config and "mp" in (*asked, *config.elsewhere.providers)
    if wants_key:
        here = bool(os.environ.get("MP_API_KEY"))
        advice = "set" if here else "not set; get a key at materialsproject.org and export it, or choose other sources"
        checks.append(Check("Materials Project key", here, f"MP_API_KEY is {advice}"))
    for name, path in (("templates", config.templates.path), ("known phases", config.known.path)) if config else ():
        if path and not (path.exists() and name == "templates" and read_templates):  # those are read below
            checks.append(Check(name, path.exists(), f"{path}" + ("" if path.exists() else ": no such file or folder")))
    if config:
        checks += _check_crystals(config, read_templates)
        checks += _check_model(config)
    where = _existing(directory or Path.cwd())
    free = shutil.disk_usage(where).free / 1e9
    checks.append(Check("disk", free > FREE_DISK, f"{free:.1f} GB free at {where}, {FREE_DISK:g} GB needed"))
    checks.append(Check("write access", os.access(where, os.W_OK), str(where)))
    checks.append(
        Check("cores", True, f"{settings.n_workers} for relaxations, {settings.threads} thread(s) for training")
    )
    return checks


def make_plan(config: CampaignConfig, measure: bool = True) -> Plan:
    """Count what a campaign will do, and estimate the time of each of its stages on this machine.

    The plan refuses what a run would refuse of the campaign's inputs, by the functions that its jobs call. What this machine
    lacks, such as VASP, is left to `check_machine`: the campaign may run on another.

    Parameters
    ----------
    config : the campaign
    measure : time a few evaluations and steps of training; by recorded rates of another machine where not

    Raises
    ------
    InputError
        Where a source cannot be read, no candidate is possible or none would be proposed, the dataset is too small or too
        much of it is held out, the starting model does not fit, the potential does not know the elements, or the first
        round exceeds the budget of evaluations.
    """
    from pymatgen.core import Composition

    from imatgen_flows.crystals import is_charge_balanced
    from imatgen_flows.jobs.build_dataset import collect_dataset
    from imatgen_flows.jobs.campaign_inputs import fallback_phases, hull_phases
    from imatgen_flows.jobs.dataset_rows import structure_of, trained_rows
    from imatgen_flows.jobs.references import substitute_subsystem, subsystems

    checks = _input_checks(config)
    refuse_faults(checks)
    potential = installed_potential(config.screen.potential)
    files = [check.detail for check in checks if check.name == f"source {FILES}"]
    began = time.monotonic()
    dataset = collect_dataset(config.system, config.templates, config.known, config.limits)
    trained, building = trained_rows(dataset.rows, config.model), time.monotonic() - began
    made = [row for row in dataset.rows if not row["known"]]
    refuse_nothing_to_propose(config, [structure_of(row) for row in made])
    formulas = {row["formula"] for row in made}
    unbalanced = {formula for formula in formulas if not is_charge_balanced(Composition(formula))}
    pressure = config.search.pressure
    phases = hull_phases(config.system, config.known, pressure) if pressure else dataset.published
    basis = _basis(config.system, phases)
    alone = {phase.structure.composition.chemical_system for phase in phases}
    published = len(phases) + len(fallback_phases(config.system, alone, pressure))
    parts = [item for part in subsystems(config.system) for item in substitute_subsystem(part, config.limits)]
    references = published + config.references.substituted * len(formulas)
    references += len({item.structure.composition.reduced_formula for item in parts})
    points = POINTS_OF_A_COMPRESSION if pressure else 1
    once = {
        "labels": points * len(dataset.rows),
        "references": points * len(parts) + references * potential.reference_evaluations,
    }
    voting = committee_evaluations(config, references)
    once |= {name: number for name, number in voting.items() if name != "committee"}
    phonons = plan_phonons(config, [structure_of(row) for row in made])
    each = {"screen": config.screen.at_most * potential.evaluations, "committee": voting.get("committee", 0)}
    each["phonons"] = phonons.evaluations if phonons else 0
    each = {name: number for name, number in each.items() if number}
    rounds = _rounds_within_budget(config.rounds, sum(once.values()), sum(each.values()))
    plan = Plan(
        potential=config.screen.potential,
        backend=config.validation.backend,
        templates=dataset.templates,
        structures=len(dataset.rows),
        exclusions=dict(Counter(item.reason for item in [*dataset.exclusions, *dataset.outside])),
        charge=config.validity.charge,
        compositions=len(formulas),
        unbalanced_structures=sum(row["formula"] in unbalanced for row in made),
        unbalanced_compositions=len(unbalanced),
        published=dict(basis.published),
        hull=" ".join([basis.sentence(pressure), *([] if basis.is_published else [CURE_OF_HULL])]),
        known_exclusions=dict(Counter(item.reason for item in dataset.known_exclusions)),
        rounds=rounds,
        samples=rounds * config.sampling.total if config.sources.uses_generator else 0,
        references=references,
        relaxations=rounds * config.screen.at_most,
        evaluations=once | {name: rounds * number for name, number in each.items()},
        committee=list(config.committee.potentials),
        phonons=phonons.sentence if phonons else "",
        excluded=dataset.exclusion_rows(),
        search=_search(config, [structure_of(row) for row in dataset.rows]),
        sources="; ".join([describe_sources(config), *files]),
        trains=config.sources.uses_generator,
        threshold=config.screen.threshold,
        suggested_threshold=potential.threshold,
    )
    if config.validation.is_wanted:
        plan.dft_chains = _chains(config, rounds, published)
        plan.dft_runs = plan.dft_chains * (VASP_RUNS if BACKENDS[config.validation.backend].is_vasp else 1)
        plan.dft_attempts = config.validation.attempts
    structures = [structure_of(row) for row in dataset.rows]
    potentials = [potential, *(installed_potential(name) for name in config.committee.potentials)]
    sites = sites_by_purpose(structures, [phase.structure for phase in phases], phonons)
    rates = measure_rates(config, potentials, dataset) if measure else recorded_rates(config)
    plan.seconds = seconds_by_purpose(plan.evaluations, rates, sites)
    extended = config.references.substituted * len(formulas) * potential.reference_evaluations
    counts = CampaignCounts(
        seconds=plan.seconds,
        rounds=rounds,
        dataset=building,
        published=1 - extended / max(1, once["references"]),
        items=_training_items(structures, trained),
        held_out=len(structures) - len(trained),
    )
    stages = [stage for stage in campaign_stages(config) if stage.round <= rounds]
    plan.stages, plan.trial = stage_times(config, stages, counts, rates), rates.trial
    return plan


def plan_stages(config: CampaignConfig, stages: Sequence[CampaignStage], measure: bool = True) -> list[float | None]:
    """Estimate the time of each stage of a run, s; of stages of one name, those of a round are alike.

    A run needs no plan: where none can be made, it is empty, and a fault of the campaign is left to the run.
    """
    try:
        times = {(time.title, time.round): time.seconds for time in make_plan(config, measure).stages}
    except Interrupted:  # a signal in the middle of the trial ends the run, not the plan alone
        raise
    except Exception as error:
        logger.warning("how long the campaign will take is not known: %s", error)
        return []
    return [times.get((stage.title, stage.round)) for stage in stages]


def _training_items(structures: list[Structure], trained: list[int]) -> dict[str, int]:
    """Count the training items of each network: crystals, or their elements."""
    crystals = len(trained)
    images = sum(len(structures[row].composition) for row in trained)
    return {role.value: images if role is ModelRole.BASIS else crystals for role in ModelRole}


def _input_checks(config: CampaignConfig) -> list[Check]:
    """Check the inputs of a campaign that are the same on every machine."""
    checks = [*check_search(config), *check_potentials(config), *check_dft_elements(config), *check_sources(config)]
    return [*checks, *check_elsewhere(config), *_check_model(config)]


def _search(config: CampaignConfig, structures: list[Structure]) -> str:
    """Say what is searched for, and how many training structures are of it."""
    from imatgen_flows.jobs.search_space import search_space
    from imatgen_flows.models.drawing import FEWEST

    said = describe_search(config)
    if not config.search.is_restricted:
        return said
    space = search_space(config)
    found = sum(not space.admit(structure) for structure in structures)
    few = ": too few, so that samples start from all" if found < FEWEST else ""
    return f"{said}; {found:,} of {len(structures):,} training structures are such{few}"


def _rounds_within_budget(rounds: Rounds, once: int, in_a_round: int) -> int:
    """Count the rounds that may begin: none begins once the budget is spent, and the first must fit into it."""
    if once + in_a_round > rounds.evaluations:
        raise InputError(
            f"the plan needs about {once + in_a_round:,} energy evaluations in its first round, `rounds.evaluations` "
            f"allows {rounds.evaluations:,}. Lower `screen.at_most` or `references.substituted`, or allow more."
        )
    return min(rounds.at_most, math.ceil((rounds.evaluations - once) / in_a_round))


def _chains(config: CampaignConfig, rounds: int, published: int) -> int:
    """Count the structures that DFT calculates: phases of its hull and candidates, each once for every magnetic start."""
    validate = config.validation
    references = published if validate.references == "computed" else 0
    starts = 2 if validate.antiferro else 1
    return starts * (references + rounds * min(validate.at_most, config.screen.at_most))


def _check_crystals(config: CampaignConfig, with_templates: bool) -> list[Check]:
    """Read templates and known phases by the functions that the run calls; what must be downloaded is not asked for here."""
    from imatgen_flows.energetics.references import replace_molecules
    from imatgen_flows.jobs.campaign_inputs import published_phases

    phases, hull = None, []
    if config.known.source not in ("shipped", "file"):
        hull = [Check("hull", True, f"published compounds of `{config.known.source}`; `imatgen plan` counts them")]
    elif not config.known.path or config.known.path.exists():  # another check says so
        try:
            phases = published_phases(config.system, config.known)
            if config.search.pressure:
                replace_molecules(phases[0], config.system)
        except ImatgenError as error:
            hull = [Check("hull", False, str(error))]
        else:
            hull = [_check_hull(config.system, *phases, config.search.pressure)]
    there = not config.templates.path or config.templates.path.exists()
    wanted = with_templates and there and config.templates.source in ("prototypes", "file")
    return [_check_templates(config, phases), *hull] if wanted else hull


def _check_templates(config: CampaignConfig, phases: tuple[list[ReferencePhase], list[Exclusion]] | None) -> Check:
    """Check that templates can be read, and, where the known phases are here, that enough structures come of both."""
    from imatgen_flows.jobs.build_dataset import substitute_templates
    from imatgen_flows.jobs.campaign_inputs import count_reasons, read_templates
    from imatgen_flows.jobs.dataset_rows import structure_of, trained_rows

    try:
        templates = read_templates(config.system, config.templates, config.limits)
        found, exclusions = templates
        said = f"{len(found):,} templates, {len(exclusions):,} left out"
        said += f" ({count_reasons(exclusions)})" if exclusions else ""
        if phases:
            dataset = substitute_templates(config.system, templates, phases, config.known, config.limits)
            trained_rows(dataset.rows, config.model)
            refuse_nothing_to_propose(config, [structure_of(row) for row in dataset.rows if not row["known"]])
            said += f"; {len(dataset.rows):,} training structures"
    except ImatgenError as error:
        return Check("templates", False, str(error))
    return Check("templates", True, said)


def _check_hull(
    system: list[str], phases: list[ReferencePhase], unfit: list[Exclusion], pressure: float = 0.0
) -> Check:
    """Say what the hull will rest on."""
    from imatgen_flows.jobs.campaign_inputs import count_reasons

    left = f" Known phases left out: {count_reasons(unfit)}." if unfit else ""
    basis = _basis(system, phases)
    cure = "" if basis.is_published else f" {CURE_OF_HULL}"
    return Check("hull", True, f"{basis.sentence(pressure)}{cure}{left}", limiting=not basis.is_published)


def _basis(system: list[str], phases: list[ReferencePhase]) -> HullBasis:
    counted = ((phase.kind, len(phase.structure.composition), phase.origin) for phase in phases)
    return HullBasis.count(system, counted, substituted=True)


def _check_potential(name: str) -> Check:
    try:
        potential = installed_potential(name)
    except ImatgenError as error:
        return Check(f"potential {name}", False, str(error))
    return Check(f"potential {name}", True, describe_installed(potential))


def _check_model(config: CampaignConfig) -> list[Check]:
    """Check that the model which a campaign starts from, if any, is whole and suits the system, the preset and the grid."""
    from imatgen_flows.jobs.networks import preset_of, starting_file

    try:
        path = starting_file(config.model)
        if path is None:
            return []
        from imatgen_flows.models.model_file import open_model  # and with it torch

        card, _networks = open_model(path, config.system, preset_of(config.model))
        _refuse_seen(path, card, config)
    except ImatgenError as error:
        return [Check("model", False, str(error))]
    share = config.model.fine_tune
    use = f"trained further by {share:g} of the training" if share else "used as it is"
    suits = "any system" if card.is_of_prototypes else "-".join(card.elements)
    return [Check("model", True, f"{path}: {card.name}, {suits}, {use}")]


def _refuse_seen(path: Path, card: ModelCard, config: CampaignConfig) -> None:
    """Refuse a model that learnt from what the campaign holds out: phases, or crystals of their prototypes.

    Raises
    ------
    InputError
        Where it did, or its card does not tell.
    """
    from imatgen_flows.crystals.identity import structure_id
    from imatgen_flows.jobs.build_dataset import known_rows
    from imatgen_flows.jobs.campaign_inputs import published_phases
    from imatgen_flows.jobs.dataset_rows import structure_of
    from imatgen_flows.jobs.import_network import refuse_seen_system

    if config.known.held_out != "none":
        refuse_seen_system(path, card, config.system)
    if config.known.held_out == "prototypes":
        kept = set(card.data.get("hold_out", []))
        phases, _ = known_rows(config.system, published_phases(config.system, config.known)[0], config.limits)
        if seen := [row["id"] for row in phases if structure_id(structure_of(row)) not in kept]:
            raise InputError(
                f"{path} may have seen the prototypes of {len(seen)} of {len(phases)} known phases ({', '.join(seen[:3])}), "
                "which `known.held_out: prototypes` keeps from the networks: pretrain with these crystals as `--hold-out`."
            )


def _existing(path: Path) -> Path:
    path = path.absolute()
    return path if path.exists() else _existing(path.parent)
