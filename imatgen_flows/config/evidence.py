"""Sections of a campaign on the evidence for its shortlist: other potentials, databases, phonons, DFT."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from imatgen_flows.config.choices import choice_of, one_or_more
from imatgen_flows.energetics.backends import BACKENDS, NONE
from imatgen_flows.io.yaml_file import Section


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

    _list = field_validator("potentials", mode="before")(one_or_more)

    @field_validator("potentials")
    @classmethod
    def _names(cls, potentials: list[str]) -> list[str]:
        if not all(name.strip() for name in potentials):
            raise ValueError("a potential has no name")
        return potentials

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        fields = type(self).model_fields
        given = [name for name in fields if getattr(self, name) != fields[name].get_default(call_default_factory=True)]
        if given and not self.potentials:
            raise ValueError(
                f"`{given[0]}` is of a committee that has no `potentials`: name one or more, or leave it out"
            )
        return self


class Elsewhere(Section):
    """Databases that are asked whether they hold the shortlisted candidates; none by default, and nothing needs a network."""

    providers: list[str] = Field(
        default_factory=list,
        description="`mp`, the Materials Project, which needs a key in MP_API_KEY; else aliases of OPTIMADE such as `oqmd`, "
        "or URLs. What does not answer is recorded as such.",
    )

    _list = field_validator("providers", mode="before")(one_or_more)

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
        description="Follow the softest imaginary mode of a candidate to a lower structure, which is kept beside it.",
    )

    @model_validator(mode="after")
    def _follows_something(self) -> Self:
        if self.follow and not self.at_most:
            raise ValueError("`follow` needs phonons: give `at_most` a number, or leave it out")
        return self


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

    _known_backend = field_validator("backend")(choice_of(BACKENDS))

    @property
    def is_wanted(self) -> bool:
        """Whether anything is validated."""
        return self.backend != NONE
