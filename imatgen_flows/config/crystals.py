"""Sections of a campaign on crystals: where they come from, how large they may be, what is searched for, what is valid."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from imatgen_flows.candidates.registry import CHARGE_CHECKS, DEFAULT_CHARGE_CHECK
from imatgen_flows.config.choices import choice_of, one_or_more, refuse_no_path
from imatgen_flows.crystals.box import BOX, MAX_EDGE, MAX_SITES
from imatgen_flows.crystals.registry import HOLD_OUT, KNOWN_SOURCES, TEMPLATE_SOURCES
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import Section


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

    _some_path = field_validator("path", mode="before")(refuse_no_path)

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

    _known_source = field_validator("source")(choice_of(TEMPLATE_SOURCES))


class Known(SourceSection):
    """Published phases of the system, beside those that ship with the program: they join the hull, and are not new."""

    source: str = Field(
        "shipped", description=f"Of known phases, which join the hull and are not new. {KNOWN_SOURCES.help()}"
    )
    held_out: str = Field(
        "none",
        description=f"Held-out set: what is kept from the networks, for `imatgen evaluate rediscovery`. {HOLD_OUT.help()}",
    )

    _known_source = field_validator("source")(choice_of(KNOWN_SOURCES))
    _known_set = field_validator("held_out")(choice_of(HOLD_OUT))


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

    _list = field_validator("compositions", mode="before")(one_or_more)

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

    _known_check = field_validator("charge")(choice_of(CHARGE_CHECKS))
