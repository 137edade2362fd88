"""Files that a manager writes into a run directory, and when it leaves them unchanged."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from imatgen_flows.errors import InputError
from imatgen_flows.jobs.documents import CandidateTable, JobDocument, RoundDocument
from imatgen_flows.managers.jobflow_remote import harvest_remote
from imatgen_flows.managers.run_files import extended, prepare, seconds_by_job, write_provenance
from imatgen_flows.run import Run

NOTHING = CandidateTable()
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def dataset(seconds=2.0, key="build_dataset-01"):
    return JobDocument(key=key, seconds=seconds)


@pytest.fixture
def write(tiny, tmp_path, monkeypatch):
    """Write the provenance of a run and read it, each time an hour later by the clock."""
    hours = iter(range(100))

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return STARTED + timedelta(hours=next(hours))

    monkeypatch.setattr("imatgen_flows.managers.run_files.datetime", Clock)

    def of(key="finish_round-01", documents=(), started=STARTED):
        last = RoundDocument(key=key, round=0, candidates=NOTHING, ledger={}, tables={})
        write_provenance(tiny(), tmp_path, last, list(documents), "a machine", started)
        return json.loads((tmp_path / "provenance.json").read_text())

    return of


def test_a_finished_run_that_is_resumed_keeps_its_time_of_ending(write):
    first = write(documents=[dataset()])
    assert write(documents=[dataset()]) == first


def test_a_run_that_went_on_gets_a_new_time_of_ending_and_keeps_that_of_its_start(write):
    first = write(documents=[dataset()])
    later = STARTED + timedelta(days=1)  # `rounds` of the campaign file were changed then
    more = write("finish_round-02", [dataset()], started=later)
    again = write("finish_round-02", [dataset(seconds=3.0)], started=later)  # a job was repeated
    assert first["finished"] < more["finished"] < again["finished"]
    assert first["started"] == more["started"] == again["started"]


def test_the_settings_of_the_run_are_on_record_also_where_an_earlier_version_wrote_none(write, tiny, tmp_path):
    settings = tiny().model_dump(mode="json", by_alias=True)
    first = write(documents=[dataset()])
    assert first["settings"] == settings
    del first["settings"]
    (tmp_path / "provenance.json").write_text(json.dumps(first))
    assert write(documents=[dataset()])["settings"] == settings


def test_seconds_of_a_job_are_added_up_and_a_document_that_occurs_twice_counts_once():
    other = dataset(key="build_dataset-02")
    assert seconds_by_job([dataset(), dataset(), other]) == {"build_dataset": 4.0}


@pytest.fixture
def run_of_version_1(tmp_path):
    """A run directory that an earlier version wrote."""
    run = tmp_path / "old"
    (run / "artifacts" / "stages").mkdir(parents=True)
    (run / "campaign.yaml").write_text("version: 1\nsystem: [V, O]\ngenerator: {seed: 7}\n")
    return run


@pytest.mark.parametrize("resume", [True, False])
def test_a_run_directory_of_version_1_is_answered_with_what_to_do(tiny, run_of_version_1, resume):
    with pytest.raises(InputError, match=r"version 1.*imatgen init DIR --from .*another directory") as caught:
        prepare(tiny(), run_of_version_1, resume)
    assert "\n" not in str(caught.value)


def test_a_run_directory_of_version_1_is_not_harvested(run_of_version_1):
    with pytest.raises(InputError, match=r"version 1.*imatgen init DIR --from"):
        harvest_remote(run_of_version_1)


def test_a_finished_run_that_is_extended_says_so_until_it_has_what_was_added(tiny, tmp_path):
    run = tmp_path / "run"
    prepare(tiny(), run, resume=False)
    (run / "provenance.json").write_text(json.dumps({"settings": tiny().model_dump(mode="json", by_alias=True)}))
    assert extended(run) == [] and "Since then" not in Run.open(run).outlook
    more = tiny(phonons={"at_most": 3}, rounds={"at_most": 2})
    prepare(more, run, resume=True)
    assert extended(run) == ["rounds", "phonons"]
    assert "Since then rounds and phonons were changed" in Run.open(run).outlook and "--resume" in Run.open(run).outlook
    (run / "provenance.json").write_text(json.dumps({"settings": more.model_dump(mode="json", by_alias=True)}))
    assert extended(run) == []


def test_a_campaign_file_that_was_changed_is_refused_with_the_names_of_its_sections(tiny, tmp_path):
    prepare(tiny(), tmp_path / "run", resume=False)
    prepare(tiny(name="with more", rounds={"at_most": 2}), tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="of another campaign: `sources` differs, in .*campaign.yaml"):
        prepare(tiny(sources={"shares": {"rattled": 1.0}}), tmp_path / "run", resume=True)
    with pytest.raises(InputError, match="`search` and `sources` differ, in"):
        prepare(tiny(sources={"shares": {"rattled": 1.0}}, search={"sites": 3}), tmp_path / "run", resume=True)
