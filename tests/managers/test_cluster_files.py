from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from fireworks.core.fworker import FWorker
from fireworks.utilities.fw_serializers import load_object_from_file
from jobflow.settings import JobflowSettings

from imatgen_flows.cli.cluster import init_cluster
from imatgen_flows.cluster import PROFILES, ClusterConfig, Database, Resources
from imatgen_flows.errors import InputError
from imatgen_flows.launchpad import prepare
from imatgen_flows.managers.cluster_files import (
    MARK,
    cluster_files,
    launchers,
    manager_config,
    queue_adapter,
    stale_files,
    start_cluster_directory,
    write_cluster_files,
)
from imatgen_flows.settings import Settings, get_settings

PASSWORD = "a: \"b\" #'c' \\ $HOME @é"  # of all that YAML, the shell and templates could trip over
PROFILE = {
    "light": {"partition": "short", "cores": 2, "memory": "8G", "walltime": "02:00:00", "qos": "debug"},
    "gpu_train": {
        "partition": "a100",
        "cores": 8,
        "memory": "32G",
        "walltime": "12:00:00",
        "gres": "gpu:1",
        "account": "us",
    },
    "gpu_relax": {"partition": "v100", "cores": 16, "memory": "64G", "walltime": "04:00:00", "gres": "gpu:v100:2"},
    "cpu_vasp": {"partition": "long", "nodes": 2, "cores": 32, "memory": "120G", "walltime": "1-00:00:00"},
}


@pytest.fixture
def directory(tmp_path):
    """A directory whose name must be quoted in the shell and in YAML."""
    path = tmp_path / "the group's cluster: #1"
    path.mkdir()
    return path


@pytest.fixture
def describe(directory, tmp_path):
    """Write a cluster file, with a folder of programs and a password."""
    programs = tmp_path / "my programs"
    programs.mkdir()
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)

    def write(**changes):
        content = {
            "python": str(programs),
            "setup": ["export FROM_SETUP='two words'"],
            "database": {"host": "db", "name": "ours", "username": "me", "password_file": str(secret)},
            "profiles": PROFILE,
            "warning": 60,
            "potcars": "/data/pot cars",
        }
        (directory / "cluster.yaml").write_text(yaml.safe_dump(content | changes))
        return ClusterConfig.from_directory(directory)

    return write


@pytest.fixture
def cluster(describe, directory):
    found = describe()
    write_cluster_files(directory)
    return found


@pytest.fixture
def program(tmp_path):
    """Put a program into the environment of jobs."""

    def write(name, text):
        path = tmp_path / "my programs" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o700)

    return write


def mode(path):
    return path.stat().st_mode & 0o777


def batch_script(directory, **asked):
    """Return the batch script that FireWorks would submit for a job in reservation mode."""
    adapter = load_object_from_file(str(directory / "my_qadapter.yaml"))
    adapter.update(asked)
    adapter["rocket_launch"] += " --fw_id 7"
    folder = directory / "blocks" / "launcher_1"
    folder.mkdir(parents=True, exist_ok=True)
    return adapter.get_script_str(str(folder))


def options(script):
    return {
        line.removeprefix("#SBATCH --").partition("=")[0]: line.partition("=")[2]
        for line in script.splitlines()
        if line.startswith("#SBATCH")
    }


def test_a_directory_starts_from_nothing_and_is_readable_by_its_owner_alone(tmp_path):
    written = start_cluster_directory(tmp_path / "new" / "cluster", embedded=False)
    folder = tmp_path / "new" / "cluster"
    assert mode(folder) == 0o700
    assert {path.name for path in written} == {path.name for path in folder.iterdir()}
    found = ClusterConfig.from_directory(folder)
    assert found.python == Path(sys.prefix) / "bin"
    assert found.profiles.cpu_vasp.walltime == 86400
    assert stale_files(folder) == []


def test_the_cluster_file_to_start_from_names_every_key_and_holds_with_all_of_them(tmp_path):
    start_cluster_directory(tmp_path, embedded=False)
    path = tmp_path / "cluster.yaml"
    # what is a comment there may be taken in as it stands
    path.write_text(re.sub(r"^( *)# (\w+: )", r"\1\2", path.read_text(), flags=re.MULTILINE))
    found = ClusterConfig.from_directory(tmp_path)
    named = found.model_fields_set | found.database.model_fields_set
    for name in PROFILES:
        named |= found.profiles[name].model_fields_set
    # the connection string stands in place of host and port
    assert found.database.uri == "" and re.search(r"^ +#   uri: mongodb", path.read_text(), flags=re.MULTILINE)
    assert named | {"uri"} == {*ClusterConfig.model_fields, *Database.model_fields, *Resources.model_fields}


def test_a_cluster_file_is_never_overwritten_and_the_others_follow_it(tmp_path):
    start_cluster_directory(tmp_path, embedded=False)
    path = tmp_path / "cluster.yaml"
    edited = path.read_text().replace("jobs: 20 ", "jobs: 33 ")
    path.write_text(edited)
    assert stale_files(tmp_path) == ["start-dispatch.sh", "start-gpu.sh", "start-cpu.sh"]
    start_cluster_directory(tmp_path, embedded=False)
    assert path.read_text() == edited
    assert "-m 33 " in (tmp_path / "start-dispatch.sh").read_text()
    assert stale_files(tmp_path) == []


def test_embedded_is_not_forced_upon_a_cluster_file_that_says_otherwise(cluster, directory):
    with pytest.raises(InputError, match="`database.embedded: false`, but --embedded"):
        start_cluster_directory(directory, embedded=True)


def test_the_next_steps_can_be_pasted_into_a_shell(directory, capsys):
    init_cluster(directory, embedded=False)
    started = capsys.readouterr().out
    init_cluster(directory, embedded=False)
    again = capsys.readouterr().out
    words = [shlex.split(line, comments=True) for line in again.splitlines()[1:]]
    assert words == [["imatgen", "check", "--cluster", str(directory)], [".", str(directory / "env.sh")]]
    assert f"{directory / 'cluster.yaml'}" in " ".join(shlex.split(started.splitlines()[1], comments=True))


def test_files_with_a_password_are_readable_by_their_owner_alone(cluster, directory):
    holding = {
        path.name for path in directory.iterdir() if json.dumps(PASSWORD, ensure_ascii=False) in path.read_text()
    }
    assert holding == {"my_launchpad.yaml", "jobflow.yaml"}
    assert {mode(directory / name) for name in holding} == {0o600}
    assert mode(directory / "env.sh") == 0o700
    assert mode(directory) == 0o700
    # a directory within a repository is not committed by accident
    assert (directory / ".gitignore").read_text().splitlines()[-1] == "*"


def test_a_file_that_others_can_read_counts_as_not_up_to_date(cluster, directory):
    (directory / "my_launchpad.yaml").chmod(0o640)
    (directory / "FW_config.yaml").chmod(0o600)  # less than ours is no leak
    (directory / "jobflow.yaml").unlink()
    assert stale_files(directory) == ["my_launchpad.yaml", "jobflow.yaml"]


def test_a_file_of_someone_else_is_not_touched_and_nothing_is_written(describe, directory):
    describe()
    theirs = directory / "my_qadapter.yaml"
    theirs.write_text("_fw_name: TheirAdapter\n")
    with pytest.raises(InputError, match="my_qadapter.yaml was not written by imatgen, and was not touched"):
        write_cluster_files(directory)
    assert {path.name for path in directory.iterdir()} == {"cluster.yaml", "my_qadapter.yaml"}


def test_a_full_disk_leaves_the_files_as_they_were(cluster, describe, directory, monkeypatch):
    before = {path.name: path.read_text() for path in directory.iterdir()}
    describe(warning=90)
    written, write_text = [], Path.write_text

    def fills_up(path, text):
        if len(written) == 5:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        return write_text(path, text)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", fills_up)
        with pytest.raises(InputError, match="cannot write .*: No space left on device"):
            write_cluster_files(directory)
    after = {path.name: path.read_text() for path in directory.iterdir()}
    assert len(written) == 5
    assert after | {"cluster.yaml": ""} == before | {"cluster.yaml": ""}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.chmod(0o644), "can be read by others: chmod 600 "),
        (lambda path: path.unlink(), "No such file or directory. `database.password_file`"),
        (lambda path: path.write_text("\n"), "must hold the password on one line"),
        (lambda path: path.write_text("one\ntwo\n"), "must hold the password on one line"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "it is not text"),
    ],
    ids=["open", "missing", "empty", "two-lines", "binary"],
)
def test_a_password_file_must_be_private_and_hold_a_password(describe, directory, tmp_path, spoil, said):
    describe()
    spoil(tmp_path / "secret")
    with pytest.raises(InputError, match=said):
        write_cluster_files(directory)
    assert [path.name for path in directory.iterdir()] == ["cluster.yaml"]


def test_launchpad_and_job_stores_name_the_same_database_and_user(cluster, directory):
    launchpad = yaml.safe_load((directory / "my_launchpad.yaml").read_text())
    assert launchpad == {
        "host": "db",
        "port": 27017,
        "name": "ours",
        "username": "me",
        "password": PASSWORD,
        "authsource": "ours",
        "logdir": None,
        "strm_lvl": "WARNING",
        "uri_mode": False,
        "mongoclient_kwargs": {},
    }
    store = JobflowSettings(CONFIG_FILE=str(directory / "jobflow.yaml")).JOB_STORE
    data = store.additional_stores["data"]
    for part in (store.docs_store, data):
        assert (part.host, part.port, part.database) == ("db", 27017, "ours")
        assert (part.username, part.password, part.auth_source) == ("me", PASSWORD, "ours")
    assert type(data).__name__ == "GridFSStore"
    assert store.docs_store.collection_name != data.collection_name


def test_a_user_whom_another_database_knows_logs_in_there(describe, directory):
    cluster = describe()
    cluster.database.auth_source = "admin"
    files = cluster_files(cluster, directory)
    assert yaml.safe_load(files["my_launchpad.yaml"].text)["authsource"] == "admin"
    assert yaml.safe_load(files["jobflow.yaml"].text)["JOB_STORE"]["docs_store"]["auth_source"] == "admin"


def test_a_connection_string_reaches_fireworks_and_the_stores_without_the_password(describe, directory, tmp_path):
    secret, authority = str(tmp_path / "secret"), tmp_path / "ca.pem"
    uri = "mongodb://a:1,b:2/?replicaSet=r"
    database = {"uri": uri, "name": "ours", "username": "me", "password_file": secret, "auth_source": "admin"}
    describe(database=database | {"tls_ca_file": str(authority)})
    with pytest.raises(InputError, match="ca.pem: No such file or directory. `database.tls_ca_file` in cluster.yaml"):
        write_cluster_files(directory)
    authority.touch()
    write_cluster_files(directory)
    options = {"username": "me", "password": PASSWORD, "authSource": "admin", "tls": True, "tlsCAFile": str(authority)}
    launchpad = yaml.safe_load((directory / "my_launchpad.yaml").read_text())
    assert (launchpad["host"], launchpad["uri_mode"], launchpad["mongoclient_kwargs"]) == (uri, True, options)
    store = JobflowSettings(CONFIG_FILE=str(directory / "jobflow.yaml")).JOB_STORE
    for part in (store.docs_store, store.additional_stores["data"]):
        assert (part.uri, part.database, part.mongoclient_kwargs) == (uri, "ours", options)
        assert PASSWORD not in part.name  # which is printed
    assert {mode(directory / name) for name in ("my_launchpad.yaml", "jobflow.yaml")} == {0o600}


def test_without_a_user_nobody_logs_in(describe, directory):
    describe(database={})
    write_cluster_files(directory)
    launchpad = yaml.safe_load((directory / "my_launchpad.yaml").read_text())
    assert [launchpad[key] for key in ("username", "password", "authsource")] == [None] * 3
    store = JobflowSettings(CONFIG_FILE=str(directory / "jobflow.yaml")).JOB_STORE
    assert (store.docs_store.username, store.docs_store.password) == ("", "")


def test_the_embedded_server_and_its_clients_agree_on_address_and_password(describe, directory):
    describe(database={"embedded": True})
    write_cluster_files(directory)
    launchpad = yaml.safe_load((directory / "my_launchpad.yaml").read_text())
    store = yaml.safe_load((directory / "jobflow.yaml").read_text())["JOB_STORE"]["docs_store"]
    server = prepare(directory / "launchpad")
    for client in (launchpad, store):
        assert [client[key] for key in vars(server)] == list(vars(server).values())
    assert stale_files(directory) == []


@pytest.mark.parametrize(
    ("worker", "categories"),
    [
        ("", list(PROFILES)),
        ("_gpu", ["gpu_train", "gpu_relax"]),
        ("_cpu", ["light", "cpu_vasp"]),
    ],
)
def test_no_worker_takes_what_it_does_not_name(cluster, directory, worker, categories):
    found = FWorker.from_file(str(directory / f"my_fworker{worker}.yaml"))
    assert found.query["spec._category"] == {"$in": categories}


def test_two_workers_share_the_profiles_out(cluster, directory):
    names = [FWorker.from_file(str(directory / f"my_fworker_{worker}.yaml")).category for worker in ("gpu", "cpu")]
    assert sorted(names[0] + names[1]) == sorted(PROFILES)


def test_the_settings_of_fireworks_are_those_of_the_directory(cluster, directory, tmp_path):
    program = (
        "import json, fireworks.fw_config as c;"
        "print(json.dumps([c.LAUNCHPAD_LOC, c.FWORKER_LOC, c.QUEUEADAPTER_LOC, c.CONFIG_FILE_DIR,"
        " c.PING_TIME_SECS, c.RUN_EXPIRATION_SECS]))"
    )
    environment = os.environ | {"FW_CONFIG_FILE": str(directory / "FW_config.yaml"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *paths, ping, expiration = json.loads(done.stdout)
    names = ("my_launchpad.yaml", "my_fworker.yaml", "my_qadapter.yaml", ".")
    assert [Path(path) for path in paths] == [directory / name for name in names]
    assert 3 * ping < expiration


def test_a_profile_asks_slurm_for_what_it_says(cluster, directory):
    config = manager_config("gpu_train", cluster, directory)
    assert config["_category"] == "gpu_train"
    script = batch_script(directory, **config["_queueadapter"])
    assert options(script) == {
        "job-name": "FW_job",
        "partition": "a100",
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": "8",
        "mem": "32G",
        "gres": "gpu:1",
        "time": "12:00:00",
        "account": "us",
        "signal": "B:USR1@60",
        "output": "FW_job-%j.out",
        "error": "FW_job-%j.error",
        "no-requeue": "",
    }


def test_constraints_and_further_options_are_in_the_batch_script_of_their_profile_alone(describe, directory):
    profiles = PROFILE | {"light": PROFILE["light"] | {"constraint": "intel|amd", "sbatch": ["--exclude=node[1-3]"]}}
    cluster = describe(profiles=profiles, sbatch=["--mail-type=FAIL", "--comment=two_words"], account="all")
    write_cluster_files(directory)
    light = options(batch_script(directory, **queue_adapter(["light"], cluster, directory)))
    assert (light["constraint"], light["exclude"], light["mail-type"]) == ("intel|amd", "node[1-3]", "FAIL")
    assert light["comment"] == "two_words" and light["account"] == "all"
    relax = batch_script(directory, **queue_adapter(["gpu_relax"], cluster, directory))
    assert {"constraint", "exclude"}.isdisjoint(options(relax)) and options(relax)["mail-type"] == "FAIL"
    assert "$$" not in relax
    # SLURM reads its options up to the first line that is none
    lines = [line for line in relax.splitlines() if line and not line.startswith("# ")]
    of_slurm = [line.startswith("#SBATCH") for line in lines[1:]]
    assert of_slurm == sorted(of_slurm, reverse=True)


def test_vasp_gets_one_task_a_core_on_every_node(cluster, directory):
    asked = options(batch_script(directory, **queue_adapter(["cpu_vasp"], cluster, directory)))
    assert [asked[key] for key in ("nodes", "ntasks", "ntasks-per-node", "cpus-per-task")] == ["2", "64", "32", "1"]
    assert asked["time"] == "24:00:00"


@pytest.mark.parametrize("name", PROFILES)
def test_nothing_of_the_general_file_leaks_into_a_profile(cluster, directory, name):
    """FireWorks merges the queue parameters of a job into the general file, so that keys of the latter alone would stay."""
    general = set(load_object_from_file(str(directory / "my_qadapter.yaml"))) - {"rocket_launch", "logdir"}
    assert general <= set(queue_adapter([name], cluster, directory))


def test_a_worker_for_two_profiles_has_room_for_both(cluster, directory):
    asked = options(load_object_from_file(str(directory / "my_qadapter_gpu.yaml")).get_script_str("/tmp"))
    keys = ("partition", "cpus-per-task", "mem", "gres", "time")
    assert [asked[key] for key in keys] == ["a100", "16", "64G", "gpu:v100:2", "12:00:00"]
    asked = options(load_object_from_file(str(directory / "my_qadapter_cpu.yaml")).get_script_str("/tmp"))
    assert [asked[key] for key in ("partition", "ntasks", "mem", "time")] == ["long", "64", "120G", "24:00:00"]


SHOW = 'printf "%s\\n" "$PWD" "$@"; env'


def run_job(script, directory):
    """Run a batch script as SLURM would: in the launch directory, with a minimal environment."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}
    return subprocess.run(
        ["bash"], input=script, env=environment, cwd=directory, capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_job_finds_its_program_its_files_and_its_settings(cluster, directory, program, tmp_path):
    program("rlaunch", SHOW)
    lines = run_job(batch_script(directory, **queue_adapter(["gpu_relax"], cluster, directory)), directory)
    assert lines[0] == str(directory / "blocks" / "launcher_1")
    assert lines[1:6] == ["-c", str(directory), "singleshot", "--fw_id", "7"]
    found = dict(line.split("=", 1) for line in lines[6:] if "=" in line)
    assert found["PATH"].startswith(f"{tmp_path / 'my programs'}:")
    assert found["FROM_SETUP"] == "two words"
    assert found["PMG_VASP_PSP_DIR"] == "/data/pot cars"
    assert found["OMP_NUM_THREADS"] == "1"
    for name in ("FW_CONFIG_FILE", "JOBFLOW_CONFIG_FILE", "ATOMATE2_CONFIG_FILE"):
        assert Path(found[name]).parent == directory
        assert Path(found[name]).is_file()
    assert {name: value for name, value in found.items() if name.startswith("IMATGEN_")} == {
        "IMATGEN_CLUSTER": str(directory),
        "IMATGEN_ON_WALLTIME": "continue",
        "IMATGEN_DEVICE": "cuda",
        "IMATGEN_WORKERS": "16",
    }


@pytest.mark.parametrize("name", PROFILES)
def test_our_own_settings_understand_the_environment_of_every_job(cluster, directory, program, name, monkeypatch):
    monkeypatch.setitem(Settings.model_config, "yaml_file", directory / "none.yaml")
    program("rlaunch", SHOW)
    lines = run_job(batch_script(directory, **queue_adapter([name], cluster, directory)), directory)
    for line in lines:
        if line.startswith("IMATGEN_"):
            monkeypatch.setenv(*line.split("=", 1))
    settings = get_settings()
    assert settings.cluster == directory
    assert settings.device == ("cuda" if name.startswith("gpu") else "cpu")
    assert settings.threads == (8 if name == "gpu_train" else 1)


@pytest.mark.parametrize(("cores", "memory", "workers"), [(8, "32G", 8), (8, "4G", 3), (1, "500M", 1), (16, "1T", 16)])
def test_a_relaxation_job_starts_a_process_for_each_core_that_it_asked_for_and_has_memory_for(
    describe, directory, cores, memory, workers
):
    asked = {"cores": cores, "memory": memory, "gres": ""}
    cluster = describe(profiles={name: PROFILE[name] | asked for name in PROFILES})
    parameters = queue_adapter(["gpu_relax"], cluster, directory)
    assert parameters["cpus_per_task"] == cores
    assert parameters["pre_rocket"].endswith(f"IMATGEN_WORKERS={workers}")
    # other jobs need less for a process
    for name in ("light", "gpu_train"):
        assert queue_adapter([name], cluster, directory)["pre_rocket"].endswith(f"IMATGEN_WORKERS={cores}")
    assert "IMATGEN_WORKERS" not in queue_adapter(["cpu_vasp"], cluster, directory)["pre_rocket"]


def test_a_job_whose_gpu_is_optional_takes_what_there_is(describe, directory):
    profiles = PROFILE | {"gpu_train": PROFILE["gpu_train"] | {"gpu_optional": True}}
    cluster = describe(profiles=profiles)
    assert "IMATGEN_DEVICE=auto" in queue_adapter(["gpu_train"], cluster, directory)["pre_rocket"]
    # of two profiles, the stricter one decides
    assert "IMATGEN_DEVICE=cuda" in queue_adapter(["gpu_train", "gpu_relax"], cluster, directory)["pre_rocket"]


def test_the_warning_before_the_walltime_reaches_the_program_and_no_shell(cluster, directory, program):
    program("rlaunch", "trap 'echo warned; exit 0' USR1; echo ready; while true; do sleep 0.05; done")
    path = directory / "job.sh"
    path.write_text(batch_script(directory))
    with subprocess.Popen(["bash", path], stdout=subprocess.PIPE, text=True) as job:
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGUSR1)
        assert job.stdout.readline() == "warned\n"
    assert job.returncode == 0


def test_vasp_at_the_gamma_point_and_with_spin_orbit_runs_through_the_same_launcher(cluster, directory):
    assert yaml.safe_load((directory / "atomate2.yaml").read_text()) == {
        "VASP_CMD": "srun vasp_std",
        "VASP_GAMMA_CMD": "srun vasp_gam",
        "VASP_NCL_CMD": "srun vasp_ncl",
    }


def script(directory, name):
    done = subprocess.run([str(directory / name)], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout + done.stderr


def wait_for(path, text):
    for _ in range(200):
        if path.exists() and text in path.read_text():
            return path.read_text()
        time.sleep(0.05)
    raise AssertionError(f"{path} never held {text!r}")


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended between open and read
        return False


@pytest.mark.parametrize(
    ("name", "command", "arguments"),
    [
        ("dispatch", "qlaunch", "-r -c DIR --launch_dir blocks rapidfire -m 20 --nlaunches infinite --sleep 10"),
        (
            "gpu",
            "qlaunch",
            "-c DIR -w DIR/my_fworker_gpu.yaml -q DIR/my_qadapter_gpu.yaml "
            "--launch_dir blocks rapidfire -m 20 --nlaunches infinite --sleep 10",
        ),
        ("local", "rlaunch", "-c DIR rapidfire --nlaunches infinite --sleep 5 --local_redirect"),
    ],
)
def test_what_was_started_runs_once_outlives_its_shell_and_can_be_stopped(
    cluster, directory, program, name, command, arguments
):
    program(command, 'printf "(%s)" "$@"; echo " started $$"; sleep 300')
    log = directory / "logs" / f"{name}.log"
    try:
        status, said = script(directory, f"start-{name}.sh")
        assert (status, said.startswith("Started ")) == (0, True)
        line = wait_for(log, "started ")
        expected = "".join(f"({word.replace('DIR', str(directory))})" for word in arguments.split())
        assert line.startswith(expected)
        pid = int(line.split()[-1])
        assert os.getsid(pid) not in (os.getsid(0), os.getpid())

        status, said = script(directory, f"start-{name}.sh")
        assert (status, said.startswith("It runs already: process ")) == (0, True)
        assert log.read_text() == line
    finally:
        status, said = script(directory, "stop-dispatch.sh")
    assert (status, said) == (0, f"Stopped {name}.\n")
    for _ in range(100):
        if not is_alive(pid):
            break
        time.sleep(0.05)
    assert not is_alive(pid)
    assert script(directory, "stop-dispatch.sh") == (0, "")


def test_what_runs_on_another_machine_is_not_killed_by_its_number_here(cluster, directory, program):
    program("qlaunch", "echo started; sleep 300")
    script(directory, "start-dispatch.sh")
    log, pid_file = directory / "logs" / "dispatch.log", directory / "logs" / "dispatch.pid"
    wait_for(log, "started")
    here = pid_file.read_text()
    pid_file.write_text(here.rpartition(" ")[0] + " login2\n")
    status, said = script(directory, "stop-dispatch.sh")
    pid_file.write_text(here)
    assert (status, "dispatch runs on login2: log in there" in said) == (1, True)
    assert script(directory, "stop-dispatch.sh") == (0, "Stopped dispatch.\n")


def test_every_template_says_that_it_is_generated_and_is_valid_shell(cluster, directory):
    for name in cluster_files(cluster, directory):
        text = (directory / name).read_text()
        assert MARK in text
        assert "@" not in text.replace(MARK, "").replace("USR1@60", "").replace(PASSWORD[-3:], "").replace("@é", "")
        if name.endswith(".sh"):
            subprocess.run(["bash", "-n", str(directory / name)], check=True)


def test_the_template_for_people_holds_the_same_keys_and_no_secret(cluster, directory):
    template = yaml.safe_load((launchers().parent / "my_launchpad.yaml").read_text())
    assert set(template) == set(yaml.safe_load((directory / "my_launchpad.yaml").read_text()))
    assert [template[key] for key in ("username", "password", "authsource")] == [None] * 3
