"""The campaign file: the one file that a user writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, ValidationError, ValidationInfo, field_validator, model_validator

from imatgen_flows.campaign_v1 import RENAMED_KEYS, refuse_version_1
from imatgen_flows.config.crystals import Known, Limits, Search, Templates, Validity
from imatgen_flows.config.energies import Labels, References, Rounds, Screen
from imatgen_flows.config.evidence import Committee, Elsewhere, Phonons, Validate
from imatgen_flows.config.networks import Model, Sampling
from imatgen_flows.config.sources import BATCHES, Sources
from imatgen_flows.energetics.backends import BACKENDS
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import Section, explain, read_user_file, resolve_path, write_user_file
from imatgen_flows.models.registry import ANEW, PRETRAINED
from imatgen_flows.sources.registry import ADAPTIVE


class CampaignConfig(Section):
    """A campaign, as read from its YAML file.

    Every key has a default but `system`.

    Raises
    ------
    InputError
        Where a key or a value is none that the program knows.
    """

    version: Literal[2] = 2
    name: str = Field("", description="Free text; the system, if empty.")
    system: list[str] = Field(description="Element symbols, for example [V, O]; their order changes nothing.")
    templates: Templates = Field(default_factory=Templates)
    known: Known = Field(default_factory=Known)
    limits: Limits = Field(default_factory=Limits)
    search: Search = Field(default_factory=Search)
    labels: Labels = Field(default_factory=Labels)
    references: References = Field(default_factory=References)
    model: Model = Field(default_factory=Model)
    sampling: Sampling = Field(default_factory=Sampling)
    validity: Validity = Field(default_factory=Validity)
    sources: Sources = Field(default_factory=Sources)
    screen: Screen = Field(default_factory=Screen)
    committee: Committee = Field(default_factory=Committee)
    elsewhere: Elsewhere = Field(default_factory=Elsewhere)

    phonons: Phonons = Field(default_factory=Phonons)
    # `validate` is the key in the file; a field of that name would shadow pydantic's own method
    validation: Validate = Field(default_factory=Validate, alias="validate")
    rounds: Rounds = Field(default_factory=Rounds)

    @field_validator("system")
    @classmethod
    def _elements(cls, system: list[str]) -> list[str]:
        from imatgen_flows.crystals.system import chemical_system

        try:
            elements = chemical_system(system)
        except InputError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        if not 2 <= len(elements) <= 5:
            raise ValueError("a system has two to five different elements")
        return elements

    @model_validator(mode="after")
    def _search_within(self) -> Self:
        from imatgen_flows.crystals.search_formulas import SearchFormula, read_sites

        search, limit = self.search, self.limits.max_sites
        low, high = read_sites(search.sites) if search.sites else (1, limit)
        if high > limit:
            raise ValueError(
                f"`search.sites` goes up to {high}, and `limits.max_sites` allows {limit}: raise that, or lower this"
            )
        for text in search.compositions:
            formula = SearchFormula.read(text)
            try:
                formula.check_elements(self.system)
            except InputError as error:
                raise ValueError(f"`search.compositions`: {str(error).removesuffix('.')}") from error
            if (size := int(formula.unit.num_atoms)) > limit:
                raise ValueError(
                    f"`search.compositions`: `{formula}` has {size} atoms, and `limits.max_sites` allows {limit}"
                )
            if not formula.cells(low, high):
                held = f"cells of {size}" + ("" if formula.is_exact else f", {2 * size}, ...")
                raise ValueError(
                    f"`search.compositions`: `{formula}` has {held} sites, and none lies within "
                    f"`search.sites: {search.sites}`"
                )
        return self

    @model_validator(mode="after")
    def _no_published_enthalpies(self) -> Self:
        if self.search.pressure and self.validation.is_wanted and self.validation.references == "mp":
            raise ValueError(
                "`validate.references: mp` holds energies at zero pressure, and no enthalpies at `search.pressure` "
                f"{self.search.pressure:g} GPa: take `computed`"
            )
        return self

    @model_validator(mode="after")
    def _one_scale(self) -> Self:
        if self.screen.potential != self.labels.potential:
            raise ValueError("`labels.potential` and `screen.potential` differ: one hull needs one energy model")
        return self

    @model_validator(mode="after")
    def _several_potentials(self) -> Self:
        names = [self.screen.potential, *self.committee.potentials]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"`{name}` votes twice: `committee.potentials` names others than `screen.potential`, each once"
                )
        return self

    @model_validator(mode="after")
    def _several_batches_to_learn(self) -> Self:
        if self.sources.allocation == ADAPTIVE and self.sources.batches is None:
            self.sources.batches = min(BATCHES, self.screen.at_most)
        return self

    @model_validator(mode="after")
    def _a_candidate_in_each_batch(self) -> Self:
        if self.sources.number_of_batches > self.screen.at_most:
            raise ValueError(
                f"`screen.at_most: {self.screen.at_most}` is too few for {self.sources.number_of_batches} batches "
                "(`sources.batches`): a batch relaxes one candidate at least"
            )
        return self

    @model_validator(mode="after")
    def _one_dft_scale(self) -> Self:
        backend = BACKENDS[self.validation.backend]
        if self.validation.references == "mp" and self.validation.is_wanted and not backend.mp_references:
            fitting = " or ".join(f"`backend: {entry.name}`" for entry in BACKENDS if entry.mp_references)
            raise ValueError(f"`validate.references: mp` holds PBE+U energies: only {fitting} may stand beside them")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _in_sentences(cls, values: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Explain the faults of a campaign that is built in Python; who reads a file names the file too.

        It stands behind all other validators, since it explains only those before it.
        """
        try:
            return handler(values)
        except ValidationError as error:
            # of a file; or an assignment, which its sections refuse in pydantic's words
            if info.context or info.field_name:
                raise
            raise InputError("\n".join(explain(error, cls, RENAMED_KEYS))) from error

    @property
    def title(self) -> str:
        """Name for people."""
        return self.name or "-".join(self.system)

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read a campaign file; paths in it are relative to the file.

        Raises
        ------
        InputError
            Where the file is missing, is not YAML, says something the program does not know, or has a path that can
            lead nowhere. The message names the key, and the nearest known key for a misspelt one.
        """
        path = Path(path)
        cure = "`imatgen init DIR` writes one to start from."
        config = read_user_file(path, cls, "campaign file", cure, renamed=RENAMED_KEYS, check=refuse_version_1)
        for name, section in (("templates", config.templates), ("known", config.known)):
            if section.path is not None:
                section.path = resolve_path(section.path, path, f"{name}.path")
        if config.model.start not in (ANEW, PRETRAINED):
            config.model.start = str(resolve_path(Path(config.model.start), path, "model.start"))
        if config.sources.files is not None:
            config.sources.files = resolve_path(config.sources.files, path, "sources.files")
        return config

    def to_file(self, path: str | Path) -> None:
        """Write the campaign with every key spelled out."""
        write_user_file(Path(path), self)
