"""Large data by reference: files named by what is in them, and finished stages found again by what went into them.

A store is a directory. An artifact is written under a temporary name and renamed to its hash, so it is either whole or
absent, and a job that is killed can simply run again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from imatgen_flows.errors import ImatgenError, InputError
from imatgen_flows.io.files import file_hash, write_atomic


class ArtifactError(ImatgenError):
    """An artifact is missing or is not what its reference says."""


class ArtifactRef(BaseModel):
    """Where a large result lies and what it is; small enough for any document."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    uri: str = Field(description="File URI of the artifact.")
    sha256: str = Field(description="Hash of its bytes.")
    nbytes: int = Field(description="Size in bytes.")
    kind: str = Field(description="What it holds, for example `structures` or `weights`.")

    def path(self) -> Path:
        """Return the local file.

        Raises
        ------
        ArtifactError
            Where the file is missing or its size differs.
        """
        path = Path(self.uri.removeprefix("file://"))
        if not path.is_file():
            raise ArtifactError(f"artifact {path} ({self.kind}) is missing. Run the campaign again to make it anew.")
        if path.stat().st_size != self.nbytes:
            raise ArtifactError(
                f"artifact {path} ({self.kind}) has {path.stat().st_size} bytes, {self.nbytes} were written. "
                "Delete it and run the campaign again with --resume."
            )
        return path


class ArtifactStore:
    """A directory of artifacts, finished stages and scratch space.

    Parameters
    ----------
    root : directory, made where it does not exist

    Raises
    ------
    InputError
        Where the directory cannot be written.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).absolute()
        try:
            for part in ("objects", "documents", "scratch"):
                (self.root / part).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {self.root}: {error.strerror}. Choose another run directory.") from error

    @contextmanager
    def new(self, kind: str, suffix: str) -> Iterator[_Pending]:
        """Write one artifact: fill `pending.path`, and find `pending.ref` after the block."""
        with tempfile.TemporaryDirectory(dir=self.root / "scratch") as scratch:
            pending = _Pending(Path(scratch) / f"artifact{suffix}")
            yield pending
            digest = file_hash(pending.path)
            final = self.root / "objects" / f"{kind}-{digest[:16]}{suffix}"
            nbytes = pending.path.stat().st_size
            os.replace(pending.path, final)
        pending.ref = ArtifactRef(uri=f"file://{final}", sha256=digest, nbytes=nbytes, kind=kind)

    def put_json(self, kind: str, value: Any) -> ArtifactRef:
        """Store a JSON value."""
        with self.new(kind, ".json") as pending:
            pending.path.write_text(json.dumps(value))
        return pending.ref

    def put_lines(self, kind: str, rows: Iterable[Mapping[str, Any]]) -> ArtifactRef:
        """Store rows as gzipped JSON lines."""
        import gzip

        with self.new(kind, ".jsonl.gz") as pending, pending.path.open("wb") as raw:
            # mtime=0 and no file name: equal rows give equal bytes, and so the same artifact
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as stream:
                stream.writelines(json.dumps(row).encode() + b"\n" for row in rows)
        return pending.ref

    def scratch(self, key: str) -> Path:
        """Return the working directory of one stage; a restarted stage finds its own checkpoints there."""
        path = self.root / "scratch" / key
        path.mkdir(parents=True, exist_ok=True)
        return path

    def finished(self, key: str) -> dict | None:
        """Return the document of a finished stage whose artifacts are all still whole, else None."""
        path = self.root / "documents" / f"{key}.json"
        if not path.is_file():
            return None
        try:
            document = json.loads(path.read_text())
            for ref in _references(document):
                # a run directory may have been moved since
                ref["uri"] = f"file://{self.root / 'objects' / Path(ref['uri']).name}"
                ArtifactRef(**ref).path()
        except (ArtifactError, ValueError):  # a power cut may leave a file that is renamed but empty
            return None
        return document

    def finish(self, key: str, document: dict) -> None:
        """Record a finished stage and drop its scratch space."""
        write_atomic(self.root / "documents" / f"{key}.json", json.dumps(document, indent=1))
        shutil.rmtree(self.root / "scratch" / key, ignore_errors=True)


class _Pending:
    """An artifact that is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ref: ArtifactRef


def read_json(ref: ArtifactRef) -> Any:
    """Read what `put_json` stored."""
    return json.loads(ref.path().read_text())


def read_lines(ref: ArtifactRef) -> list[dict]:
    """Read what `put_lines` stored."""
    import gzip

    with gzip.open(ref.path(), "rt") as stream:
        return [json.loads(line) for line in stream]


def content_key(*parts: Any) -> str:
    """Return 16 hex digits that name JSON-like inputs.

    References count by their content, not by where they lie, and finished stages by their own key.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, ArtifactRef):
            return value.sha256
        if isinstance(value, BaseModel):
            if "key" in type(value).model_fields:
                return value.key  # type: ignore[attr-defined]
            return plain({name: getattr(value, name) for name in type(value).model_fields})
        if isinstance(value, dict):
            return {str(name): plain(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    text = json.dumps(plain(list(parts)), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _references(value: Any) -> Iterator[dict]:
    """Find the references in a document that was read from JSON."""
    if isinstance(value, dict):
        if set(ArtifactRef.model_fields) == set(value):
            yield value
        else:
            for item in value.values():
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
