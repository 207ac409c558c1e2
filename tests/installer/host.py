"""A real host with systemd as PID 1, on this machine: systemd-nspawn over a disk of its own.

A disk is a stack of layers over a base root file system. A host that was shut down can be frozen into a layer, and
further hosts be booted over it, so that an installation is paid for once. Needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hal0app.trial.process import die_with_parent
from tests.installer.network import Network
from tests.support import cache, processes
from tests.support.waiting import eventually

HERE = Path(__file__).parent
WANTS_REBOOT = 133
BOOT_S = 180.0
STOP_S = 120.0
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG=C.UTF-8",
    "HOME=/root",
    "TERM=dumb",
)
CONTROLLERS = ("systemd", "unified", "memory", "pids", "cpu", "cpuacct")
CPU_SHARES = "10240"
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Image:
    """What a host boots from: a suite, and folders laid over its base, the uppermost first."""

    suite: str
    layers: tuple[Path, ...]


def base(suite: str) -> Image:
    """Debian with systemd and sshd and nothing of ours; built into the cache at first use."""
    built = subprocess.run([str(HERE / "base.sh"), suite], check=True, stdout=subprocess.PIPE, text=True)
    return Image(suite, (Path(built.stdout.strip()),))


class Host:
    """A booted host. `run` is a command on it as root, `root` its file system as seen from here."""

    def __init__(self, image: Image) -> None:
        self.name = f"hal0-{os.getpid()}-{next(_numbers)}"
        self.image = image
        self.folder = cache.folder("hosts") / self.name
        self.root, self._upper = self.folder / "root", self.folder / "upper"
        for folder in (self.root, self._upper, self.folder / "work"):
            folder.mkdir(parents=True)
        layers = ":".join(map(str, image.layers))
        self._mount = f"lowerdir={layers},upperdir={self._upper},workdir={self.folder / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", self._mount, str(self.root)], check=True)
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(f"127.0.0.1 localhost {self.name}\n")
        subprocess.run(["ssh-keygen", "-q", "-A", "-f", str(self.root)], check=True, stdout=subprocess.DEVNULL)
        self.network = Network(self.name, self.folder)
        self._nspawn: subprocess.Popen[bytes] | None = None

    # Life ----------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Switch it on, and wait until systemd says that it is up."""
        environment = dict(os.environ)
        if self.image.suite != "bookworm":  # systemd 258 and newer refuse cgroup v1
            environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
        command = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(self.root)]
        command += [f"--machine={self.name}", "--console=pipe", "--resolv-conf=off", "--link-journal=no"]
        command += ["--timezone=off", f"--network-namespace-path={self.network.path}", "--kill-signal=SIGRTMIN+3"]
        command += [
            "--capability=CAP_NET_ADMIN,CAP_BPF",
            "--system-call-filter=bpf",
            "--rlimit=RLIMIT_MEMLOCK=infinity",
        ]
        with (self.folder / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*command, "/init-of-test"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
                preexec_fn=self._in_cgroups_of_its_own(),
            )
        eventually(self._is_up, f"{self.name} has booted, see {self.folder}/console.log", BOOT_S, every=0.2)

    def _in_cgroups_of_its_own(self) -> Callable[[], None]:
        die = die_with_parent()
        folders = [Path("/sys/fs/cgroup", one) for one in CONTROLLERS]
        groups = [folder / self.name for folder in folders if folder.is_dir()]
        for group in groups:
            group.mkdir(exist_ok=True)
            if (group / "cpu.shares").exists():  # else all of the host together weighs as much as one process here
                (group / "cpu.shares").write_text(CPU_SHARES)

        def move() -> None:
            die()
            for group in groups:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        return move

    def _is_up(self) -> bool:
        assert self.supervisor.poll() is None, f"the boot ended with {self.supervisor.returncode}"
        return self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded")

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        """systemd-nspawn, the parent of the host's PID 1."""
        assert self._nspawn is not None, f"{self.name} was never switched on"
        return self._nspawn

    @property
    def leader(self) -> int:
        """The process id of the host's PID 1, seen from here. ProcessLookupError while there is none."""
        for child in processes.children(self.supervisor.pid):
            with contextlib.suppress(OSError):
                if (
                    Path(f"/proc/{child}/comm").read_text().strip() == "systemd"
                    and _parent(child) == self.supervisor.pid
                ):
                    return child
        raise ProcessLookupError(f"{self.name} is not up")

    def reboot(self) -> None:
        """An orderly reboot; back when the host is up again."""
        self.run("systemctl --no-block reboot")
        assert self.supervisor.wait(STOP_S) == WANTS_REBOOT
        self.boot()

    def cut_power(self) -> None:
        """Kill every process of the host at once, and boot it again."""
        processes.kill(self.leader)
        self.supervisor.wait(STOP_S)
        self.boot()

    def shut_down(self) -> None:
        """Orderly, within `STOP_S`; else by force."""
        with contextlib.suppress(ProcessLookupError):
            self.run("systemctl --no-block poweroff", check=False)
        try:
            self.supervisor.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._switch_off()

    def _switch_off(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            processes.kill(self.leader)
        self.supervisor.kill()
        self.supervisor.wait()

    def freeze(self, layer: Path) -> Image:
        """Shut the host down and move what it has written to a folder `layer`; only `destroy` is left to it."""
        self.shut_down()
        subprocess.run(["umount", str(self.root)], check=True)
        (self._upper / "etc/machine-id").write_text("")
        self._upper.rename(layer)
        return Image(self.image.suite, (layer, *self.image.layers))

    def destroy(self) -> None:
        """Switch the host off; remove its disk, network and cgroups."""
        if self._nspawn is not None and self._nspawn.poll() is None:
            self._switch_off()
        self.network.close()
        if self.root.is_mount():
            subprocess.run(["umount", "-l", str(self.root)], check=True)
        for folder in (Path("/sys/fs/cgroup", one, self.name) for one in CONTROLLERS):
            _remove_groups(folder)
        shutil.rmtree(self.folder)

    # Use -----------------------------------------------------------------------------------------------------

    def run(self, command: str, check: bool = True, within: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the host, standard error joined to its output; AssertionError when it fails."""
        enter = ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "env", "-i"]
        done = subprocess.run(
            [*enter, *ENVIRONMENT, "sh", "-c", f"cd /root && {command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}\nended with {done.returncode}:\n{done.stdout[-6000:]}"
        return done

    def says(self, command: str) -> str:
        """What a command that succeeds prints, stripped."""
        return self.run(command).stdout.strip()

    def accept_ssh(self, key: Path) -> int:
        """Let root log in with the public key `key` of this machine; the port on 127.0.0.1."""
        self.run("mkdir -p -m 700 .ssh")
        self.copy(key, "/root/.ssh/authorized_keys")
        self.run("chmod 600 .ssh/authorized_keys")
        return self.network.forward(22)

    def copy(self, source: Path, target: str) -> None:
        """Copy a file or folder of this machine to an absolute path of the host."""
        there = self.root / target.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, there, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, there)

    def python(self, source: str, *arguments: str, within: float = 60.0) -> str:
        """What a Python program prints that runs on the host as root."""
        quoted = " ".join(map(shlex.quote, ("-c", source, *arguments)))
        return self.run(f"python3 {quoted}", within=within).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        there = self.root / path.lstrip("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(text)

    def journal(self, unit: str, lines: int = 60) -> str:
        """The end of what a unit has logged."""
        return self.run(f"journalctl --no-pager -n {lines} -u {shlex.quote(unit)}", check=False).stdout


@contextmanager
def booted(image: Image) -> Iterator[Host]:
    """A host that is destroyed in the end."""
    host = Host(image)
    try:
        host.boot()
        yield host
    finally:
        host.destroy()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _remove_groups(folder: Path) -> None:
    """Remove a control group with those below it, as soon as their last process is gone."""
    for _ in range(30):
        for group in sorted((one for one in folder.rglob("*") if one.is_dir()), reverse=True):
            with contextlib.suppress(OSError):
                group.rmdir()
        with contextlib.suppress(FileNotFoundError):
            try:
                folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)
                continue
        return


def sweep() -> None:
    """Remove what hosts of test runs that were killed have left behind; one process at a time."""
    with (cache.folder("hosts") / "sweep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep()


def _sweep() -> None:
    for folder in cache.folder("hosts").glob("hal0-*"):
        owner = int(folder.name.split("-")[1])
        if processes.alive(owner):
            continue
        subprocess.run(["umount", "-l", str(folder / "root")], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "del", folder.name], check=False, stderr=subprocess.DEVNULL)
        for controller in CONTROLLERS:
            _remove_groups(Path("/sys/fs/cgroup", controller, folder.name))
        shutil.rmtree(folder, ignore_errors=True)
    for folder in cache.folder("hosts").glob("run-*"):
        if not processes.alive(int(folder.name.removeprefix("run-"))):
            shutil.rmtree(folder, ignore_errors=True)
