"""The pretrained models that ship with the program: model files in this folder."""

from __future__ import annotations

from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.models.model_file import SUFFIX
from imatgen_flows.models.registry import PRETRAINED


def shipped_models() -> dict[str, Path]:
    """List the model files that ship with the program, by name."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob(f"*{SUFFIX}"))}


def find_model(name: str) -> Path:
    """Find a model by the name of one that ships with the program, or by its path."""
    return shipped_model(name) if name == PRETRAINED or name in shipped_models() else Path(name)


def shipped_model(name: str = PRETRAINED) -> Path:
    """Find a model file that ships with the program.

    Raises
    ------
    InputError
        Where it is not there.
    """
    models = shipped_models()
    if name not in models:
        shipped = f"ships {', '.join(models)}" if models else "ships none"
        raise InputError(
            f"no pretrained model `{name}`: this version {shipped}. Give a model file, which `imatgen models pretrain` and "
            "`imatgen models export` write, or the directory of a finished run."
        )
    return models[name]
