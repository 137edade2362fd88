"""The campaign file that `imatgen init` writes: one to start from, or an earlier one with the keys of today."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic
from imatgen_flows.models.registry import ANEW, PRETRAINED

CAMPAIGN_FILE = "campaign.yaml"
# keys that hold the path of a file or folder, and the words that may stand there instead
PATHS = {
    ("templates", "path"): (),
    ("known", "path"): (),
    ("sources", "files"): (),
    ("model", "start"): (ANEW, PRETRAINED),
}


@dataclass(frozen=True)
class Start:
    """Sections that a campaign begins with, as YAML."""

    templates: str
    known: str
    sampling: str


PROTOTYPES = "prototypes"
# by the source of templates; with few templates the prior is poor, and interpolation finds most
STARTS = {
    PROTOTYPES: Start("{source: prototypes}", "{source: shipped}", "{slerp: 1600, prior: 0, perturb: 0}"),
    "mp": Start("{source: mp}", "{source: mp}", "{slerp: 400, prior: 400, perturb: 100}"),
    "optimade": Start(
        "{source: optimade, provider: oqmd}",
        "{source: optimade, provider: oqmd}",
        "{slerp: 400, prior: 400, perturb: 100}",
    ),
}


def write_starter(directory: Path, system: Sequence[str], source: str) -> Path:
    """Write `campaign.yaml` into a directory.

    Parameters
    ----------
    directory : made where it does not exist
    system : two to five element symbols
    source : of templates, a key of `STARTS`

    Raises
    ------
    InputError
        Where there is one already, the directory cannot be written, or the system has more than five elements.
    """
    import yaml

    from imatgen_flows.config import CampaignConfig

    if directory.suffix in (".yaml", ".yml"):
        raise InputError(
            f"{directory}: named like a file, but it is a directory into which {CAMPAIGN_FILE} is written."
        )
    default = CampaignConfig(system=list(system))  # which refuses six elements
    elements = yaml.safe_dump(list(system), default_flow_style=True).strip()  # nobelium, No, is a truth value unquoted
    text = Template((files("imatgen_flows.cli") / "assets" / CAMPAIGN_FILE).read_text(encoding="utf-8"))
    drawn = default.model_dump()["sampling"]
    sampling = {name: drawn[name] for name in yaml.safe_load(STARTS[source].sampling)}
    written = yaml.safe_dump(sampling, default_flow_style=True, sort_keys=False).strip()
    values = {"title": "-".join(system), "elements": elements, "default_sampling": written}
    return _write(directory, text.substitute(vars(STARTS[source]), **values))


def convert_campaign(old: Path, directory: Path) -> tuple[Path, list[str]]:
    """Write an earlier campaign file with the keys of today into a directory; its relative paths are adapted.

    Returns
    -------
    the new file, and a sentence for each key that was renamed

    Raises
    ------
    InputError
        Where the old file cannot be read or holds a key that no version knows, or the new one cannot be written.
    """
    import yaml

    from imatgen_flows.campaign_v1 import RENAMED_KEYS, rename_old_keys, renamings_in
    from imatgen_flows.config import CampaignConfig
    from imatgen_flows.io.yaml_file import read_yaml, validate_content

    content = read_yaml(old, "campaign file", "Give the file that is to be converted.")
    converted: dict[str, Any] = rename_old_keys(content) if content.get("version", 1) in (1, 2) else dict(content)
    for (section, key), words in PATHS.items():
        inner = converted.get(section)
        if isinstance(inner, dict) and isinstance(inner.get(key), str) and inner[key] not in words:
            converted[section] = inner | {key: _relocated(inner[key], old.parent, directory)}
    validate_content(old, converted, CampaignConfig, RENAMED_KEYS)
    return _write(directory, yaml.safe_dump(converted, sort_keys=False)), renamings_in(content)


def _relocated(path: str, before: Path, after: Path) -> str:
    """Return a path relative to one directory as a path relative to another; absolute paths stay."""
    if Path(path).is_absolute() or path.startswith("~"):
        return path
    return os.path.relpath((before / path).resolve(), after.resolve())


def _write(directory: Path, text: str) -> Path:
    path = directory / CAMPAIGN_FILE
    if path.exists():
        raise InputError(f"{path} exists already; it was not touched.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path
