"""Lemonade's embeddable archive, made from Debian's packages: programs, libraries and loader that run on any host.

AMD publishes such an archive (`lemonade-embeddable-VERSION-ubuntu-x64.tar.gz`): one folder with `lemond` and its
`resources`, which it finds by its own path. Here the programs are Debian forky's, so they bring their own C library,
and their loader is named by the path of an installation.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import cache

CHROOT = Path(__file__).resolve().parents[1] / "lemond" / "chroot.sh"
PROGRAMS = ("usr/bin/lemond", "usr/bin/lemonade", "usr/bin/llama-server")
BACKENDS = "usr/lib/x86_64-linux-gnu/ggml/backends0"  # llama-server looks for these beside itself, too
RESOURCES = "usr/share/lemonade-server/resources"
LOADER = "ld-linux-x86-64.so.2"
INSTALLED = "/opt/hal0/lemonade/current"


@dataclass(frozen=True)
class Archive:
    """A file of this machine, and the SHA-256 of it."""

    file: Path
    sha256: str


def archive() -> Archive:
    """The archive, made into the cache at first use. Needs root, and Debian's mirror unless the chroot is there."""
    chroot = Path(subprocess.run([CHROOT], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
    recipe = hashlib.sha256(Path(__file__).read_bytes() + chroot.name.encode()).hexdigest()[:10]
    file = cache.folder("archives") / recipe / "lemonade-embeddable-debian-x64.tar.gz"
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
            _pack(_collect(chroot, Path(scratch, "lemonade-embeddable-debian-x64")), file)
    with file.open("rb") as handle:
        return Archive(file, hashlib.file_digest(handle, "sha256").hexdigest())


def _collect(chroot: Path, folder: Path) -> Path:
    """The archive's folder: programs and backends at its top, what they link to in `lib`."""
    library = folder / "lib"
    library.mkdir(parents=True)
    backends = sorted((chroot / BACKENDS).glob("*.so"))
    shutil.copytree(chroot / RESOURCES, folder / "resources")
    shutil.rmtree(folder / "resources" / "web-app", ignore_errors=True)
    objects = [chroot / program for program in PROGRAMS] + backends
    for file in objects:
        shutil.copy(file, folder / file.name)
        subprocess.run(["patchelf", "--force-rpath", "--set-rpath", "$ORIGIN/lib", folder / file.name], check=True)
    for file in _linked(chroot, objects):
        shutil.copy(chroot / file.lstrip("/"), library / Path(file).name)
        if Path(file).name != LOADER:
            command = ["patchelf", "--force-rpath", "--set-rpath", "$ORIGIN", library / Path(file).name]
            subprocess.run(command, check=True)
    for program in PROGRAMS:
        loader = f"{INSTALLED}/lib/{LOADER}"
        subprocess.run(["patchelf", "--set-interpreter", loader, folder / Path(program).name], check=True)
    return folder


def _linked(chroot: Path, objects: list[Path]) -> Iterator[str]:
    """The libraries and the loader of programs of a chroot, as it names them."""
    inside = [f"/{one.relative_to(chroot)}" for one in objects]
    told = subprocess.run(["chroot", chroot, "ldd", *inside], check=True, stdout=subprocess.PIPE, text=True).stdout
    yield from sorted(set(re.findall(r"(/\S+\.so\S*) \(0x", told)))


def _pack(folder: Path, file: Path) -> None:
    unfinished = file.with_suffix(".part")
    command = ["tar", "--use-compress-program=gzip -1", "-cf", unfinished, "-C", folder.parent, folder.name]
    subprocess.run(command, check=True)
    unfinished.rename(file)
