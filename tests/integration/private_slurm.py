"""A private SLURM: one node on the loopback interface, started and stopped by the tests, as root or not."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "sinfo", "scontrol", "scancel")
# any character device passes for a GPU: SLURM hands out indices and never opens the file
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")
MEMORY_PER_CORE = 4000  # MB, pretended as the cores are
HOSTS = Path("/etc/hosts")
LONGEST_SOCKET = 107  # characters of a path that the kernel takes

SLURM_CONF = """\
ClusterName=lab
SlurmctldHost={host}({address})
SlurmctldPort={controller_port}
SlurmdPort={node_port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={socket}
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/run/slurmctld.pid
SlurmdPidFile={directory}/run/slurmd.pid
SlurmctldLogFile={directory}/log/slurmctld.log
SlurmdLogFile={directory}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=1000
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
KillWait=3
MinJobAge=86400
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={directory}/log/jobcomp.txt
GresTypes=gpu
NodeName={host} NodeAddr={address} CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1 \
Feature=intel,fast RealMemory={memory} Gres=gpu:fake:{gpus} State=UNKNOWN
PartitionName=cpu Nodes={host} Default=YES MaxTime=02:00:00 State=UP
PartitionName=gpu Nodes={host} MaxTime=01:00:00 State=UP
"""


class SlurmError(RuntimeError):
    """The private SLURM could not be started or stopped; the message says why."""


def missing_programs() -> list[str]:
    """List the SLURM programs that this machine lacks."""
    return [name for name in PROGRAMS if not _program(name)]


def wait_until(condition: Callable[[], Any], timeout: float, interval: float = 0.1) -> Any:
    """Call a function until its result is true, and return the result.

    Parameters
    ----------
    condition : what is asked
    timeout, interval : s

    Raises
    ------
    TimeoutError
        Where the answer is still false at the end.
    """
    end = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"still waiting after {timeout:g} s")
        time.sleep(interval)
    return answer


class PrivateSlurm:
    """One controller, one node, a `cpu` and a `gpu` partition.

    The daemons stay in the foreground as children of this process, and get a SIGTERM from the kernel should it be killed.

    Parameters
    ----------
    directory : configuration, state and logs; a start in the same directory takes up the jobs of the last one
    cpus, gpus : what the node pretends to have, whatever the machine has
    """

    def __init__(self, directory: Path, cpus: int = 8, gpus: int = 2) -> None:
        self.directory = Path(directory).absolute()
        self.cpus = cpus
        self.gpus = gpus
        self._daemons: dict[str, subprocess.Popen] = {}

    @property
    def configuration(self) -> Path:
        """The slurm.conf."""
        return self.directory / "etc" / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which SLURM's commands find this SLURM and no other."""
        return {"SLURM_CONF": str(self.configuration)}

    @property
    def munge_socket(self) -> Path:
        """The socket of munge, for daemons and commands."""
        return self.directory / "run" / "munge.sock"

    def start(self) -> None:
        """Start the daemons and return when the node accepts jobs.

        Raises
        ------
        SlurmError
            Where a daemon ends or the node never comes up; the message holds the end of the logs.
        """
        if len(str(self.munge_socket)) > LONGEST_SOCKET:
            raise SlurmError(f"{self.munge_socket} is too long for a socket. Choose a shorter directory.")
        for attempt in range(3):
            self._write_configuration()
            try:
                self._start_daemons()
                return
            except SlurmError:
                self.stop()
                # another program may have taken one of the ports in between
                if attempt == 2:
                    raise

    def stop(self) -> None:
        """Cancel every job, stop the daemons, and leave no process behind.

        Raises
        ------
        SlurmError
            Where a process of this SLURM outlives SIGKILL.
        """
        if self._daemons and all(daemon.poll() is None for daemon in self._daemons.values()):
            # what a broken controller leaves is killed below
            with contextlib.suppress(SlurmError, TimeoutError, subprocess.TimeoutExpired):
                self.cancel_all()
        for daemon in reversed(self._daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons = {}
        for process in self.processes():
            _kill(process)
        try:
            wait_until(lambda: not self.processes(), 10)
        except TimeoutError as error:
            raise SlurmError(f"processes {self.processes()} of {self.directory} cannot be killed") from error

    def daemon(self, name: str) -> int:
        """Return the process id of munged, slurmctld or slurmd."""
        return self._daemons[name].pid

    def processes(self) -> list[int]:
        """Find every running process of this SLURM, those of its jobs included, by its environment."""
        mark = f"SLURM_CONF={self.configuration}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                try:
                    # a zombie has no environment any more, so it does not count as living
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue  # ended meanwhile, or another user's
        return found

    def run(self, *command: str, timeout: float = 30) -> str:
        """Run a SLURM command against this SLURM and return what it prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        if done.returncode:
            raise SlurmError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def submit(self, script: str, *options: str) -> str:
        """Submit a shell script from the directory of this SLURM and return the id of its job."""
        log = self.directory / "log" / "job-%j.out"
        command = ("sbatch", "--parsable", "-D", str(self.directory), "-o", str(log), *options, "--wrap", script)
        return self.run(*command).strip()

    def job(self, job_id: str) -> dict[str, str]:
        """Return SLURM's record of a job, ended ones included: JobState, Partition, TimeLimit, TRES ..."""
        words = self.run("scontrol", "--oneliner", "show", "job", job_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait_for(self, job_id: str, *states: str, timeout: float = 30) -> dict[str, str]:
        """Wait until a job is in one of these states, and return SLURM's record of it then."""

        def there() -> dict[str, str] | None:
            job = self.job(job_id)
            return job if job["JobState"] in states else None

        return wait_until(there, timeout)

    def queue(self) -> dict[str, str]:
        """Return the state of every job that has not ended, by its id."""
        return dict(line.split() for line in self.run("squeue", "-h", "-r", "-o", "%i %T").splitlines())

    def cancel_all(self) -> None:
        """Cancel every job, and wait until none is left."""
        self.run("scancel", "--user", pwd.getpwuid(os.getuid()).pw_name, timeout=10)
        wait_until(lambda: not self.queue(), 20)

    def _write_configuration(self) -> None:
        # munge refuses a key or a socket folder that others could write to
        for name in ("etc", "run", "log", "state", "spool"):
            (self.directory / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        key = self.directory / "etc" / "munge.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(128))
        host = socket.gethostname().split(".")[0]  # SLURM's own notion of a node's name
        controller_port, node_port = free_ports(2)
        self.configuration.write_text(
            SLURM_CONF.format(
                host=host,
                address=_address(),
                controller_port=controller_port,
                node_port=node_port,
                user=pwd.getpwuid(os.getuid()).pw_name,
                socket=self.munge_socket,
                directory=self.directory,
                cpus=self.cpus,
                gpus=self.gpus,
                memory=self.cpus * MEMORY_PER_CORE,
            )
        )
        # with Count= alone, the node is invalid
        (self.directory / "etc" / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName={host} Name=gpu Type=fake File={','.join(DEVICES[: self.gpus])}\n"
        )

    def _start_daemons(self) -> None:
        run, etc = self.directory / "run", self.directory / "etc"
        # --force: pytest's temporary folders are open to their owner alone, and munge would refuse them
        munge = ["munged", "--foreground", "--force", "--num-threads=2", f"--socket={self.munge_socket}"]
        munge += [f"--key-file={etc}/munge.key", f"--pid-file={run}/munged.pid", f"--seed-file={run}/munged.seed"]
        self._spawn(*munge, f"--log-file={self.directory}/log/munged.log")
        self._wait(self.munge_socket.is_socket)
        self._spawn("slurmctld", "-D", "-f", str(self.configuration))
        self._spawn("slurmd", "-D", "-f", str(self.configuration))
        self._wait(lambda: self._node_state() in ("idle", "mixed", "allocated"))

    def _spawn(self, name: str, *arguments: str) -> None:
        with (self.directory / "log" / f"{name}.out").open("a") as output:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", _program(name), *arguments],
                env=os.environ | self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the daemons in order
            )

    def _wait(self, ready: Callable[[], bool]) -> None:
        def ready_or_dead() -> bool:
            if any(daemon.poll() is not None for daemon in self._daemons.values()):
                raise SlurmError(f"a daemon of the private SLURM ended.\n{self._logs()}")
            return ready()

        try:
            wait_until(ready_or_dead, 30)
        except TimeoutError as error:
            raise SlurmError(f"the private SLURM does not come up.\n{self._logs()}") from error

    def _node_state(self) -> str:
        try:
            return self.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").strip()
        except SlurmError:
            return ""  # the controller is not listening yet

    def _logs(self) -> str:
        paths = sorted(path for path in (self.directory / "log").iterdir() if path.suffix in (".log", ".out"))
        return "\n".join(f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in paths)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin:/usr/local/sbin")


def _address() -> str:
    """Resolve this machine's name, to which the daemons bind; as root, add it to the hosts file where it is missing."""
    name = socket.gethostname()
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        if os.getuid() != 0:
            raise SlurmError(
                f"this machine's name `{name}` does not resolve. Add `127.0.0.1 {name}` to {HOSTS}."
            ) from error
    with HOSTS.open("a") as hosts:
        hosts.write(f"127.0.0.1 {name}\n")
    return "127.0.0.1"


def free_ports(number: int) -> list[int]:
    """Find free ports."""
    sockets = [socket.create_server(("", 0)) for _ in range(number)]
    try:
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
