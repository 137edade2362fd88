from __future__ import annotations

import contextlib
import platform
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import dns.resolver
import pymongo
import pytest
import yaml
from jobflow import JobStore

from imatgen_flows import launchpad
from imatgen_flows.cluster import PROFILES
from imatgen_flows.errors import ImatgenError
from imatgen_flows.managers import cluster_check, slurm
from imatgen_flows.managers.cluster_check import COMMANDS, check_cluster
from imatgen_flows.managers.cluster_files import write_cluster_files
from imatgen_flows.managers.fireworks import CampaignLaunchPad
from imatgen_flows.managers.results import read_documents
from imatgen_flows.managers.slurm import Partition

CPU = Partition("cpu", 86400, "", 10, 32, 128_000, True)
GPU = Partition("gpu", 43200, "gpu:a100:4,gpu:v100:2", 2, 16, 64_000, True)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home directory without settings of FireWorks."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def programs(tmp_path):
    """A complete environment of jobs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("imatgen", "rlaunch", "qlaunch"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    (folder / "python").symlink_to(sys.executable)
    return folder


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """SLURM's commands on PATH, and nothing else."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name in COMMANDS:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def offered(monkeypatch):
    """The partitions that SLURM offers; a test may change them."""
    found = {"cpu": CPU, "gpu": GPU}
    monkeypatch.setattr(slurm, "partitions", lambda: found)
    return found


@pytest.fixture
def nobody():
    """A port without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def impatient(request, monkeypatch):
    """Shorten the wait for a database that does not run."""
    if "database" in request.node.name:  # of the test
        monkeypatch.setattr(cluster_check, "PATIENCE", 100)  # ms
    else:
        monkeypatch.setattr(pymongo, "MongoClient", give_up)


def give_up(*_, **__):
    raise pymongo.errors.ServerSelectionTimeoutError


@pytest.fixture
def check(tmp_path, programs, commands, offered, nobody):
    """Write a cluster file and all that follows from it, and check the directory."""
    directory = tmp_path / "cluster"
    directory.mkdir(exist_ok=True)

    def write_and_check(database=None, spoil=lambda _: None, python=programs, try_sbatch=False, **changes):
        profile = {"partition": "cpu", "walltime": "01:00:00"}
        content = {
            "python": str(python),
            "database": {"host": "127.0.0.1", "port": nobody} | (database or {}),
            "profiles": {name: profile | changes.get(name, {}) for name in PROFILES},
        }
        (directory / "cluster.yaml").write_text(yaml.safe_dump(content))
        write_cluster_files(directory)
        spoil(directory)
        return {item.name: item for item in check_cluster(directory, try_sbatch)}

    return write_and_check


def test_what_fits_passes_and_each_check_says_what_it_found(check):
    found = check(gpu_train={"partition": "gpu", "gres": "gpu:a100:4", "walltime": "12:00:00"})
    assert [name for name, item in found.items() if not item.ok] == ["LaunchPad"]
    assert found["environment of jobs"].detail.startswith(f"Python {platform.python_version()} in ")
    assert found["profile gpu_train"].detail == "12:00:00 on gpu"
    assert found["cluster directory"].detail == "up to date"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"partition": "gpus"}, "no partition `gpus`; SLURM has cpu, gpu"),
        ({"walltime": "2-00:00:00"}, "`walltime` is 48:00:00, partition `cpu` allows 24 h"),
        ({"cores": 33}, "`cores` is 33, a node of partition `cpu` has 32"),
        ({"memory": "1T"}, "`memory` is 1T, a node of partition `cpu` has 128,000 MB"),
        ({"gres": "gpu:1"}, "`gres` is gpu:1, a node of partition `cpu` offers none"),
        ({"partition": "gpu", "gres": "gpu:5"}, "a node of partition `gpu` offers gpu:a100:4,gpu:v100:2"),
        ({"partition": "gpu", "gres": "gpu:v100:3"}, "`gres` is gpu:v100:3"),
        ({"partition": "gpu", "gres": "gpu:h100"}, "`gres` is gpu:h100"),
        ({"partition": "cpu", "walltime": "2-00:00:00", "cores": 64}, "allows 24 h; `cores` is 64"),
    ],
    ids=str,
)
def test_what_a_partition_does_not_offer_is_named(check, asked, said):
    found = check(gpu_relax=asked)["profile gpu_relax"]
    assert not found.ok
    assert said in found.detail


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"cores": 8, "memory": "32G"}, "01:00:00 on cpu; 8 relaxation processes"),
        ({"cores": 1, "memory": "500M"}, "01:00:00 on cpu; 1 relaxation process"),
        (
            {"cores": 8, "memory": "4G"},
            "3 relaxation processes (`memory` holds no more, at 1.1 GB each; 5 cores are unused)",
        ),
        ({"partition": "gpu", "gres": "gpu:1", "cores": 8}, "on gpu; one relaxation process, on the GPU"),
        (
            {"partition": "gpu", "gres": "gpu:1", "cores": 2, "gpu_optional": True},
            "without one, 2 relaxation processes",
        ),
    ],
    ids=str,
)
def test_the_profile_of_relaxations_says_how_many_run_at_a_time(check, asked, said):
    found = check(gpu_relax=asked)["profile gpu_relax"]
    assert found.ok and found.detail.endswith(said)


def test_more_nodes_than_there_are_are_named(check):
    assert "`nodes` is 11, partition `cpu` has 10" in check(cpu_vasp={"nodes": 11})["profile cpu_vasp"].detail


def test_a_partition_that_is_down_is_named_and_one_without_a_limit_takes_any_walltime(check, offered):
    offered["cpu"] = Partition("cpu", None, "", 10, 32, 128_000, True)
    assert check(light={"walltime": "90-00:00:00"})["profile light"].ok
    offered["cpu"] = Partition("cpu", None, "", 10, 32, 128_000, False)
    assert check()["profile light"].detail == "partition `cpu` is down"


def test_slurm_that_does_not_answer_is_one_fault_and_not_four(check, monkeypatch):
    def silent():
        raise ImatgenError("SLURM did not answer")

    monkeypatch.setattr(slurm, "partitions", silent)
    found = check(try_sbatch=True)
    assert [name for name, item in found.items() if not item.ok] == [
        "LaunchPad",
        "partitions",
    ] and "sbatch" not in found
    assert found["partitions"].detail == "SLURM did not answer"


def test_missing_commands_of_slurm_are_named(check, commands):
    (commands / "sbatch").unlink()
    found = check()["SLURM"]
    assert (found.ok, found.detail) == (False, "sbatch not on PATH: run this on a login node of the cluster")


def test_a_wrong_cluster_file_is_the_only_fault(tmp_path):
    (tmp_path / "cluster.yaml").write_text("version: 1\npythn: /opt\n")
    (found,) = check_cluster(tmp_path)
    assert not found.ok
    assert "unknown key `pythn`. Did you mean `python`?" in found.detail
    (found,) = check_cluster(tmp_path / "nowhere")
    assert "no such cluster file" in found.detail


def test_an_edit_that_was_not_carried_over_is_named(check):
    def edit(directory):
        path = directory / "cluster.yaml"
        path.write_text(path.read_text() + "warning: 300\n")

    found = check(spoil=edit)["cluster directory"]
    assert not found.ok
    assert "not up to date: my_qadapter.yaml, my_qadapter_cpu.yaml, my_qadapter_gpu.yaml" in found.detail
    assert "imatgen init --cluster" in found.detail


def test_job_stores_without_a_place_for_large_results_are_refused(check):
    def drop(directory):
        path = directory / "jobflow.yaml"
        content = yaml.safe_load(path.read_text())
        del content["JOB_STORE"]["additional_stores"]
        path.write_text(yaml.safe_dump(content))

    found = check(spoil=drop)["job stores"]
    assert not found.ok
    assert "large results would be lost" in found.detail


@pytest.mark.parametrize("name", ["my_launchpad.yaml", "jobflow.yaml"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_text("a: ["), lambda path: path.write_text("")]
)
def test_a_damaged_file_is_a_failed_check_and_no_traceback(check, name, damage):
    found = check(spoil=lambda directory: damage(directory / name))
    assert not found["LaunchPad" if name == "my_launchpad.yaml" else "job stores"].ok
    assert name in found["cluster directory"].detail


def test_settings_that_fireworks_would_prefer_to_ours_are_named(check, home):
    (home / ".fireworks").mkdir()
    (home / ".fireworks" / "FW_config.yaml").write_text("{}")
    found = check()["FireWorks settings"]
    assert not found.ok
    assert f"{home}/.fireworks/FW_config.yaml would be used" in found.detail


def test_programs_that_jobs_would_miss_are_named(check, programs):
    (programs / "rlaunch").unlink()
    (programs / "imatgen").chmod(0o644)
    found = check()["environment of jobs"]
    assert not found.ok
    assert "holds no imatgen, rlaunch" in found.detail or "holds no rlaunch" in found.detail  # root may run anything


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 3.1.4", "Python 3.1.4 in "),
        ("exit 3", "does not run"),
        ("kill -9 $$", "does not run"),
    ],
)
def test_another_or_a_broken_python_for_jobs_is_named(check, programs, script, said):
    (programs / "python").unlink()
    (programs / "python").write_text(f"#!/bin/sh\n{script}\n")
    (programs / "python").chmod(0o755)
    found = check()["environment of jobs"]
    assert not found.ok
    assert said in found.detail


def test_a_database_that_is_not_there_is_told_apart_from_one_that_does_not_answer(check, nobody):
    assert f"no database answers at 127.0.0.1:{nobody}" in check()["LaunchPad"].detail
    with socket.create_server(("127.0.0.1", 0)) as server:  # takes connections and says nothing
        accepted = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()), daemon=True)
        thread.start()
        found = check(database={"port": server.getsockname()[1]})["LaunchPad"]
    assert not found.ok
    assert "no database answers" in found.detail


@pytest.fixture
def server(tmp_path):
    """A running embedded database."""
    yield launchpad.start(tmp_path / "cluster" / "launchpad")
    launchpad.stop(tmp_path / "cluster" / "launchpad")


def test_a_database_lets_in_the_right_password_and_nothing_else(server, check):
    found = check(database={"host": "127.0.0.1", "port": server.port, "embedded": True})
    assert found["LaunchPad"].ok
    assert found["LaunchPad"].detail == f"database `imatgen` at 127.0.0.1:{server.port}"

    def mistype(directory):
        path = directory / "my_launchpad.yaml"
        path.write_text(path.read_text().replace(server.password, "guess"))

    def omit(directory):
        path = directory / "my_launchpad.yaml"
        path.write_text(path.read_text().replace('username: "imatgen"', "username: null"))

    for spoil in (mistype, omit):
        found = check(database={"embedded": True}, spoil=spoil)["LaunchPad"]
        assert not found.ok
        assert "refuses user or password" in found.detail
        assert server.password not in found.detail


def in_place_of_the_embedded(server, tmp_path):
    """What a cluster file says of the running server as if it were any other."""
    secret = tmp_path / "secret"
    secret.write_text(server.password)
    secret.chmod(0o600)
    return {"host": "localhost", "port": 27017, "username": server.username, "password_file": str(secret)}


def test_a_connection_string_leads_to_the_database_for_the_check_the_campaigns_and_the_stores(server, check, tmp_path):
    login = in_place_of_the_embedded(server, tmp_path)
    uri = f"mongodb://127.0.0.1:{server.port}/?appName=imatgen"
    found = check(database=login | {"uri": uri, "auth_source": "admin"})["LaunchPad"]
    assert (found.ok, found.detail) == (True, f"database `imatgen` at mongodb://127.0.0.1:{server.port}")
    directory = tmp_path / "cluster"
    assert CampaignLaunchPad(directory).campaigns() == []
    assert read_documents(directory, "any") == []
    store = JobStore.from_dict_spec(yaml.safe_load((directory / "jobflow.yaml").read_text())["JOB_STORE"])
    with store as connected:
        connected.update([{"uuid": "a", "index": 1, "output": {"x": list(range(5))}}], save={"data": "x"})
        assert connected.get_output("a", load=True) == {"x": list(range(5))}
    (tmp_path / "secret").write_text("guess")
    found = check(database=login | {"uri": uri, "auth_source": "admin"})["LaunchPad"]
    assert not found.ok and "refuses user or password" in found.detail and "guess" not in found.detail


@pytest.fixture
def encrypted(server, tmp_path):
    """A port at which the database is reached by TLS, and the certificate of its authority."""
    names = {name: str(tmp_path / f"{name}.pem") for name in ("key", "ca")}
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", names["key"], "-out", names["ca"]]
    made += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(names["ca"], names["key"])

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def serve(listener):
        with contextlib.suppress(OSError):
            while True:
                raw, _ = listener.accept()
                with contextlib.suppress(OSError):
                    outside = context.wrap_socket(raw, server_side=True)
                    inside = socket.create_connection(("127.0.0.1", server.port))
                    for pair in ((outside, inside), (inside, outside)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1], names["ca"]


def test_an_encrypted_database_is_reached_with_its_authority_and_not_without(
    server, encrypted, check, tmp_path, monkeypatch
):
    monkeypatch.setattr(cluster_check, "PATIENCE", 2000)
    port, authority = encrypted
    login = in_place_of_the_embedded(server, tmp_path) | {"auth_source": "admin"}
    here = login | {"host": "127.0.0.1", "port": port}
    assert check(database=here | {"tls_ca_file": authority})["LaunchPad"].ok
    assert CampaignLaunchPad(tmp_path / "cluster").campaigns() == []
    uri = login | {"uri": f"mongodb://127.0.0.1:{port}/"}
    assert check(database=uri | {"tls_ca_file": authority})["LaunchPad"].ok
    assert read_documents(tmp_path / "cluster", "any") == []
    found = check(database=here | {"tls": True})["LaunchPad"]  # its authority is unknown to this machine
    assert not found.ok and "the encrypted connection" in found.detail and "`tls_ca_file`" in found.detail
    found = check(database=here)["LaunchPad"]
    assert not found.ok and "does not answer without `database.tls`" in found.detail


def test_a_name_of_the_database_that_cannot_be_looked_up_is_a_failed_check(check, monkeypatch):
    monkeypatch.setattr(dns.resolver, "resolve", lambda *_, **__: (_ for _ in ()).throw(dns.resolver.NXDOMAIN()))
    uri = {"host": "localhost", "port": 27017, "uri": "mongodb+srv://cluster0.example.mongodb.net"}
    found = check(database=uri)["LaunchPad"]
    assert (
        not found.ok
        and "mongodb+srv://cluster0.example.mongodb.net cannot be used: The DNS query name does" in found.detail
    )
    assert "write the hosts in full as mongodb://a,b,c/" in found.detail


def test_without_dnspython_the_database_check_says_what_to_install(tmp_path):
    """In a process of its own, in which the package cannot be imported."""
    program = """import sys
sys.modules["dns"] = None
from imatgen_flows.errors import ImatgenError
from imatgen_flows.managers.database import address_of, connect, database_errors
content = {"host": "mongodb+srv://cluster0.example.net", "uri_mode": True, "mongoclient_kwargs": {}}
try:
    with database_errors(address_of(content)), connect(content, 100):
        pass
except ImatgenError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "the package dnspython is missing here. pip install dnspython" in done.stdout


def test_one_machine_without_slurm_is_no_fault_beside_an_embedded_database(server, check, commands):
    for name in COMMANDS:
        (commands / name).unlink()
    found = check(database={"embedded": True})
    assert [name for name, item in found.items() if not item.ok] == []
    assert "start-local.sh" in found["SLURM"].detail


def test_slurm_that_was_installed_and_never_set_up_is_none(check, commands):
    for name in COMMANDS:
        (commands / name).write_text(
            f"#!/bin/sh\necho '{name}: fatal: Could not establish a configuration source' >&2\nexit 1\n"
        )
    found = check(database={"embedded": True})
    assert found["SLURM"].ok and "none here" in found["SLURM"].detail
    (commands / "sinfo").write_text("#!/bin/sh\necho 'sinfo: error: Unable to contact slurm controller' >&2\nexit 1\n")
    assert "none here" not in check(database={"embedded": True})["SLURM"].detail


PLAYED_SLURM = {
    # keeps a list of jobs beside it; ANSWER is what it prints of the number of a job
    "sbatch": """case $* in *--test-only*) exit 0;; esac
n=$(($(wc -l < "$0.jobs") + 17))
for option; do case $option in --job-name=*) name=${option#*=};; esac; done
echo "$@" >> "$0.calls"; echo "$n $name" >> "$0.jobs"; ANSWER""",
    "squeue": """while read -r n name; do
    printf '\\036%s\\037PENDING\\037None\\037cpu\\0370:00\\037/\\037%s\\n' "$n" "$name"
done < "${0%squeue}sbatch.jobs" """,
    "scancel": """for n; do sed -i "/^$n /d" "${0%scancel}sbatch.jobs"; done""",
}


@pytest.fixture
def queue(commands, monkeypatch):
    """Put a SLURM of shell scripts on PATH; its `sbatch` answers with what the test says."""
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    (commands / "sbatch.jobs").write_text("3 of-another\n")

    def answering(answer):
        for name, text in PLAYED_SLURM.items():
            (commands / name).write_text("#!/bin/bash\n" + text.replace("ANSWER", answer) + "\n")
        return commands

    return answering


def jobs_left(commands):
    return (commands / "sbatch.jobs").read_text()


def test_sbatch_is_tried_with_a_held_job_that_is_cancelled(check, queue):
    commands = queue("echo $n")
    found = check(try_sbatch=True, light={"account": "us", "qos": "short"})["sbatch"]
    assert found.ok and found.detail == "job 18 was submitted, held, and cancelled"
    (call,) = (commands / "sbatch.calls").read_text().splitlines()
    assert {"--parsable", "--hold", "--partition=cpu", "--account=us", "--qos=short"} <= set(call.split())
    assert jobs_left(commands) == "3 of-another\n"


def test_an_answer_of_sbatch_that_cannot_be_read_is_a_fault_and_leaves_no_job(check, queue):
    commands = queue('echo "Stapelauftrag $n eingereicht"')
    found = check(try_sbatch=True)["sbatch"]
    assert (
        not found.ok and "answered 'Stapelauftrag 18 eingereicht'" in found.detail and "was cancelled" in found.detail
    )
    assert jobs_left(commands) == "3 of-another\n"


def test_a_job_that_cannot_be_found_is_not_said_to_be_cancelled(check, queue):
    commands = queue("sed -i '$d' \"$0.jobs\"; echo nothing")
    found = check(try_sbatch=True)["sbatch"]
    assert not found.ok and found.detail.endswith("of this check is not in the queue")
    assert jobs_left(commands) == "3 of-another\n"


def test_a_refusal_of_sbatch_is_a_fault_with_its_words(check, queue):
    queue("echo 'sbatch: error: Invalid account' >&2; exit 1")
    found = check(try_sbatch=True, light={"account": "us"})["sbatch"]
    assert not found.ok and "Invalid account" in found.detail


def test_each_profile_is_put_before_sbatch_with_all_that_it_asks_for(check, queue):
    commands = queue("echo $n")
    program = (commands / "sbatch").read_text()
    asks = '#!/bin/bash\ncase $* in *--test-only*) echo "$@" >> "$0.tests"\n'
    refuses = "case $* in *highmem*) echo 'allocation failure: Invalid feature specification' >&2; exit 1;; esac\n"
    (commands / "sbatch").write_text(program.replace("#!/bin/bash\ncase $* in *--test-only*) ", asks + refuses))
    found = check(
        try_sbatch=True, cpu_vasp={"constraint": "highmem", "sbatch": ["--exclusive"]}, light={"account": "us"}
    )
    assert (found["sbatch options"].ok, found["sbatch"].ok) == (False, True)
    assert found["sbatch options"].detail == "cpu_vasp: allocation failure: Invalid feature specification"
    calls = (commands / "sbatch.tests").read_text().splitlines()
    assert len(calls) == len(PROFILES)
    assert {"--account=us", "--partition=cpu", "--time=01:00:00", "--mem=4G"} <= set(calls[0].split())
    assert {"--constraint=highmem", "--exclusive"} <= set(calls[PROFILES.index("cpu_vasp")].split())
    assert check(try_sbatch=True)["sbatch options"].detail == "SLURM would take the jobs of every profile"


def test_nothing_is_submitted_unless_asked_nor_from_within_a_job(check, queue, monkeypatch):
    commands = queue("echo $n")
    assert "sbatch" not in check()
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    assert check(try_sbatch=True)["sbatch"].ok
    assert not (commands / "sbatch.calls").exists()
