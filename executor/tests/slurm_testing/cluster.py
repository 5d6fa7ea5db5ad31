"""A real SLURM on this machine: munge, MariaDB, slurmdbd, slurmctld, slurmd, and two GPUs that only look like some.

    python -m slurm_testing.cluster start FOLDER    # prints what to set in the environment
    python -m slurm_testing.cluster stop FOLDER

Needs root and Debian's packages slurm-wlm, slurmdbd, munge and mariadb-server; everything else (configuration, sockets,
databases, logs) lies in FOLDER, the servers listen on loopback only, and are stopped by their process ids. The nodes'
GPUs are device files that lead to /dev/null.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from slurm_testing import waiting

PROGRAMS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "sbatch", "sacctmgr")
PACKAGES = "slurm-wlm slurmdbd munge mariadb-server"
GPUS = 2
CPUS = 16  # more than there are: the tests' jobs mostly wait, and what runs at a time is for Snakemake to say
PASSWORD = "accounting"  # of a database that only listens on loopback, for as long as a test runs

SLURM_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=5,batch_sched_delay=1,requeue_delay=0
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=15
KillWait=30
MinJobAge=300
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={dbd_port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
SlurmdParameters=config_overrides
MaxArraySize=1001
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN Gres=gpu:{gpus}
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""
DBD_CONF = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={dbd_port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={sql_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm_acct_db
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
"""


@dataclass
class Cluster:
    """The servers, their folder, and how to start and stop each."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """Return what SLURM's commands need."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Write the configuration and start everything."""
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            sys.exit(f"error: {', '.join(missing)} not found; install them: apt-get install {PACKAGES}")
        if os.geteuid() != 0:
            sys.exit("error: starting SLURM's servers needs root")
        self._make_folder()
        self._make_gpus()
        self.start_munged()
        self.start_mariadbd()
        self.start_slurmdbd()
        self.run("sacctmgr", "--immediate", "add", "cluster", "test", check=False)
        self.start_slurmctld()
        self.start_slurmd()

    def stop(self) -> None:
        """Stop what was started, in the opposite order, and every job with it."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.run("scancel", "--user=root", check=False, timeout=10)
            wait_for(lambda: not self.run("squeue", "--noheader").strip(), 40, "the queue to be empty")
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self.end(name)

    def run(self, *command: str, check: bool = True, timeout: float = 60) -> str:
        """Run a command of SLURM's and return what it prints."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise subprocess.SubprocessError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def pid(self, name: str) -> int:
        """Return the process id of a server that was started."""
        return int((self.folder / f"{name}.started").read_text())

    def end(self, name: str, number: int = signal.SIGTERM, patience_s: float = 30) -> None:
        """Signal a server and wait until it is gone; harmless if it never ran."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = self.pid(name)
            os.kill(pid, number)
            try:
                wait_for(lambda: not alive(pid), patience_s, f"{name} to end")
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                wait_for(lambda: not alive(pid), 10, f"{name} to be killed")
        (self.folder / f"{name}.started").unlink(missing_ok=True)

    def start_munged(self) -> None:
        socket_file = self.folder / "munge.socket"
        key = self.folder / "munge.key"
        if not key.exists():
            key.write_bytes(os.urandom(1024))
        own(key, "munge", 0o400)
        munge_folder = self.folder / "munge"
        munge_folder.mkdir(exist_ok=True)
        own(munge_folder, "munge", 0o755)
        command = ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}"]
        command += [f"--{name}={munge_folder}/{name}" for name in ("log-file", "pid-file", "seed-file")]
        self._spawn("munged", command)
        wait_for(lambda: self._munge_works(socket_file), 20, "munge")

    def start_mariadbd(self) -> None:
        data, port = self.folder / "mysql", self._ports()["sql_port"]
        fresh = not data.exists()
        if fresh:
            data.mkdir()
            own(data, "mysql", 0o755)
            subprocess.run(
                ["mariadb-install-db", "--no-defaults", "--user=mysql", f"--datadir={data}", "--skip-test-db"],
                check=True,
                capture_output=True,
            )
        command = ["mariadbd", "--no-defaults", "--user=mysql", f"--datadir={data}", f"--socket={data}/socket"]
        command += ["--bind-address=127.0.0.1", f"--port={port}", f"--pid-file={data}/pid"]
        command += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900", "--innodb-flush-method=fsync"]
        self._spawn("mariadbd", command)
        admin = ["mariadb-admin", "--no-defaults", f"--socket={data}/socket", "--user=root", "ping"]
        wait_for(lambda: subprocess.run(admin, capture_output=True).returncode == 0, 60, "MariaDB")
        if fresh:
            users = "".join(
                f"CREATE USER slurm@'{host}' IDENTIFIED BY '{PASSWORD}'; "
                f"GRANT ALL ON slurm_acct_db.* TO slurm@'{host}';"
                for host in ("localhost", "127.0.0.1")
            )
            sql = f"CREATE DATABASE slurm_acct_db; {users}"
            client = ["mariadb", "--no-defaults", f"--socket={data}/socket", "--user=root", "--execute", sql]
            subprocess.run(client, check=True, capture_output=True)

    def start_slurmdbd(self) -> None:
        self._spawn("slurmdbd", ["slurmdbd", "-D"])
        wait_for(lambda: listening(self._ports()["dbd_port"]), 60, "slurmdbd")

    def start_slurmctld(self) -> None:
        self._spawn("slurmctld", ["slurmctld", "-D"])
        wait_for(lambda: "UP" in self.run("scontrol", "ping", check=False), 60, "slurmctld")

    def start_slurmd(self) -> None:
        self._spawn("slurmd", ["slurmd", "-D", "-N", "localhost"])
        wait_for(self._node_is_up, 60, "the node")

    def node_state(self) -> str:
        """Return the node's state."""
        return self.run("sinfo", "--noheader", "--format=%T", "--nodes=localhost", "--partition=gpu").strip()

    def _node_is_up(self) -> bool:
        state = self.node_state()
        if state.startswith(("down", "drain", "inval")) and not state.endswith("*"):
            self.run("scontrol", "update", "NodeName=localhost", "State=RESUME", check=False)
        return state in ("idle", "mixed", "allocated")

    def _munge_works(self, socket_file: Path) -> bool:
        made = subprocess.run(["munge", "-n", f"--socket={socket_file}"], capture_output=True)
        read = subprocess.run(["unmunge", f"--socket={socket_file}"], input=made.stdout, capture_output=True)
        return read.returncode == 0

    def _spawn(self, name: str, command: list[str]) -> None:
        """Start a server in the foreground of a session of its own, so that its process id is known."""
        with (self.folder / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                [shutil.which(command[0]) or command[0], *command[1:]],
                env={**os.environ, **self.environment, "SLURM_CONF_DIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        (self.folder / f"{name}.started").write_text(str(process.pid))

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        for part in ("state", "spool"):
            (self.folder / part).mkdir(exist_ok=True)
        memory = int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**20 * 0.9)
        values = {
            **self._ports(),
            "folder": self.folder,
            "cpus": CPUS,
            "gpus": GPUS,
            "memory": memory,
            "password": PASSWORD,
        }
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**values))
        dbd = self.folder / "slurmdbd.conf"
        dbd.write_text(DBD_CONF.format(**values))
        dbd.chmod(0o600)
        (self.folder / "gres.conf").write_text(f"NodeName=localhost Name=gpu File=/dev/fakegpu[0-{GPUS - 1}]\n")

    def _ports(self) -> dict[str, int]:
        path = self.folder / "ports.json"
        if not path.exists():
            names = ("ctld_port", "slurmd_port", "dbd_port", "sql_port")
            with contextlib.ExitStack() as stack:
                sockets = [stack.enter_context(socket.socket()) for _ in names]
                for one in sockets:
                    one.bind(("127.0.0.1", 0))
                path.write_text(json.dumps(dict(zip(names, (one.getsockname()[1] for one in sockets), strict=True))))
        ports: dict[str, int] = json.loads(path.read_text())
        return ports

    def _make_gpus(self) -> None:
        for number in range(GPUS):
            device = Path(f"/dev/fakegpu{number}")
            if not device.exists():
                os.mknod(device, 0o20666, os.makedev(1, 3))


def own(path: Path, user: str, mode: int) -> None:
    entry = pwd.getpwnam(user)
    os.chown(path, entry.pw_uid, entry.pw_gid)
    path.chmod(mode)


def alive(pid: int) -> bool:
    """Return whether a process is there and not a zombie; reap it if it is our child."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return waiting.alive(pid)


def listening(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until the condition holds; raise TimeoutError naming what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit("usage: cluster.py start|stop FOLDER")
    cluster = Cluster(Path(sys.argv[2]).absolute())
    if sys.argv[1] == "start":
        try:
            cluster.start()
        except BaseException:
            cluster.stop()
            raise
        print("".join(f"export {key}={value}\n" for key, value in cluster.environment.items()), end="")
    else:
        cluster.stop()
