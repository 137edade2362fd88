"""A run says where it is: in its log, in a file, and on a page that is served while it goes on and after."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace
from urllib.request import urlopen

import pytest

COMMAND = [sys.executable, "-c", "from imatgen_flows.cli.main import main; main()"]
STAGES = 15
# planned against taken, of all stages together: on a machine that others use too. Alone it is better than two
BOUND = 4.0


def start(*arguments, **streams):
    """Start the command in a process group of its own, where SIGINT is heeded even if this process ignores it."""
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, start_new_session=True, **heed, **streams)


def read(address):
    with urlopen(address, timeout=60) as answer:
        return answer.read().decode()


@pytest.fixture(scope="module")
def watched(tiny, tmp_path_factory):
    """Run a small campaign, its log in a file, and read its page every second."""
    folder = tmp_path_factory.mktemp("watched")
    campaign, directory, log = folder / "tiny.yaml", folder / "run", folder / "log"
    tiny(model={"epochs": 0.03}).to_file(campaign)
    with log.open("w") as stderr:
        run = start("run", campaign, "--directory", directory, stdout=subprocess.DEVNULL, stderr=stderr)
    while not (directory / "progress.json").is_file() and run.poll() is None:
        time.sleep(0.1)
    server = start("report", directory, "--serve", "--port", 0, stdout=subprocess.PIPE)
    pages = []
    try:
        address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
        while run.poll() is None:
            pages.append(read(address))
            time.sleep(1)
        while "being built" in (after := read(address)):
            time.sleep(1)
    finally:
        os.kill(server.pid, signal.SIGINT)
        said = server.communicate(timeout=60)[0]
    progress = json.loads((directory / "progress.json").read_text())
    return SimpleNamespace(
        directory=directory, log=log.read_text(), status=run.wait(), pages=pages, after=after, server=server, said=said,
        progress=progress,
    )  # fmt: skip


def test_the_log_has_a_line_where_each_stage_begins_and_one_where_it_ends(watched):
    assert watched.status == 0, watched.log
    begun = re.findall(rf"stage (\d+) of {STAGES}: ([\w ]+) \.\.\. \(", watched.log)
    ended = re.findall(rf"stage (\d+) of {STAGES}: ([\w ]+): done in ", watched.log)
    numbers = list(range(1, STAGES + 1))
    assert sorted({int(number) for number, _ in begun}) == sorted({int(number) for number, _ in ended}) == numbers
    assert [int(number) for number, _ in begun] == sorted(int(number) for number, _ in begun)
    assert ("12", "relax batch") in begun and begun.count(("12", "relax batch")) == 2  # two batches are one stage
    assert "\r" not in watched.log and "\x1b" not in watched.log
    assert len(watched.log.splitlines()) < 80


def test_the_log_says_time_spent_and_left_from_the_first_stage_on(watched):
    first = next(line for line in watched.log.splitlines() if f"stage 1 of {STAGES}" in line)
    assert re.search(r"\(\d+ (s|min) spent, about .* left\)", first)


def test_every_stage_is_done_in_the_end_and_what_was_counted_is_what_was_done(watched):
    stages = watched.progress["stages"]
    assert watched.progress["ended"] == "finished" and {stage["state"] for stage in stages} == {"done"}
    [relaxed] = [stage for stage in stages if stage["job"] == "relax_batch"]
    assert (relaxed["done"], relaxed["total"]) == (6, 6)
    seconds = json.loads((watched.directory / "provenance.json").read_text())["seconds"]
    assert relaxed["seconds"] == pytest.approx(seconds["relax_batch"], abs=0.2)


def test_the_plan_is_near_what_the_stages_took(watched):
    planned, taken = (sum(stage[name] for stage in watched.progress["stages"]) for name in ("planned", "seconds"))
    assert planned / BOUND < taken < planned * BOUND


def test_the_page_shows_the_run_while_it_goes_on_and_its_report_after(watched):
    going = [page for page in watched.pages if 'http-equiv="refresh"' in page]
    assert any("Running · stage " in page and " left" in page for page in going)
    assert any(">waiting<" in page and ">done<" in page for page in going)
    assert any("samples drawn" in page for page in going)
    assert "<title>V-O · report</title>" in watched.after and 'http-equiv="refresh"' not in watched.after
    assert watched.server.returncode == 0 and "no longer served" in watched.said


def test_the_status_of_a_run_has_its_progress(watched, imatgen):
    code, text, _ = imatgen("status", watched.directory, "--json")
    progress = json.loads(text)["progress"]
    assert code == 0 and progress["finished"] == progress["needed"] == STAGES and progress["seconds_left"] == 0


def test_what_is_no_run_or_has_no_free_port_cannot_be_watched(watched, imatgen, tmp_path):
    code, _, error = imatgen("report", tmp_path, "--serve")
    assert code == 2 and "not a run directory" in error
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, error = imatgen("report", watched.directory, "--serve", "--port", port)
    assert code == 2 and f"--port {port}" in error and "give another one" in error
