"""What a screening compares crystals with: the hull and the known structures of a finished run, or of a system alone."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imatgen_flows.candidates.states import Geometry
from imatgen_flows.config import CampaignConfig, Known, Screen, Search, Validity
from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import ArtifactStore, content_key
from imatgen_flows.jobs.build_dataset import build_dataset
from imatgen_flows.jobs.cached_job import CACHE_KEY_PACKAGES, potential_versions, versions_of
from imatgen_flows.jobs.campaign_inputs import count_reasons, published_phases
from imatgen_flows.jobs.candidate_table import candidate_structures, novelty_classifier, relaxed_phases
from imatgen_flows.jobs.documents import DatasetDocument, InputFile, ReferenceDocument
from imatgen_flows.jobs.evaluators import hull_of, structure_key
from imatgen_flows.jobs.extend_dataset import extend_dataset
from imatgen_flows.jobs.potentials import installed_potential
from imatgen_flows.jobs.provenance import finished_round, parent, refuse_edited
from imatgen_flows.jobs.references import build_hull, extend_hull, has_failed, relax_published
from imatgen_flows.jobs.round_tables import hull_table, phase_table
from imatgen_flows.jobs.search_space import relax_inputs

if TYPE_CHECKING:
    from imatgen_flows.candidates.novelty import NoveltyClassifier
    from imatgen_flows.energetics.hull import Hull

# keys of a campaign that decide about a screening
DECISIVE = {"screen": ("potential", "fmax", "max_steps", "threshold"), "validity": ("charge",), "search": ("pressure",)}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """What crystals are compared with.

    Attributes
    ----------
    system : element symbols
    screen, validity : how crystals are relaxed, shortlisted and checked
    hull : of the potential of `screen`
    phases : of the hull, and those that it lacks: the content of hull.json
    classifier : of what is not new
    meaning_of_new : a sentence
    evaluations : energy evaluations that the hull took in this screening, by purpose
    pressure : GPa; above zero, energies are enthalpies
    """

    system: list[str]
    screen: Screen
    validity: Validity
    hull: Hull
    phases: dict[str, Any]
    classifier: NoveltyClassifier
    meaning_of_new: str
    evaluations: Mapping[str, int]
    pressure: float = 0.0

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide about the result, as the campaign file writes them."""
        return decisive_settings(self.screen, self.validity, self.pressure)


class ComparisonSource(ABC):
    """Where a comparison comes from. It is cheap to make; `load` does the work."""

    system: list[str]

    @property
    @abstractmethod
    def statement(self) -> str:
        """Say which system it is of, as the beginning of a sentence."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return all that decides about its result, as plain values.

        Raises
        ------
        InputError
            Where something that it needs is missing, or was changed.
        """

    @abstractmethod
    def load(self, cache: ArtifactStore) -> Comparison:
        """Gather or compute the comparison.

        Parameters
        ----------
        cache : where relaxations are written when they end, and found again
        """


class FinishedRunSource(ComparisonSource):
    """The hull, the known phases, the substituted structures and the candidates of a finished run, which is only read.

    Parameters
    ----------
    path : the run directory
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.system = self._config.system

    @cached_property
    def _config(self) -> CampaignConfig:
        config = CampaignConfig.from_file(self.path / "campaign.yaml")
        refuse_edited(self.path, config, ["system", *_keys()])
        return config

    @property
    def statement(self) -> str:
        """Name the run and its system."""
        return f"{self.path} is a run of {'-'.join(self.system)}"

    def identity(self) -> dict[str, Any]:
        """Return the document that the run directory was written from, and the settings."""
        return {
            "run": str(self.path),
            "document": finished_round(self.path).key,
            "settings": decisive_settings(self._config.screen, self._config.validity, self._config.search.pressure),
        }

    def load(self, cache: ArtifactStore) -> Comparison:
        """Read the comparison from the artifacts of the run.

        Raises
        ------
        InputError
            Where the run's energies are of another scale than that of the potential that is installed.
        """
        config, store, finished = self._config, ArtifactStore(self.path / "artifacts"), finished_round(self.path)
        references = parent(store, finished, ReferenceDocument, extend_hull)
        dataset = parent(store, finished, DatasetDocument, build_dataset, extend_dataset)
        found = candidate_structures(finished.candidates, Geometry.RELAXED)
        return Comparison(
            system=config.system,
            screen=config.screen,
            validity=config.validity,
            hull=hull_of(references, config.screen, self.path, config.search.pressure),
            phases=hull_table(references),
            classifier=novelty_classifier(dataset, references, found),
            meaning_of_new="New are crystals that match no published phase, no substituted structure and no relaxed "
            f"candidate of {self.path}, and no crystal of lower energy here.",
            evaluations={},
            pressure=config.search.pressure,
        )


class PublishedPhases(ComparisonSource):
    """The published phases of a system, relaxed for this purpose: those that ship with the program, and the user's own.

    A run compares with substituted structures too, and has them on its hull; there are none here.

    Parameters
    ----------
    system : element symbols, in the order of a formula
    potential : see `get_potential`
    known : files or folders of further published phases
    """

    def __init__(self, system: list[str], potential: str, known: Sequence[Path] = ()) -> None:
        self.system, self.known = system, tuple(known)
        self.screen, self.validity = Screen(potential=potential), Validity()

    @property
    def statement(self) -> str:
        """Name the system."""
        return f"the system is {'-'.join(self.system)}"

    def identity(self) -> dict[str, Any]:
        """Return the system, the energy scale, the settings and the content of the files of known phases."""
        if missing := next((path for path in self.known if not path.exists()), None):
            raise InputError(f"--known {missing} does not exist. Give a file or a folder of published phases.")
        files = {str(path.absolute()): file.key for path in self.known if (file := InputFile.of(path))}
        scale = installed_potential(self.screen.potential).scale
        return {
            "system": self.system,
            "scale": scale,
            "settings": decisive_settings(self.screen, self.validity),
            "known": files,
        }

    def load(self, cache: ArtifactStore) -> Comparison:
        """Relax the published phases, and build their hull, as the first jobs of a campaign do.

        Raises
        ------
        InputError
            Where a file of known phases cannot be read.
        ImatgenError
            Where no phase of an element could be relaxed.
        """
        from imatgen_flows.candidates.novelty import NoveltyClassifier

        phases, exclusions = published_phases(self.system, *(Known(source="file", path=path) for path in self.known))
        if exclusions:
            logger.info("known phases left out: %s", count_reasons(exclusions))
        relax = relax_inputs(self.screen, pressure=0.0)
        contents = {phase.name: (structure_key(phase.structure), phase.molecule) for phase in phases}
        scale = installed_potential(self.screen.potential).scale
        versions = versions_of(CACHE_KEY_PACKAGES) | potential_versions(self.screen.potential)
        key = content_key(contents, relax, scale, versions)
        logger.info("published phases to relax: %d", len(phases))
        rows = relax_published(cache.scratch(f"references-{key}"), self.system, phases, relax)
        hull = build_hull(rows, self.screen.potential)
        logger.info("%s", hull.basis.sentence())
        relaxed, _ = relaxed_phases(row for row in rows if not has_failed(row))
        made = {f"known:{phase.name}": phase.structure for phase in phases}
        return Comparison(
            system=self.system,
            screen=self.screen,
            validity=self.validity,
            hull=hull,
            phases=phase_table(hull, rows),
            classifier=NoveltyClassifier(known=made | relaxed, substituted={}),
            meaning_of_new=f"New are crystals that match none of {len(phases)} published phases (the elements included), as "
            "published or as relaxed, and no crystal of lower energy here. What is published elsewhere counts as new. Unlike "
            "a run, this screening does not know the structures that plain substitution gives.",
            evaluations={"references": sum(row["evaluations"] for row in rows)},
        )


def decisive_settings(screen: Screen, validity: Validity, pressure: float = 0.0) -> dict[str, Any]:
    """Return the settings that decide about a screening, at a pressure in GPa, as the campaign file writes them."""
    sections = {"screen": screen, "validity": validity, "search": Search(pressure=pressure)}
    return {name: sections[name].model_dump(mode="json", include=set(keys)) for name, keys in DECISIVE.items()}


def _keys() -> list[str]:
    return [f"{section}.{key}" for section, keys in DECISIVE.items() for key in keys]
