"""Parsing of SLURM's answers; no answer is never read as `no jobs`."""

from __future__ import annotations

import os
import time

import pytest

from imatgen_flows.errors import ImatgenError
from imatgen_flows.managers.slurm import (
    Partition,
    SlurmJob,
    UnreadableAnswer,
    cancel,
    live_jobs,
    parse_count,
    parse_time,
    partitions,
    read_job_id,
    refusal,
    submit,
)


@pytest.fixture
def says(tmp_path, monkeypatch):
    """Put a program that runs some shell lines on PATH, before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name, script):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return put


def answer(*records):
    """Print records as SLURM does for our format."""
    text = "".join("\x1e" + "\x1f".join(record) + "\n" for record in records)
    return f"cat <<'END'\n{text}END"


def test_odd_names_and_folders_come_through_whole(says):
    odd = "a|b: $HOME; 'x'\nsecond line"
    says("squeue", answer(("17", "RUNNING", "None", "gpu", "1-02:03:04", "/scratch/my runs/é", odd)))
    assert live_jobs() == {"17": SlurmJob("17", odd, "RUNNING", "None", "gpu", "/scratch/my runs/é", 93784)}


def test_ids_of_arrays_and_heterogeneous_jobs_stay_as_printed(says):
    rest = ("PENDING", "Resources", "cpu", "0:00", "/", "n")
    says("squeue", answer(("2_[3-30%4]", *rest), ("2_1", *rest), ("5+1", *rest)))
    assert list(live_jobs()) == ["2_[3-30%4]", "2_1", "5+1"]


def test_every_job_is_alive_that_has_not_ended_whatever_its_state_is_called(says):
    states = ("COMPLETING", "CONFIGURING", "REQUEUE_HOLD", "SUSPENDED", "A_STATE_OF_2040", "COMPLETED", "NODE_FAIL")
    says("squeue", answer(*((str(i), state, "None", "cpu", "0:01", "/", "n") for i, state in enumerate(states))))
    assert [job.state for job in live_jobs().values()] == list(states[:5])


def test_an_empty_queue_is_an_answer(says):
    says("squeue", "exit 0")
    assert live_jobs() == {}


def test_the_users_own_filters_for_squeue_hide_no_job(says, monkeypatch):
    monkeypatch.setenv("SQUEUE_PARTITION", "gpu")
    says("squeue", f'test -z "$SQUEUE_PARTITION" && {answer(("1", "PENDING", "None", "cpu", "0:00", "/", "n"))}')
    assert list(live_jobs()) == ["1"]


@pytest.mark.parametrize("ask", [live_jobs, partitions, lambda: cancel(["1"])])
def test_without_slurm_the_sentence_says_where_to_run_it(ask, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImatgenError, match=r"`s\w+` is not on PATH. Run this on a machine of the cluster"):
        ask()


def test_a_controller_that_is_down_is_not_an_empty_queue(says, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    says("squeue", "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1")
    with pytest.raises(ImatgenError, match=r"Unable to contact slurm controller.*SLURM_CONF=/etc/other\.conf"):
        live_jobs()


def test_a_user_that_slurm_cannot_look_up_is_not_an_empty_queue(says):
    # squeue 22.05 prints this, and exits 0
    says("squeue", "echo 'squeue: error: Invalid user: 12345' >&2")
    with pytest.raises(ImatgenError, match="Invalid user: 12345"):
        live_jobs("12345")


def test_a_warning_beside_an_answer_does_no_harm(says):
    jobs = answer(("1", "RUNNING", "None", "cpu", "0:09", "/", "n"))
    says("squeue", f"echo 'squeue: error: a plugin is old' >&2\n{jobs}")
    assert live_jobs()["1"].seconds == 9


def test_a_controller_that_hangs_is_given_up(says):
    says("squeue", "exec sleep 60")
    began = time.monotonic()
    with pytest.raises(ImatgenError, match=r"within 0.5 s.*try again later"):
        live_jobs(timeout=0.5)
    assert time.monotonic() - began < 10


def test_an_answer_that_was_cut_short_is_refused(says):
    says("squeue", answer(("1", "RUNNING", "None")))
    with pytest.raises(ImatgenError, match="cannot be read"):
        live_jobs()


def test_a_partition_of_several_kinds_of_nodes_offers_its_largest(says):
    kinds = (
        ("gpu", "2-00:00:00", "gpu:a100:4(S:0-1)", "3", "64", "512000", "up"),
        ("gpu", "2-00:00:00", "gpu:v100:2", "10", "40", "192000", "up"),
        ("debug", "infinite", "(null)", "1", "8", "16000", "drain"),
    )
    says("sinfo", answer(*kinds))
    assert partitions() == {
        "gpu": Partition("gpu", 172800, "gpu:a100:4,gpu:v100:2", 13, 64, 512000, True),
        "debug": Partition("debug", None, "", 1, 8, 16000, False),
    }


def test_a_thousand_jobs_are_cancelled_in_commands_that_the_kernel_takes(says, tmp_path):
    says("scancel", f'echo $# "$1" >> {tmp_path}/calls')
    cancel(str(i) for i in range(1001))
    assert (tmp_path / "calls").read_text().splitlines() == ["500 0", "500 500", "1 1000"]


def test_nothing_to_cancel_asks_slurm_nothing(says):
    says("scancel", "exit 1")
    cancel([])


def test_a_refused_cancel_counts_only_while_the_job_lives(says):
    says("scancel", "echo 'Access/permission denied' >&2; exit 1")
    rest = ("None", "cpu", "0:01", "/", "n")
    says("squeue", answer(("1", "COMPLETING", *rest), ("2", "COMPLETED", *rest)))
    cancel(["1", "2", "3"])
    says("squeue", answer(("1", "RUNNING", *rest)))
    with pytest.raises(ImatgenError, match="did not cancel 1: Access/permission denied"):
        cancel(["1", "2"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0:00", 0), ("12:34", 754), ("1:00:00", 3600), ("7-00:00:00", 604800), ("59", 59), ("INVALID", None)],
        *[("1-12", 129600), ("1-12:30", 131400), ("infinite", None), ("UNLIMITED", None)],
    ],
)
def test_times_are_read_as_slurm_prints_them(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "unit", "number"),
    [
        *[("64", "", 64), ("64+", "", 64), ("2.4K", "", 2457), ("1K", "", 1024), ("0", "", 0)],
        *[("512000", "M", 512_000), ("512000+", "M", 512_000), ("250G", "M", 256_000), ("250G+", "M", 256_000)],
        *[("1.5T", "M", 1_572_864), ("512000M", "M", 512_000), ("4096K", "M", 4), ("1.5TB", "M", 1_572_864)],
    ],
)
def test_numbers_are_read_with_the_units_of_slurm_which_are_powers_of_1024(text, unit, number):
    assert parse_count(text, unit) == number


def test_a_partition_whose_numbers_have_units_is_read_like_any_other(says):
    kinds = (
        ("big", "1-00:00:00", "gpu:a100:4", "2.4K", "64+", "250G", "up"),
        ("big", "1-00:00:00", "(null)", "10", "8", "1.5T+", "up"),
    )
    says("sinfo", answer(*kinds))
    assert partitions() == {"big": Partition("big", 86400, "gpu:a100:4", 2467, 64, 1_572_864, True)}


@pytest.mark.parametrize(
    "record", [("a", "1h", "", "1", "1", "1", "up"), ("a", "infinite", "", "many", "1", "1", "up")]
)
def test_a_limit_or_a_number_that_cannot_be_read_is_no_limit_that_everything_fits(says, record):
    says("sinfo", answer(record))
    with pytest.raises(ImatgenError, match=r"`sinfo` answered with '(1h|many)', where a (walltime|number) is expected"):
        partitions()


@pytest.mark.parametrize(
    "text",
    [
        "17",
        "17;alpha",
        "Submitted batch job 17",
        "Submitted batch job 17 on cluster alpha",
        "-----\n   Welcome 2\n-----\n\nNo reservation for this job\nSubmitted batch job 17\n",
        "sbatch: INFO: estimated cost 12 credits for 3 nodes\n17\n",
        "17\nSubmitted batch job 17",
    ],
)
def test_the_id_of_a_job_is_read_whatever_stands_around_it(text):
    assert read_job_id(text) == "17"


@pytest.mark.parametrize("text", ["", "Stapelauftrag 17 eingereicht", "17\n18", "job 17", "17 credits", "1.7"])
def test_an_answer_without_one_id_is_refused_and_shown(text):
    with pytest.raises(UnreadableAnswer) as caught:
        read_job_id(text)
    assert repr(text) in str(caught.value) and "`sbatch --parsable`" in str(caught.value)


def test_a_job_is_submitted_once_with_the_option_for_programs(says, tmp_path):
    says("sbatch", f'echo "$@" >> {tmp_path}/calls; echo "sbatch: a notice" >&2; echo 17')
    assert submit(tmp_path / "job.sh", ["--hold"]) == "17"
    assert (tmp_path / "calls").read_text() == f"--parsable --hold {tmp_path}/job.sh\n"


def test_a_refusal_is_told_apart_from_an_answer_that_cannot_be_read(says):
    says("sbatch", "echo 'sbatch: error: Invalid account' >&2; exit 1")
    with pytest.raises(ImatgenError, match="sbatch refuses it: sbatch: error: Invalid account") as caught:
        submit("job.sh")
    assert not isinstance(caught.value, UnreadableAnswer)


def test_a_refused_option_is_said_in_place_of_the_hint_at_the_help(tmp_path, monkeypatch):
    hint = "sbatch: unrecognized option '--golden=yes'\nTry \"sbatch --help\" for more information"
    (tmp_path / "sbatch").write_text(f"#!/bin/sh\necho '{hint}' >&2; exit 1\n".replace("'--golden=yes'", "--golden"))
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert refusal(["--golden=yes"]) == "sbatch: unrecognized option --golden"
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'Job 1 to start at noon' >&2\n")
    assert refusal([]) == ""
