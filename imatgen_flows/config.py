"""The campaign file: the one file that a user writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    NonNegativeInt,
    RootModel,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from imatgen_flows.campaign_v1 import RENAMED_KEYS, refuse_version_1
from imatgen_flows.candidates.registry import CHARGE_CHECKS, DEFAULT_CHARGE_CHECK
from imatgen_flows.crystals.box import BOX, MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.registry import HOLD_OUT, KNOWN_SOURCES, TEMPLATE_SOURCES
from imatgen_flows.energetics.backends import BACKENDS, NONE
from imatgen_flows.energetics.potential_registry import DEFAULT_POTENTIAL, POTENTIALS
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import Section, explain, read_user_file, resolve_path, write_user_file
from imatgen_flows.models.registry import ANEW, PRESETS, PRETRAINED, SAMPLERS
from imatgen_flows.registry import Registry
from imatgen_flows.sources.registry import ADAPTIVE, ALLOCATIONS, FILES, FIXED, GENERATOR, SOURCES


def _choice(registry: Registry, name: str) -> str:
    """Return a name that a registry has; what it says of another becomes pydantic's error."""
    try:
        registry[name]
    except InputError as error:
        raise ValueError(str(error).removesuffix(".")) from error
    return name


def _choice_of(registry: Registry) -> Callable[[str], str]:
    """Build a validator of a key whose values are the names of a registry."""

    def check(name: str) -> str:
        return _choice(registry, name)

    return check


def _refuse_no_path(path: Any) -> Any:
    """Refuse a path that is empty, which would mean the folder of the campaign file, or that no system can hold."""
    if isinstance(path, str) and not path.strip():
        raise ValueError("it is empty: name a file or a folder, or leave the key out")
    if "\0" in str(path):
        raise ValueError("it holds a null character, which no path may: take `\\0` out, or quote the path with '...'")
    return path


class SourceSection(Section):
    """Where crystals come from: the keys that `templates` and `known` share."""

    source: str
    path: Path | None = Field(None, description="For `file`: a file of crystals, or a folder of such files.")
    provider: str | None = Field(
        None, description="For `optimade`: an alias such as `oqmd` or `alexandria.pbe`, or a URL."
    )
    where: dict[str, Any] = Field(
        default_factory=dict, description="For a .jsonl file: fields and their values; rows that differ are left out."
    )

    _some_path = field_validator("path", mode="before")(_refuse_no_path)

    @model_validator(mode="before")
    @classmethod
    def _a_path_is_a_file(cls, values: Any) -> Any:
        """Take a path without a source for `source: file`."""
        if isinstance(values, dict) and values.get("path") is not None:
            return {"source": "file"} | values
        return values

    @model_validator(mode="after")
    def _needs(self) -> Self:
        if self.where and self.source != "file":
            raise ValueError("`where` chooses rows of a file: it needs `source: file`")
        if self.source == "file" and self.path is None:
            raise ValueError("`source: file` needs `path`, the file or folder of crystals")
        if self.source != "file" and self.path is not None:
            raise ValueError(f"`path` is read by `source: file` alone, not by `source: {self.source}`: leave one out")
        if self.source == "optimade" and not self.provider:
            raise ValueError("`source: optimade` needs `provider`, for example oqmd or alexandria.pbe")
        return self


class Templates(SourceSection):
    """Where the crystals come from whose elements are substituted."""

    source: str = Field("prototypes", description=TEMPLATE_SOURCES.help())

    _known_source = field_validator("source")(_choice_of(TEMPLATE_SOURCES))


class Known(SourceSection):
    """Published phases of the system, beside those that ship with the program: they join the hull, and are not new."""

    source: str = Field(
        "shipped", description=f"Of known phases, which join the hull and are not new. {KNOWN_SOURCES.help()}"
    )
    held_out: str = Field(
        "none",
        description=f"Held-out set: what is kept from the networks, for `imatgen evaluate rediscovery`. {HOLD_OUT.help()}",
    )

    _known_source = field_validator("source")(_choice_of(KNOWN_SOURCES))
    _known_set = field_validator("held_out")(_choice_of(HOLD_OUT))


class Limits(Section):
    """The largest crystal that the images hold."""

    max_sites: int = Field(MAX_SITES, ge=1, le=200, description="Sites in the primitive cell.")
    max_edge: float = Field(MAX_EDGE, gt=0, le=BOX, description="Longest edge of the Niggli cell, Å.")


class Search(Section):
    """What every source looks for, within the system and the limits; all of it, at zero pressure, by default."""

    compositions: list[str] = Field(
        default_factory=list,
        description="Formulas that candidates may have. A reduced one, `V3O4`, stands for all of its multiples; one that is "
        "not, `V6O8`, for the contents of the primitive cell. All compositions if empty.",
    )
    sites: str | None = Field(
        None,
        description="Sites of the primitive cell, a number or a range such as 10-20; up to `limits.max_sites` if unset.",
    )
    pressure: float = Field(
        0.0,
        ge=0,
        le=1000,
        description="GPa. Above zero, enthalpies take the place of energies, from references to DFT.",
    )

    @field_validator("compositions", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("compositions")
    @classmethod
    def _formulas(cls, compositions: list[str]) -> list[str]:
        from imatgen_flows.crystals.search_formulas import SearchFormula

        try:
            return list(dict.fromkeys(str(SearchFormula.read(formula)) for formula in compositions))
        except InputError as error:
            raise ValueError(str(error).removesuffix(".")) from error

    @field_validator("sites", mode="before")
    @classmethod
    def _range(cls, sites: Any) -> Any:
        from imatgen_flows.crystals.search_formulas import read_sites

        if sites is None:
            return None
        try:
            low, high = read_sites(sites)
        except InputError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return f"{low}-{high}" if low < high else str(low)

    @property
    def is_restricted(self) -> bool:
        """Whether formulas or sizes are given."""
        return bool(self.compositions or self.sites)


class Validity(Section):
    """What makes a decoded crystal valid, beside the limits."""

    charge: str = Field(
        DEFAULT_CHARGE_CHECK,
        description="What is done about candidates that cannot be neutral with known oxidation states. "
        + CHARGE_CHECKS.help(),
    )

    _known_check = field_validator("charge")(_choice_of(CHARGE_CHECKS))


class Labels(Section):
    """Energies of the training structures."""

    potential: str = Field(
        DEFAULT_POTENTIAL, description=f"{POTENTIALS.help()[:-1]}; or `module:function` of your own."
    )
    stable_below: float = Field(
        0.5, description="A training structure is stable up to this unrelaxed formation energy, eV/atom."
    )


class References(Section):
    """The phases that make the hull, beside the published ones that ship with the program."""

    substituted: int = Field(
        1,
        ge=0,
        le=50,
        description="Substituted structures of each composition, lowest energy first, that join the hull.",
    )


class Model(Section):
    """The networks: settings of their training, and the model that they start from."""

    preset: str = Field("default", description=PRESETS.help() + " With `start: pretrained` that of the model.")
    grid: Literal[32, 64] | None = Field(
        None, description="Voxels along an edge of the image of the atoms; the preset's own if unset."
    )
    epochs: float = Field(1.0, gt=0, le=100, description="Factor on the preset's numbers of epochs.")
    holdout: float = Field(0.1, ge=0, lt=0.9, description="Share of the templates kept from training, to measure on.")
    seed: int = Field(7, ge=0, lt=2**32, description="Of the weights, the order of the data, and the samples.")
    start: str = Field(
        ANEW,
        description=f"The trained networks to begin with: `{ANEW}`, so that they are trained anew; `{PRETRAINED}`, the model "
        "that ships with the program; or a file of `imatgen models export`. It must suit the system, preset and grid.",
    )
    fine_tune: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the training by which trained networks are trained further: those of `start`, and in each "
        "further round those of the round before. With 0 they are used as they are.",
    )

    _known_preset = field_validator("preset")(_choice_of(PRESETS))
    _some_path = field_validator("start", mode="before")(_refuse_no_path)

    @model_validator(mode="before")
    @classmethod
    def _preset_of_the_pretrained(cls, section: Any) -> Any:
        """Take the preset of the pretrained model where none is given."""
        if isinstance(section, Mapping) and section.get("start") == PRETRAINED:
            return {"preset": PRETRAINED, **section}
        return section

    @field_validator("start", mode="before")
    @classmethod
    def _one_name_or_path(cls, start: Any) -> Any:
        return ANEW if start is None else str(start) if isinstance(start, Path) else start

    @property
    def training(self) -> dict[str, Any]:
        """The section as jobs take it, without `start` and `fine_tune`, which decide what jobs there are.

        The results of jobs are found by their inputs, and a path differs between machines.
        """
        return self.model_dump(mode="json", exclude={"start", "fine_tune"})


class Sampling(RootModel[dict[str, NonNegativeInt]]):
    """How many samples each sampler of `SAMPLERS` draws in a round."""

    root: dict[str, NonNegativeInt] = Field(default_factory=dict, validate_default=True)

    @model_validator(mode="after")
    def _every_sampler(self) -> Self:
        for name in self.root:
            if new := RENAMED_KEYS.get(f"sampling.{name}"):
                raise ValueError(f"`{name}` is now called `{new.partition('.')[2]}`")
            _choice(SAMPLERS, name)
        self.root = {sampler.name: self.root.get(sampler.name, sampler.default) for sampler in SAMPLERS}
        if self.total == 0:
            raise ValueError(f"no samples are asked for: give {', '.join(SAMPLERS.names)} a number")
        return self

    @property
    def total(self) -> int:
        """Samples of one round."""
        return sum(self.root.values())

    @property
    def numbers(self) -> dict[str, int]:
        """Samples by sampler, as jobs take them: a sampler that is neither asked for nor drawn by default is left out.

        The results of jobs are found by their inputs, and a sampler that joins `SAMPLERS` is not to change these.
        """
        return {name: number for name, number in self.root.items() if number or SAMPLERS[name].default}


class Screen(Section):
    """Relaxation of candidates with a potential."""

    potential: str = Field(DEFAULT_POTENTIAL, description="Must be that of the labels: one hull, one energy model.")
    fmax: float = Field(0.05, gt=0, le=1, description="Relaxed below this force, eV/Å.")
    max_steps: int = Field(500, ge=1, description="Steps of a relaxation.")
    threshold: float = Field(
        0.15, description="Shortlisted up to this E_hull, eV/atom; it allows for the error of the potential."
    )
    at_most: int = Field(80, ge=1, description="Candidates relaxed in a round.")
    distinct: bool = Field(
        True,
        description="Relax candidates last that resemble something known or found; stop a relaxation that falls into it.",
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Candidates in one job; where unset, as many as fit into half the walltime of `gpu_relax`, at the cost "
        "that labels and references had, 500 at most.",
    )


class Committee(Section):
    """Further potentials, each of which relaxes the shortlist and places it on a hull of its own."""

    potentials: list[str] = Field(
        default_factory=list, description="Potentials beside that of the screening; none where it is empty."
    )
    at_most: int = Field(
        60, ge=1, description="Shortlisted candidates of a round that are voted on, lowest E_hull first."
    )
    threshold: float | None = Field(
        None,
        gt=0,
        description="Largest E_hull that is a vote for a candidate, eV/atom; where unset, `screen.threshold`.",
    )


# of a round whose allocation is adaptive: the first tries all sources, the others learn. With four, adaptive campaigns of
# V-O found an eighth less in as many evaluations (notebook/2026-11-29-arms.md)
BATCHES = 8


class Sources(Section):
    """Who proposes the candidates that are relaxed."""

    shares: dict[str, float] = Field(
        default_factory=lambda: {GENERATOR: 1.0},
        description=f"Share of the relaxations that each source gets; they add up to 1. {SOURCES.help()}",
    )
    allocation: str = Field(FIXED, description=ALLOCATIONS.help())
    batches: int | None = Field(
        None,
        ge=1,
        le=100,
        description="Parts of a round that are relaxed one after the other, each knowing what those before it found; where "
        f"unset, {BATCHES} with `adaptive`, or as many as there are relaxations if fewer, else 1.",
    )
    files: Path | None = Field(
        None, description="For the source `files`: a file of crystals, or a folder of such files."
    )
    samples: int | None = Field(
        None,
        ge=1,
        description="For the source `files`: samples that the other program took to make them, for the report.",
    )

    _some_path = field_validator("files", mode="before")(_refuse_no_path)
    _known_allocation = field_validator("allocation")(_choice_of(ALLOCATIONS))

    @field_validator("shares")
    @classmethod
    def _add_up(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            _choice(SOURCES, name)
            if not 0 <= share <= 1:
                raise ValueError(f"the share of `{name}` is {share:g}; shares are numbers from 0 to 1")
        if abs((total := sum(shares.values())) - 1) > 1e-6:
            raise ValueError(f"the shares add up to {total:g}, not to 1")
        return {source.name: shares[source.name] for source in SOURCES if shares.get(source.name)}

    @model_validator(mode="after")
    def _fit(self) -> Self:
        if (FILES in self.shares) != (self.files is not None):
            raise ValueError(
                "the source `files` needs a share in `shares` and a path in `files`: give both, or neither"
            )
        if self.samples is not None and self.files is None:
            raise ValueError("`samples` says what the structures of `files` took: leave it out, or give `files`")
        if self.allocation == ADAPTIVE and len(self.shares) < 2:
            raise ValueError("`allocation: adaptive` needs two sources or more in `shares`")
        return self

    @property
    def competing(self) -> tuple[str, ...]:
        """Sources that have a share."""
        return tuple(self.shares)

    @property
    def uses_generator(self) -> bool:
        """Whether networks are trained and sampled."""
        return GENERATOR in self.shares

    @property
    def number_of_batches(self) -> int:
        """Parts of a round."""
        return self.batches or 1


class Elsewhere(Section):
    """Databases that are asked whether they hold the shortlisted candidates; none by default, and nothing needs a network."""

    providers: list[str] = Field(
        default_factory=list,
        description="`mp`, the Materials Project, which needs a key in MP_API_KEY; else aliases of OPTIMADE such as `oqmd`, "
        "or URLs. What does not answer is recorded as such.",
    )

    @field_validator("providers", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("providers")
    @classmethod
    def _each_once(cls, providers: list[str]) -> list[str]:
        if not all(name.strip() for name in providers):
            raise ValueError("a provider has no name: give `mp`, an alias of OPTIMADE such as `oqmd`, or a URL")
        return list(dict.fromkeys(name.strip() for name in providers))


class Phonons(Section):
    """Phonons of the best of the shortlist, by finite displacements with a potential."""

    at_most: int = Field(
        0,
        ge=0,
        description="Shortlisted candidates of a round, lowest E_hull first, whose phonons are computed; 0 for none.",
    )
    potential: str | None = Field(None, description="That of `screen` if unset.")
    supercell: float = Field(
        10.0,
        gt=0,
        le=40,
        description="The faces of the supercell lie so far apart or more, Å; up to a tenth less, where that makes an even "
        "number of cells.",
    )
    fmax: float = Field(0.005, gt=0, le=0.1, description="Relaxed below this force before, eV/Å.")
    max_atoms: int = Field(
        300,
        ge=1,
        description="Atoms of a supercell; a candidate that needs more has no phonons, and a note that says so.",
    )
    follow: bool = Field(
        False,
        description="Follow the softest imaginary mode of a candidate to a lower structure, which the note names.",
    )


class Validate(Section):
    """DFT of the shortlist."""

    backend: str = Field("none", description=BACKENDS.help())
    force_field: str = Field("CHGNet", description="For `force-field`: its name in atomate2.")
    at_most: int = Field(20, ge=1, description="Candidates validated in a round, lowest E_hull first.")
    fmax: float = Field(0.1, gt=0, le=1, description="A result is accepted up to this force, eV/Å.")
    attempts: int = Field(
        2, ge=1, le=5, description="Times that a calculation may be tried, from the structure that it reached."
    )
    antiferro: bool = Field(
        False,
        description="Start d-electron systems antiferromagnetically too, candidates and references alike; keep the lower.",
    )
    references: Literal["computed", "mp"] = Field(
        "computed",
        description="Phases of the hull: `computed` by the same calculations, or `mp`, entries of the Materials Project "
        "(MP_API_KEY).",
    )

    _known_backend = field_validator("backend")(_choice_of(BACKENDS))

    @property
    def is_wanted(self) -> bool:
        """Whether anything is validated."""
        return self.backend != NONE


class Rounds(Section):
    """When to stop."""

    at_most: int = Field(
        1, ge=1, le=100, description="Rounds of the campaign; raised later, it extends a campaign that ended."
    )
    evaluations: int = Field(
        200_000,
        ge=1,
        description="Energy evaluations that the first round may plan, and after which no further one begins.",
    )
    kappa: float = Field(
        1.0,
        ge=0,
        description="Standard deviations that the lower confidence bound of a predicted E_hull lies below its mean, where "
        "candidates for relaxation are chosen.",
    )


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
