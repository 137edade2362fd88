from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from imatgen_flows.errors import InputError
from imatgen_flows.io.artifacts import (
    ArtifactError,
    ArtifactRef,
    ArtifactStore,
    content_key,
    file_hash,
    read_json,
    read_lines,
    write_atomic,
)

ROWS = [{"id": "a", "x": 1.5, "none": None}, {"id": "é", "parents": ["a"]}]


@pytest.fixture
def store(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def objects(store):
    return sorted((store.root / "objects").iterdir())


def leftovers(store):
    return list((store.root / "scratch").iterdir())


def test_what_is_stored_comes_back(store):
    assert read_lines(store.put_lines("rows", ROWS)) == ROWS
    assert read_lines(store.put_lines("rows", [])) == []
    assert read_json(store.put_json("value", {"a": [1, None]})) == {"a": [1, None]}
    assert leftovers(store) == []


def test_equal_rows_give_equal_references(store, tmp_path):
    first = store.put_lines("rows", ROWS)
    assert store.put_lines("rows", list(ROWS)) == first
    assert len(objects(store)) == 1
    elsewhere = ArtifactStore(tmp_path / "other").put_lines("rows", ROWS)
    assert elsewhere.sha256 == first.sha256 == file_hash(first.path())
    assert elsewhere.uri != first.uri
    assert store.put_lines("rows", ROWS[::-1]).sha256 != first.sha256


def test_a_block_that_raises_leaves_nothing(store):
    with pytest.raises(RuntimeError, match="half way"):
        with store.new("rows", ".txt") as pending:
            pending.path.write_text("half")
            raise RuntimeError("half way")
    assert objects(store) == leftovers(store) == []


def test_rows_that_json_cannot_say_leave_nothing(store):
    with pytest.raises(TypeError):
        store.put_lines("rows", [{"x": 1}, {"x": object()}])
    assert objects(store) == leftovers(store) == []


def test_a_process_killed_while_it_writes_leaves_no_object(store):
    child = os.fork()
    if not child:
        with store.new("rows", ".txt") as pending:
            pending.path.write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert objects(store) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "bytes, .* were written"),
        (lambda path: path.write_bytes(b""), "has 0 bytes"),
    ],
    ids=["deleted", "truncated", "emptied"],
)
def test_a_damaged_artifact_is_noticed_and_its_stage_is_not_finished(store, damage, said):
    ref = store.put_lines("rows", ROWS)
    whole = store.put_json("value", 1)
    document = {"counts": {"rows": 2}, "deep": [{"rows": ref.model_dump()}], "value": whole.model_dump()}
    store.finish("stage-1", document)
    assert store.finished("stage-1") == document
    damage(ref.path())
    with pytest.raises(ArtifactError, match=said):
        ref.path()
    assert store.finished("stage-1") is None
    assert store.put_lines("rows", ROWS) == ref  # made anew, in the same place
    assert store.finished("stage-1") == document


def test_a_stage_that_never_ran_is_not_finished(store):
    assert store.finished("never") is None


@pytest.mark.parametrize("record", ["", '{"counts": ', "\0\0\0"])
def test_a_torn_record_of_a_stage_is_no_record(store, record):
    (store.root / "documents" / "stage-1.json").write_text(record)
    assert store.finished("stage-1") is None


def test_stages_are_found_after_the_run_directory_has_moved(store, tmp_path):
    store.finish("stage-1", {"rows": store.put_lines("rows", ROWS).model_dump()})
    shutil.move(store.root, tmp_path / "moved")
    document = ArtifactStore(tmp_path / "moved").finished("stage-1")
    assert read_lines(ArtifactRef(**document["rows"])) == ROWS


def test_scratch_survives_until_its_stage_is_finished(store):
    (store.scratch("stage-1") / "checkpoint.pt").write_text("half way")
    assert (store.scratch("stage-1") / "checkpoint.pt").read_text() == "half way"
    store.finish("stage-1", {})
    assert leftovers(store) == []


@pytest.mark.parametrize("make", [lambda folder: folder / "file", lambda folder: folder / "file" / "below"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path, make):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=f"cannot write to {make(tmp_path)}.*Choose another"):
        ArtifactStore(make(tmp_path))


def test_atomic_writing_replaces_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    write_atomic(path, "before")

    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="disk full"):
            write_atomic(path, "after")
    assert path.read_text() == "before"
    write_atomic(path, "after")
    assert path.read_text() == "after"


def test_a_key_ignores_where_data_lie_and_the_order_of_names(store, tmp_path):
    here = store.put_lines("rows", ROWS)
    there = ArtifactStore(tmp_path / "other").put_lines("rows", ROWS)
    assert content_key({"a": 1, "b": here}) == content_key({"b": there, "a": 1})
    assert content_key([1, (2, 3)]) == content_key([1, [2, 3]])
    assert len(content_key()) == 16


def test_a_key_sees_every_input(store):
    rows, other = store.put_lines("rows", ROWS), store.put_lines("rows", ROWS[:1])
    inputs = [(), (1,), (1.5,), ("1",), ([1],), (1, 2), (2, 1), ([1, 2],), ({"a": 1},), ({"a": None},), ({},), (None,)]
    keys = [content_key(*parts) for parts in [*inputs, (True,), (rows,), (other,)]]
    assert len(set(keys)) == len(keys)


def test_a_finished_stage_counts_by_its_key_and_another_document_by_its_fields():
    class Stage(BaseModel):
        key: str
        seconds: float

    class Plain(BaseModel):
        value: int

    assert content_key(Stage(key="k", seconds=1)) == content_key(Stage(key="k", seconds=2)) == content_key("k")
    assert content_key(Plain(value=1)) == content_key({"value": 1}) != content_key(Plain(value=2))


def test_a_key_is_the_same_in_another_process():
    assert content_key("train", {"seed": 7, "grid": None}) == "47c0ceafc2ed55dc"  # a restart must find it


def test_references_are_small_fixed_documents(store):
    ref = store.put_lines("rows", ROWS * 1000)
    assert len(json.dumps(ref.model_dump())) < 500
    with pytest.raises(ValidationError):
        ref.sha256 = "another"
    with pytest.raises(ValidationError):
        ArtifactRef(**ref.model_dump(), extra=1)
