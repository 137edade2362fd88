"""Sections of a campaign on its networks: their training, and their samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, NonNegativeInt, RootModel, field_validator, model_validator

from imatgen_flows.campaign_v1 import RENAMED_KEYS
from imatgen_flows.config.choices import choice, choice_of, refuse_no_path
from imatgen_flows.io.yaml_file import Section
from imatgen_flows.models.registry import ANEW, PRESETS, PRETRAINED, SAMPLERS


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

    _known_preset = field_validator("preset")(choice_of(PRESETS))
    _some_path = field_validator("start", mode="before")(refuse_no_path)

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
            choice(SAMPLERS, name)
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
