"""Comparison of arms: one campaign for each arm and seed, all with the same budget and with one store of artifacts.

What does not depend on the arm, such as labels, references and networks, is so made once; and since finished jobs are found
in the store, and finished campaigns in their directories, a comparison that was killed goes on where it was.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imatgen_flows.config import BATCHES, CampaignConfig
from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.jobs.provenance import PROVENANCE_FILE
from imatgen_flows.managers.checks import refuse_faults
from imatgen_flows.managers.local import alone, run_campaign
from imatgen_flows.managers.run_files import CAMPAIGN_FILE, prepare
from imatgen_flows.managers.source_check import check_sources
from imatgen_flows.sources.registry import ADAPTIVE, EQUAL, FILES, FIXED, SOURCES
from imatgen_flows.sources.registry import arms as known_arms

logger = logging.getLogger(__name__)

COMPARISON_FILE = "comparison.json"  # what is compared, written before anything is run
STORE = "artifacts"
MAX_SEED = 2**32


@dataclass(frozen=True)
class ComparisonSettings:
    """What is compared.

    Attributes
    ----------
    seeds, arms : a campaign for each of both
    relaxations : of each campaign
    batches : parts of its round, each of which knows what those before it found
    """

    seeds: tuple[int, ...]
    arms: tuple[str, ...]
    relaxations: int
    batches: int

    @classmethod
    def of(
        cls,
        config: CampaignConfig,
        seeds: str | None = None,
        arms: str | None = None,
        relaxations: int | None = None,
        batches: int | None = None,
    ) -> ComparisonSettings:
        """Read settings as they are written on the command line; what is not given is that of the campaign.

        Raises
        ------
        InputError
            Where seeds are no numbers, an arm is not known or makes no sense, or a batch would have no relaxation.
        """
        number = config.screen.at_most if relaxations is None else relaxations
        settings = cls(
            seeds=parse_seeds(seeds) if seeds is not None else (config.model.seed,),
            arms=parse_arms(arms) if arms is not None else default_arms(config),
            relaxations=number,
            batches=batches if batches is not None else config.sources.batches or max(1, min(BATCHES, number)),
        )
        settings.check(config)
        return settings

    def check(self, config: CampaignConfig) -> None:
        """Check that each arm of a campaign can be run with these settings.

        Raises
        ------
        InputError
            Where one cannot.
        """
        if self.relaxations < 1 or self.batches < 1:
            raise InputError("--relaxations and --batches are 1 or more: without a relaxation nothing is compared.")
        if self.batches > self.relaxations:
            raise InputError(
                f"--relaxations {self.relaxations} is too few for {self.batches} batches: a batch relaxes one candidate at "
                "least. Give more relaxations, or fewer --batches."
            )
        if FILES in self.arms and config.sources.files is None:
            raise InputError(
                "the arm `files` needs structures: give their path as `sources.files` in the campaign file."
            )
        mixed = [arm for arm in self.arms if arm in (EQUAL, ADAPTIVE)]
        if mixed and len(self.sources) < 2:
            raise InputError(
                f"the arm `{mixed[0]}` shares its relaxations among the other arms, and needs two of them: "
                f"--arms names {', '.join(self.sources) or 'none'}."
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Single sources that are compared; the other arms share their relaxations among these."""
        return tuple(arm for arm in self.arms if arm in SOURCES)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, for JSON."""
        return {
            "seeds": list(self.seeds),
            "arms": list(self.arms),
            "relaxations": self.relaxations,
            "batches": self.batches,
        }


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read seeds such as 11,12,13.

    Raises
    ------
    InputError
        Where they are no different whole numbers, or too large.

    Examples
    --------
    >>> parse_seeds("11, 12,13")
    (11, 12, 13)
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdigit()) or int(word) >= MAX_SEED:
            raise InputError(
                f"--seeds: `{word}` is no seed. Give whole numbers from 0 to {MAX_SEED - 1} with commas between, for example "
                "11,12,13."
            )
    seeds = [int(word) for word in words]
    if not seeds:
        raise InputError("--seeds names none. Give whole numbers with commas between, for example 11,12,13.")
    if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
        raise InputError(f"--seeds names {twice[0]} twice: equal seeds give the same campaign.")
    return tuple(seeds)


def parse_arms(text: str) -> tuple[str, ...]:
    """Read names of arms, in the order of their registry.

    Raises
    ------
    InputError
        Where one is not known, or there is none.
    """
    names = [word.strip() for word in text.split(",") if word.strip()]
    if not names:
        raise InputError(f"--arms names none; choose from {','.join(known_arms().names)}.")
    chosen = {known_arms()[name].name for name in names}
    return tuple(name for name in known_arms().names if name in chosen)


def default_arms(config: CampaignConfig) -> tuple[str, ...]:
    """Name the arms of a campaign: all, but `files` where it has none."""
    return tuple(name for name in known_arms().names if name != FILES or config.sources.files is not None)


def campaign_of(config: CampaignConfig, settings: ComparisonSettings, arm: str, seed: int) -> CampaignConfig:
    """Make the campaign of an arm and a seed: one round without validation, whose sources are those of the arm."""
    sources = settings.sources if arm in (EQUAL, ADAPTIVE) else (arm,)
    shared: dict[str, Any] = {
        "shares": {source: 1 / len(sources) for source in sources},
        "allocation": ADAPTIVE if arm == ADAPTIVE else FIXED,
        "batches": settings.batches,
    }
    if FILES in sources:
        shared |= {"files": config.sources.files, "samples": config.sources.samples}
    content = config.model_dump(by_alias=True)
    content["name"] = f"{config.title}: {arm}, seed {seed}"
    content["sources"], content["validate"] = shared, {"backend": "none"}
    content["screen"] |= {"at_most": settings.relaxations}
    content["model"] |= {"seed": seed}
    content["rounds"] |= {"at_most": 1}
    return CampaignConfig.model_validate(content)


def run_directory(directory: Path, arm: str, seed: int) -> Path:
    """Name the run directory of an arm and a seed."""
    return directory / f"seed-{seed}" / arm


def comparison_of(run: Path) -> Path | None:
    """Find the directory of the comparison whose store of artifacts a run directory uses; None where the store is its own."""
    directory = (run / STORE).resolve().parent
    return directory if directory != run.resolve() and (directory / COMPARISON_FILE).is_file() else None


def run_comparison(config: CampaignConfig, settings: ComparisonSettings, directory: Path) -> None:
    """Run the campaigns of a comparison, one after the other; those that have ended are not run again.

    Raises
    ------
    InputError
        Where a package or a file of a source is missing, or the directory holds something else.
    ImatgenError
        Where a campaign fails.
    """
    campaigns = list(_campaigns(config, settings))
    for source in settings.sources:
        SOURCES[source].check()
    for campaign in [campaign for arm, seed, campaign in campaigns if arm == FILES and seed == settings.seeds[0]]:
        refuse_faults(check_sources(campaign))
    _prepare_comparison(config, settings, directory)
    with alone(directory):
        for number, (arm, seed, campaign) in enumerate(campaigns, 1):
            run = run_directory(directory, arm, seed)
            said = f"{number} of {len(campaigns)}, seed {seed}, {arm}"
            _link_store(campaign, run, directory / STORE)
            if (run / PROVENANCE_FILE).is_file():  # written last
                logger.info("%s: found, not repeated", said)
                continue
            logger.info("%s ...", said)
            run_campaign(campaign, run, resume=True)


def _campaigns(config: CampaignConfig, settings: ComparisonSettings) -> Iterator[tuple[str, int, CampaignConfig]]:
    for seed in settings.seeds:
        for arm in settings.arms:
            yield arm, seed, campaign_of(config, settings, arm, seed)


def _prepare_comparison(config: CampaignConfig, settings: ComparisonSettings, directory: Path) -> None:
    """Make the directory of a comparison, or check that it holds this one.

    Raises
    ------
    InputError
        Where it cannot be written, or holds something else.
    """
    first = campaign_of(config, settings, settings.arms[0], settings.seeds[0])
    campaign = first.model_dump(mode="json", by_alias=True, exclude={"name", "sources"})
    campaign["model"].pop("seed")
    content = {"campaign": campaign, "files": str(config.sources.files or "")} | settings.to_dict()
    path = directory / COMPARISON_FILE
    if path.is_file():
        _refuse_another(_read(path), content, directory)
    elif directory.is_file() or (
        directory.is_dir() and any(not own.name.startswith(".") for own in directory.iterdir())
    ):
        raise InputError(f"{directory} is not empty and holds no comparison. Choose another directory with --out.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(content, indent=1))
        (directory / STORE).mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {directory}: {error.strerror}. Choose another one with --out.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Choose another directory with --out.") from error


def _refuse_another(before: dict[str, Any], now: dict[str, Any], directory: Path) -> None:
    """Refuse to mix two comparisons.

    Raises
    ------
    InputError
        Where they differ; it names in what.
    """
    differing: Sequence[str] = [name for name in now if before.get(name) != now[name]]
    if "campaign" in differing:
        had = before.get("campaign") or {}
        sections = [name for name, value in now["campaign"].items() if had.get(name) != value]
        raise InputError(
            f"{directory} holds a comparison of another campaign: `{'`, `'.join(sections)}` differ. Choose another directory "
            "with --out."
        )
    if differing:
        name = differing[0]
        raise InputError(
            f"{directory} holds a comparison with other {name}: {_words(before.get(name))}, not {_words(now[name])}. Choose "
            "another directory with --out."
        )


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value) or "none"


def _link_store(campaign: CampaignConfig, run: Path, store: Path) -> None:
    """Make or check a run directory, and let it use the common store of artifacts.

    The link is relative, so that the comparison may be moved.
    """
    if not run.is_dir():
        run.mkdir(parents=True)
    prepare(campaign, run, resume=(run / CAMPAIGN_FILE).is_file())
    link = run / STORE
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(store, run), target_is_directory=True)
