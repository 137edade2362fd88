"""Settings of this machine: environment variables `IMATGEN_*`, then `~/.imatgen.yaml`, then defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from imatgen_flows.energetics.potential_registry import POTENTIALS
from imatgen_flows.errors import InputError
from imatgen_flows.io.yaml_file import load_yaml
from imatgen_flows.parallel import core_count

MEMORY_OF_A_WORKER = 1_100_000_000  # bytes; a worker with CHGNet takes 0.6 GB, with SevenNet-l3i5 and 60 sites 1.06


class _SettingsFile(YamlConfigSettingsSource):
    """The settings file, which is read as strictly as the other files that a person writes."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return load_yaml(Path(file_path)) or {}


class Settings(BaseSettings):
    """Settings of a machine, not of a campaign."""

    model_config = SettingsConfigDict(env_prefix="IMATGEN_", extra="forbid", yaml_file=Path.home() / ".imatgen.yaml")

    cache_dir: Path = Field(Path.home() / ".cache" / "imatgen", description="Downloaded templates.")
    workers: int = Field(0, ge=0, description="Processes for relaxations; 0 means one for each core.")
    threads: int = Field(1, ge=1, description="Threads for training on a CPU; more rarely help these small networks.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where networks are trained and run.")

    on_walltime: Literal["stop", "continue"] = Field(
        "stop", description="What a job does on SIGUSR1, SLURM's warning: stop, or hand over to a job that continues."
    )
    stand_in: bool = Field(False, description="Accept results of the stand-in for VASP: for tests of the DFT path.")
    cluster: Path | None = Field(None, description="Configuration directory of the cluster.")
    interpreters: dict[str, Path] = Field(
        {},
        description="By the name of a potential: the Python that runs it, where its package cannot stand beside ours. "
        "This program must be installed there too.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: code, environment, file."""
        return init_settings, env_settings, _SettingsFile(settings_cls)

    @field_validator("cache_dir", "cluster")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Make a path absolute, since jobs run in directories of their own."""
        return path.expanduser().absolute() if path else None

    @field_validator("interpreters")
    @classmethod
    def _absolute_each(cls, interpreters: dict[str, Path]) -> dict[str, Path]:
        """Make the paths absolute; a link stays one, since it is by its place that a virtual environment is found."""
        for name in interpreters:
            if ":" not in name:  # else a factory of the user's
                try:
                    POTENTIALS[name]
                except InputError as error:
                    raise ValueError(str(error).removesuffix(".")) from error
        return {name: path.expanduser().absolute() for name, path in interpreters.items()}

    @property
    def n_workers(self) -> int:
        """Number of worker processes for relaxations: one for each core, as far as the memory suffices."""
        return self.workers or max(1, min(core_count(), _memory() // MEMORY_OF_A_WORKER))


def get_settings() -> Settings:
    """Read the settings of this machine.

    Raises
    ------
    InputError
        Where a setting is unknown or has a value it cannot have, or the file is not YAML.
    """
    known = {f"IMATGEN_{name.upper()}" for name in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith("IMATGEN_") and name not in known)
    if unknown:
        raise InputError(f"unknown setting {unknown[0]} in the environment. Known: {', '.join(sorted(known))}.")
    try:
        return Settings()
    except ValidationError as error:
        fault = error.errors()[0]
        name = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"setting `{name}`: {fault['msg'].removeprefix('Value error, ')} (got {fault['input']!r})."
        ) from error
    except SettingsError as error:
        raise InputError(
            f"a setting in the environment cannot be read ({error}). IMATGEN_INTERPRETERS is JSON, as "
            '{"mace": "/path/to/python"}.'
        ) from error
    except (OSError, ValueError) as error:
        file = Settings.model_config["yaml_file"]
        raise InputError(f"{file}: cannot be read as `key: value` lines of settings: {error}") from error


def _memory() -> int:
    """Return the memory of the machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
