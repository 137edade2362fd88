"""Index of the protostructures that a pretrained model learnt from."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path

from imatgen_flows.errors import InputError
from imatgen_flows.io.files import write_atomic

SUFFIX = ".protostructures.gz"


def index_path(model: Path) -> Path:
    """Name the index of a model file, which lies beside it."""
    return model.with_name(model.stem + SUFFIX)


class PrototypeIndex:
    """Protostructure labels of the structures that a model was trained on.

    It tells that a crystal has the space group and the occupied positions of a training structure, with its elements in the
    same roles. It cannot tell two prototypes of one label apart (they differ in free parameters), and takes a distorted
    prototype for another one.

    Parameters
    ----------
    labels : as `protostructure_label` gives them
    """

    def __init__(self, labels: Iterable[str]) -> None:
        self._labels = frozenset(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, label: object) -> bool:
        return label in self._labels

    def write(self, path: Path) -> None:
        """Write the labels as gzipped text, one a line; equal indices give equal bytes."""
        text = "".join(f"{label}\n" for label in sorted(self._labels))
        write_atomic(path, gzip.compress(text.encode(), mtime=0))

    @classmethod
    def read(cls, path: Path) -> PrototypeIndex:
        """Read what `write` wrote.

        Raises
        ------
        InputError
            Where the file is missing or damaged.
        """
        try:
            return cls(gzip.decompress(path.read_bytes()).decode().split())
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: the index of training protostructures is missing or damaged. Put it beside the model file again."
            ) from error
