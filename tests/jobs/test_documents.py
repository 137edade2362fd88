"""The documents that pass between jobs."""

from __future__ import annotations

from imatgen_flows.io.artifacts import content_key
from imatgen_flows.jobs.cached_job import parents_of, restore
from imatgen_flows.jobs.documents import InputFile, JobDocument


def test_an_input_file_is_known_by_its_content_and_not_by_its_folder(tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "known.jsonl").write_text("{}")
    (tmp_path / "renamed.jsonl").write_text("{}")
    here, there = InputFile.of(tmp_path / "here" / "known.jsonl"), InputFile.of(tmp_path / "renamed.jsonl")
    assert here.path != there.path and content_key(here) == content_key(there)
    assert content_key(InputFile.of(tmp_path / "here")) == content_key(InputFile.of(tmp_path / "there"))
    (tmp_path / "there" / "known.jsonl").write_text("{ }")
    for name in ("", "known.jsonl"):
        before, after = (InputFile.of(tmp_path / folder / name) for folder in ("here", "there"))
        assert content_key(before) != content_key(after)
    assert InputFile.of(None) is None


def test_a_database_gives_documents_back_wherever_they_stand_in_the_inputs():
    stored = {"@module": "imatgen_flows.jobs.documents", "@class": "JobDocument", "key": "train_vae-1"}
    restored = restore({"networks": {"vae": stored}, "models": [stored], "role": "cell"})
    document = JobDocument(key="train_vae-1")
    assert restored == {"networks": {"vae": document}, "models": [document], "role": "cell"}
    assert parents_of(restored) == ["train_vae-1"]
