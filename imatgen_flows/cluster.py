"""The cluster file: partitions, database and programs of a cluster, in the one file of its directory that a user edits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from imatgen_flows.io.yaml_file import Section, read_user_file, write_user_file
from imatgen_flows.profiles import Profile

CLUSTER_FILE = "cluster.yaml"
PROFILES = tuple(profile.value for profile in Profile)
INHERITED = ("partition", "account", "qos", "constraint")  # stated once at the top, or by a profile for its jobs
OPTIONAL = ("gres", "account", "qos", "constraint")  # asked of SLURM where they are stated

# options of sbatch that a free line must not have, each with the key of the cluster file that says the same; without a key,
# this program sets the option itself, or could not find the job again
RESERVED_OPTIONS = {
    **{name: name for name in ("partition", "nodes", "account", "qos", "constraint", "gres")},
    **dict.fromkeys(("ntasks", "ntasks-per-node", "cpus-per-task"), "cores"),
    **dict.fromkeys(("mem", "mem-per-cpu", "mem-per-gpu"), "memory"),
    **dict.fromkeys(("gpus", "gpus-per-node", "gpus-per-task", "gpus-per-socket"), "gres"),
    **{"time": "walltime", "signal": "warning"},
    **dict.fromkeys(("job-name", "output", "error", "requeue", "no-requeue", "chdir", "array", "clusters"), ""),
    **dict.fromkeys(("hold", "parsable", "quiet", "test-only", "wait", "wrap", "help", "usage", "version"), ""),
}


class Resources(Section):
    """The resources that the jobs of one profile ask of the queue."""

    partition: str = Field(description="SLURM partition, as `sinfo` names it.")
    nodes: int = Field(1, ge=1)
    cores: int = Field(1, ge=1, description="Cores on each node.")
    memory: str = Field("4G", description="Memory of each node, as SLURM reads it: 4G, 500M; without a unit, MB.")
    walltime: int = Field(description="Longest run, s; in the file as HH:MM:SS or D-HH:MM:SS.")
    gres: str = Field("", description="Generic resources, for example gpu:1.")
    account: str = ""
    qos: str = ""
    constraint: str = Field("", description="Features of the nodes, as `sinfo -o %f` names them: a100, intel|amd.")
    sbatch: list[str] = Field(default_factory=list, description="Further options of sbatch, such as --exclusive.")
    gpu_optional: bool = Field(False, description="Without a GPU, run on the CPU instead of failing.")

    @field_validator("walltime", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        # YAML reads an unquoted 12:00:00 as a number to base 60, which is the number of seconds
        found = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", value) if isinstance(value, str) else None
        if isinstance(value, str) and not found:
            raise ValueError("a walltime is HH:MM:SS or D-HH:MM:SS")
        if found:
            days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
            value = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        if isinstance(value, int) and value < 60:
            raise ValueError("a walltime is at least a minute")
        return value

    @field_validator("memory", mode="before")
    @classmethod
    def _memory(cls, value: object) -> object:
        if not re.fullmatch(r"[1-9]\d*[KMGT]?", str(value)):
            raise ValueError("memory is a whole number with a unit: 4G, 500M")
        return str(value)

    @field_validator("gres")
    @classmethod
    def _gres(cls, value: str) -> str:
        # a value that cannot be parsed would count as no GPU, and the job would silently run on the CPU
        if value and not all(re.fullmatch(r"\w+(:[\w.-]+)?(:\d+)?", part) for part in value.split(",")):
            raise ValueError("generic resources are written name:number or name:type:number, for example gpu:a100:1")
        return value

    @field_validator("constraint")
    @classmethod
    def _constraint(cls, value: str) -> str:
        if re.search(r"[\s$#'\"\x00-\x1f]", value):
            raise ValueError("a constraint has no spaces, quotes, `$` or `#`: a100, intel&gpu, [rack1|rack2]")
        return value

    @field_validator("sbatch")
    @classmethod
    def _sbatch(cls, lines: list[str]) -> list[str]:
        return check_sbatch_lines(lines)

    @property
    def gpus(self) -> int:
        """Number of GPUs that the job requests on each node."""
        return count_gpus(self.gres)

    @property
    def megabytes(self) -> int:
        """The memory in MB."""
        number, unit = re.fullmatch(r"(\d+)([KMGT]?)", self.memory).groups()  # type: ignore[union-attr]  # validated
        return int(int(number) * {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024**2}[unit])

    @property
    def slurm_walltime(self) -> str:
        """The walltime as SLURM reads it."""
        minutes, seconds = divmod(self.walltime, 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"


def check_sbatch_lines(lines: list[str]) -> list[str]:
    """Check free options of sbatch, and return them without the word `#SBATCH`.

    Raises
    ------
    ValueError
        Where one is no long option, stands twice, or says what a key of the cluster file or this program says.

    Examples
    --------
    >>> check_sbatch_lines(["#SBATCH --exclusive", "--mail-type=FAIL"])
    ['--exclusive', '--mail-type=FAIL']
    """
    options: dict[str, str] = {}
    for line in lines:
        written = line.strip().removeprefix("#SBATCH").strip()
        found = re.fullmatch(r"--([a-z][a-z0-9-]*)(=[^\s$#'\"\\\x00-\x1f]+)?", written)
        if not found:
            raise ValueError(
                f"`{line}` is no option of sbatch in full: write --name or --name=value, as --exclude=node3, without spaces, "
                "quotes and variables"
            )
        name = found[1]
        # sbatch takes an option that is cut short, too
        meant = [name] if name in RESERVED_OPTIONS else [ours for ours in RESERVED_OPTIONS if ours.startswith(name)]
        if meant:
            key = RESERVED_OPTIONS[meant[0]]
            cure = f"the key `{key}` says this" if key else "the program sets it, or could not follow the job"
            raise ValueError(f"`{line}`: --{meant[0]} must not stand here: {cure}")
        if name in options:
            raise ValueError(f"`{line}`: --{name} stands twice")
        options[name] = written
    return list(options.values())


def _name_of(option: str) -> str:
    return option.partition("=")[0]


def count_gpus(gres: str, kind: str = "") -> int:
    """Count the GPUs in a list of generic resources.

    Parameters
    ----------
    gres : as SLURM writes it, for example `gpu:2`, `gpu:a100:4(S:0-1)`, `gpu:1,shard:2`
    kind : count only GPUs of this type, where it is given
    """
    total = 0
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = part.split(":")
        number = int(rest.pop()) if rest and rest[-1].isdigit() else 1
        if name == "gpu" and (not kind or rest == [kind]):
            total += number
    return total


def _absolute(path: Path | None) -> Path | None:
    path = path.expanduser() if path else None
    if path and not path.is_absolute():
        raise ValueError(f"{path} is a relative path: write it in full, from /")
    return path


class Profiles(Section):
    """The resources of each SLURM profile."""

    light: Resources = Field(description=Profile.LIGHT.description)
    gpu_train: Resources = Field(description=Profile.GPU_TRAIN.description)
    gpu_relax: Resources = Field(description=Profile.GPU_RELAX.description)
    cpu_vasp: Resources = Field(description=Profile.CPU_VASP.description)

    def __getitem__(self, name: str) -> Resources:
        return getattr(self, name)

    @model_validator(mode="after")
    def _one_node(self) -> Self:
        for name in PROFILES:
            if self[name].nodes > 1 and name != Profile.CPU_VASP:
                raise ValueError(
                    f"`{name}.nodes` is {self[name].nodes}: only {Profile.CPU_VASP.value} can use more than one node"
                )
        return self


class Database(Section):
    """The MongoDB server of LaunchPad and job stores: by host and port, or by a connection string."""

    embedded: bool = Field(False, description="Use the server of `imatgen launchpad start`: for one machine only.")
    host: str = Field("localhost", description="Host of the MongoDB server.")
    port: int = Field(27017, ge=1, le=65535)
    uri: str = Field("", description="In place of host and port: mongodb+srv://... or mongodb://..., without the user.")
    tls: bool = Field(False, description="Encrypt the connection; mongodb+srv:// always does.")
    tls_ca_file: Path | None = Field(None, description="Certificate of the authority that the server's rests on.")
    tls_key_file: Path | None = Field(None, description="Certificate and key of the client, where it needs one.")
    name: str = Field("imatgen", description="Database; one for each project.")
    username: str = ""
    password_file: Path | None = Field(None, description="File with the password, readable by its owner alone.")
    auth_source: str = Field("", description="Database that knows the user; the same one where empty.")

    @field_validator("uri")
    @classmethod
    def _no_user(cls, uri: str) -> str:
        scheme, _, rest = uri.partition("://")
        hosts = rest.partition("/")[0].partition("?")[0]
        if uri and (scheme not in ("mongodb", "mongodb+srv") or not hosts):
            raise ValueError("a connection string begins with mongodb:// or mongodb+srv://, and names a host")
        if "@" in rest.partition("?")[0]:
            raise ValueError("user and password do not stand in the connection string: use `username`, `password_file`")
        if scheme == "mongodb+srv" and (":" in hosts or "," in hosts):
            raise ValueError("mongodb+srv:// takes one name without a port; several hosts are written mongodb://a,b,c/")
        return uri

    @field_validator("tls_ca_file", "tls_key_file")
    @classmethod
    def _file_in_full(cls, path: Path | None) -> Path | None:
        return _absolute(path)

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.uri and (self.host, self.port) != ("localhost", 27017):
            raise ValueError("`uri` names the hosts: leave `host` and `port` out")
        if self.embedded and (self.uri or self.encrypted):
            raise ValueError("the embedded server has an address of its own and no TLS: leave `uri` and `tls...` out")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether TLS is asked for by a key of its own."""
        return self.tls or self.tls_ca_file is not None or self.tls_key_file is not None

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.embedded and (self.username or self.password_file):
            raise ValueError(
                "the embedded server makes its own user and password: leave `username` and `password_file` out"
            )
        if bool(self.username) != bool(self.password_file):
            raise ValueError("`username` and `password_file` go together")
        return self


class ClusterConfig(Section):
    """The content of a cluster file, `cluster.yaml`."""

    version: Literal[1] = 1
    python: Path = Field(
        description="Folder of the environment's programs on the nodes, for example /home/me/venv/bin."
    )
    setup: list[str] = Field(default_factory=list, description="Shell lines before each job, for example module load.")
    database: Database = Field(default_factory=Database)
    partition: str = Field("", description="Partition of every profile that names none of its own.")
    account: str = Field("", description="Account of every profile that names none.")
    qos: str = Field("", description="Quality of service of every profile that names none.")
    constraint: str = Field("", description="Features of the nodes of every profile that names none.")
    sbatch: list[str] = Field(default_factory=list, description="Further options of sbatch for all jobs.")
    profiles: Profiles
    jobs: int = Field(20, ge=1, description="Jobs of yours in the queue at once, at most.")
    warning: int = Field(120, ge=5, description="Seconds before the walltime at which a job saves and hands over.")
    vasp: str = Field("srun vasp_std", description="Command that runs VASP within a job.")
    potcars: Path | None = Field(None, description="Folder of the POTCARs (PMG_VASP_PSP_DIR).")

    @field_validator("python", "potcars")
    @classmethod
    def _in_full(cls, path: Path | None) -> Path | None:
        """Require an absolute path, since jobs run in directories of their own."""
        return _absolute(path)

    @field_validator("sbatch")
    @classmethod
    def _sbatch(cls, lines: list[str]) -> list[str]:
        return check_sbatch_lines(lines)

    @model_validator(mode="before")
    @classmethod
    def _pass_on(cls, content: Any) -> Any:
        """Give the profiles what stands at the top and not in them."""
        profiles = content.get("profiles") if isinstance(content, dict) else None
        if not isinstance(profiles, dict):
            return content
        stated = {key: content[key] for key in INHERITED if content.get(key)}
        passed = {
            name: {**stated, **profile} if isinstance(profile, dict) else profile for name, profile in profiles.items()
        }
        return content | {"profiles": passed}

    @model_validator(mode="after")
    def _pass_options_on(self) -> Self:
        """Give the profiles the options at the top; of an option that both have, that of the profile holds."""
        for name in PROFILES:
            profile = self.profiles[name]
            own = {_name_of(option) for option in profile.sbatch}
            profile.sbatch = [option for option in self.sbatch if _name_of(option) not in own] + profile.sbatch
        return self

    @model_validator(mode="after")
    def _room_to_save(self) -> Self:
        for name in PROFILES:
            if self.profiles[name].walltime <= self.warning:
                raise ValueError(f"`profiles.{name}.walltime` is no longer than `warning` ({self.warning} s)")
        return self

    @classmethod
    def from_directory(cls, directory: str | Path) -> Self:
        """Read the cluster file of a configuration directory.

        Raises
        ------
        InputError
            Where the file is missing, is not YAML, or says something the program does not know.
        """
        path = Path(directory) / CLUSTER_FILE
        return read_user_file(path, cls, "cluster file", "`imatgen init --cluster DIR` writes one to start from.")

    def to_directory(self, directory: str | Path) -> None:
        """Write the cluster file with every key spelled out."""
        write_user_file(Path(directory) / CLUSTER_FILE, self)
