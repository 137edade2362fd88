"""The section of a campaign on who proposes candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from imatgen_flows.config.choices import choice, choice_of, refuse_no_path
from imatgen_flows.io.yaml_file import Section
from imatgen_flows.sources.registry import ADAPTIVE, ALLOCATIONS, FILES, FIXED, GENERATOR, SOURCES

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

    _some_path = field_validator("files", mode="before")(refuse_no_path)
    _known_allocation = field_validator("allocation")(choice_of(ALLOCATIONS))

    @field_validator("shares")
    @classmethod
    def _add_up(cls, shares: dict[str, float]) -> dict[str, float]:
        for name, share in shares.items():
            choice(SOURCES, name)
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
