from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from imatgen_flows.cluster import PROFILES, ClusterConfig, Resources, count_gpus
from imatgen_flows.errors import InputError


def a_cluster(**changes):
    profile = {"partition": "cpu", "walltime": "01:00:00"}
    return {"python": "/opt/env/bin", "profiles": {name: dict(profile) for name in PROFILES}} | changes


@pytest.fixture
def read(tmp_path):
    def write_and_read(content):
        text = content if isinstance(content, str) else yaml.safe_dump(content)
        (tmp_path / "cluster.yaml").write_text(text)
        return ClusterConfig.from_directory(tmp_path)

    return write_and_read


def with_light(**changes):
    content = a_cluster()
    content["profiles"]["light"] |= changes
    return content


def test_what_is_written_is_read_again(read, tmp_path):
    content = with_light(walltime="1-00:00:00", memory="8G", gres="gpu:a100:2", qos="short")
    before = read(content | {"database": {"host": "db", "username": "me", "password_file": "secret"}})
    before.to_directory(tmp_path)
    assert ClusterConfig.from_directory(tmp_path) == before


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("12:00:00", 43200),  # YAML reads it as a number to base 60
        ("'12:00:00'", 43200),
        ("00:30:00", 1800),  # and this as text, for its leading zero
        ("08:00:00", 28800),
        ("1-12:00:00", 129600),
        ("100:00:00", 360000),
        ("3600", 3600),
    ],
)
def test_a_walltime_is_the_same_however_it_is_written(read, written, seconds):
    text = yaml.safe_dump(with_light(walltime="WALLTIME")).replace("WALLTIME", written)
    profile = read(text).profiles.light
    assert profile.walltime == seconds
    hours, minutes, rest = map(int, profile.slurm_walltime.split(":"))
    assert (hours * 60 + minutes) * 60 + rest == seconds


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"walltime": "one day"}, "`profiles.light.walltime`: a walltime is HH:MM:SS or D-HH:MM:SS"),
        ({"walltime": "01:75:00"}, "HH:MM:SS"),
        ({"walltime": 30}, "at least a minute"),
        ({"walltime": "00:01:30"}, r"`profiles.light.walltime` is no longer than `warning` \(120 s\)"),
        ({"memory": "lots"}, "`profiles.light.memory`: memory is a whole number with a unit"),
        ({"memory": "1.5G"}, "whole number"),
        ({"memory": 0}, "whole number"),
        ({"gres": "gpu 1"}, "`profiles.light.gres`: generic resources are written name:number"),
        ({"cores": 0}, "`profiles.light.cores` is 0"),
        ({"nodes": 2}, "`light.nodes` is 2: only cpu_vasp"),
        ({"prtition": "cpu"}, "unknown key `profiles.light.prtition`. Did you mean `profiles.light.partition`?"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_profile_is_said(read, changes, said):
    with pytest.raises(InputError, match=said):
        read(with_light(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dtabase": {}}, "unknown key `dtabase`. Did you mean `database`?"),
        ({"database": {"hots": "db"}}, "unknown key `database.hots`. Did you mean `database.host`?"),
        ({"database": {"username": "me"}}, "`username` and `password_file` go together"),
        ({"database": {"password_file": "secret"}}, "go together"),
        ({"database": {"embedded": True, "username": "me", "password_file": "x"}}, "makes its own user and password"),
        (
            {"database": {"password": "hunter2"}},
            "unknown key `database.password`. Did you mean `database.password_file`?",
        ),
        ({"python": "venv/bin"}, "`python`: venv/bin is a relative path"),
        ({"potcars": "potcars"}, "relative path"),
        ({"profiles": {}}, "`profiles.gpu_train` is missing"),
        ({"setup": "module load vasp"}, "`setup` is 'module load vasp'"),
        ({"warning": 0}, "`warning` is 0"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_cluster_is_said(read, changes, said):
    with pytest.raises(InputError, match=said):
        read(a_cluster(**changes))


def test_what_stands_at_the_top_holds_for_the_profiles_that_do_not_say_otherwise(read, tmp_path):
    content = a_cluster(
        partition="all", account="us", qos="normal", constraint="intel", sbatch=["--mail-type=FAIL", "--exclusive"]
    )
    for profile in content["profiles"].values():
        del profile["partition"]
    content["profiles"]["cpu_vasp"] |= {
        "partition": "big",
        "account": "dft",
        "constraint": "",
        "sbatch": ["--mail-type=END"],
    }
    found = read(content)
    light, vasp = found.profiles.light, found.profiles.cpu_vasp
    assert (light.partition, light.account, light.qos, light.constraint) == ("all", "us", "normal", "intel")
    assert light.sbatch == ["--mail-type=FAIL", "--exclusive"]
    assert (vasp.partition, vasp.account, vasp.qos, vasp.constraint) == ("big", "dft", "normal", "")
    assert vasp.sbatch == ["--exclusive", "--mail-type=END"]
    found.to_directory(tmp_path)
    assert ClusterConfig.from_directory(tmp_path) == found


def test_without_a_partition_at_the_top_each_profile_needs_one(read):
    content = a_cluster()
    del content["profiles"]["light"]["partition"]
    with pytest.raises(InputError, match="`profiles.light.partition` is missing"):
        read(content)


@pytest.mark.parametrize(
    "line",
    [
        "--exclusive",
        "#SBATCH --exclude=node[1-3]",
        "--mail-user=me@example.org",
        "--comment=two_words",
        "--mem-bind=local",
    ],
)
def test_a_further_option_of_sbatch_is_taken_as_it_stands(read, line):
    expected = line.removeprefix("#SBATCH ")
    assert read(a_cluster(sbatch=[line])).profiles.gpu_relax.sbatch == [expected]
    assert read(with_light(sbatch=[line])).profiles.light.sbatch == [expected]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-x node3", "write --name or --name=value"),
        ("--exclude node3", "write --name or --name=value"),
        ("exclusive", "write --name or --name=value"),
        ("", "write --name or --name=value"),
        ("--comment=a\n#SBATCH --time=1", "write --name or --name=value"),
        ("--comment=$USER", "without spaces, quotes and variables"),
        ("--comment=${queue}", "without spaces, quotes and variables"),
        ("--comment=two words", "without spaces"),
        ('--comment="a"', "quotes"),
        ("--mem=4G", "the key `memory` says this"),
        ("--partition=gpu", "the key `partition` says this"),
        ("#SBATCH --time=1", "the key `walltime` says this"),
        ("--signal=B:USR1@9", "the key `warning` says this"),
        ("--gpus-per-node=1", "the key `gres` says this"),
        ("--part=gpu", "--partition must not stand here"),  # sbatch completes what is cut short
        ("--output=log", "the program sets it, or could not follow the job"),
        ("--requeue", "the program sets it"),
        ("--array=1-9", "the program sets it"),
        ("--quiet", "the program sets it"),
    ],
)
def test_an_option_that_is_none_or_ours_is_refused_with_the_key_that_says_it(read, line, said):
    for content, key in ((a_cluster(sbatch=[line]), "sbatch"), (with_light(sbatch=[line]), "profiles.light.sbatch")):
        with pytest.raises(InputError, match=re.escape(said)) as refused:
            read(content)
        assert f"`{key}`" in str(refused.value)


def test_an_option_stands_once(read):
    with pytest.raises(InputError, match="--exclude stands twice"):
        read(a_cluster(sbatch=["--exclude=a", "--exclude=b"]))


@pytest.mark.parametrize("constraint", ["a b", "a#b", "$FEATURE", "'a'"])
def test_a_constraint_that_would_break_the_batch_script_is_refused(read, constraint):
    assert read(with_light(constraint="[rack1*2&rack2*4]")).profiles.light.constraint == "[rack1*2&rack2*4]"
    with pytest.raises(InputError, match="`profiles.light.constraint`: a constraint has no spaces"):
        read(with_light(constraint=constraint))


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ({"uri": "db.example.org"}, "begins with mongodb:// or mongodb+srv://, and names a host"),
        ({"uri": "mongodb://"}, "names a host"),
        ({"uri": "http://db"}, "begins with mongodb://"),
        ({"uri": "mongodb+srv://me:secret@db.example.org"}, "user and password do not stand in the connection string"),
        ({"uri": "mongodb+srv://db.example.org:27017"}, "takes one name without a port"),
        ({"uri": "mongodb+srv://a,b"}, "takes one name without a port"),
        ({"uri": "mongodb://a,b/?replicaSet=r", "port": 27018}, "leave `host` and `port` out"),
        ({"uri": "mongodb://a", "host": "b"}, "leave `host` and `port` out"),
        ({"uri": "mongodb://a", "embedded": True}, "the embedded server has an address of its own and no TLS"),
        ({"tls": True, "embedded": True}, "no TLS"),
        ({"tls_ca_file": "ca.pem"}, "ca.pem is a relative path"),
    ],
    ids=str,
)
def test_what_is_wrong_with_the_address_of_a_database_is_said(read, database, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read(a_cluster(database=database))


def test_a_directory_without_a_cluster_file_says_how_to_start(tmp_path):
    with pytest.raises(InputError, match="no such cluster file.*imatgen init --cluster"):
        ClusterConfig.from_directory(tmp_path)


def test_a_home_directory_may_be_written_as_a_tilde(read):
    assert read(a_cluster(python="~/venv/bin")).python == Path.home() / "venv" / "bin"


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("", 0),
        ("gpu", 1),
        ("gpu:2", 2),
        ("gpu:a100", 1),
        ("gpu:a100:4", 4),
        ("gpu:nvidia_a100-sxm4.80gb:2", 2),
        ("gpu:1g.10gb:3", 3),
        ("shard:8", 0),
        ("shard:8,gpu:1", 1),
        ("gpu:a:1,gpu:b:2", 3),
    ],
)
def test_gpus_are_counted_in_every_form_that_slurm_knows(gres, gpus):
    assert Resources(partition="gpu", walltime=3600, gres=gres).gpus == gpus


def test_of_what_a_node_offers_only_the_type_asked_for_counts():
    offered = "gpu:a100:4(S:0-1),gpu:v100:2(S:0),lustre:1"
    assert [count_gpus(offered), count_gpus(offered, "v100"), count_gpus(offered, "h100")] == [6, 2, 0]


@pytest.mark.parametrize(
    ("memory", "megabytes"), [("4G", 4096), ("500M", 500), (500, 500), ("2T", 2 * 1024**2), ("2048K", 2)]
)
def test_memory_without_a_unit_is_megabytes_as_for_slurm(memory, megabytes):
    assert Resources(partition="cpu", walltime=3600, memory=memory).megabytes == megabytes
