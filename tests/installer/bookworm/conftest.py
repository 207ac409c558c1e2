"""Fixtures: a Debian bookworm host (systemd 252, Python 3.11, limits of memory hold) with Lemonade from an archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.installer import checkout, host
from tests.installer.archive import Archive, archive
from tests.installer.belongings import Belongings, belongings
from tests.installer.conftest import PLAY_S, readme_commands
from tests.installer.host import Host, booted

# On a host with a locale that it does not have, from a folder with a space in its name.
PREFLIGHT = "ln -s hal0 'my hal0' && cd 'my hal0' && LC_ALL=xx_YY.UTF-8 make preflight SET=hal0_lemonade_method=tarball"


def at(name: str) -> str:
    """Where a copy of the archive lies on the host."""
    return f"/srv/{name}.tar.gz"


def make(action: str, sha256: str, name: str = "lemonade") -> str:
    """A command of the Makefile, for Lemonade from an archive with that checksum."""
    settings = f"hal0_lemonade_method=tarball hal0_lemonade_url=file://{at(name)} hal0_lemonade_sha256={sha256}"
    return f'cd hal0 && make {action} SET="hal0_extra_models_dir={checkout.MODELS} {settings}"'


@dataclass(frozen=True)
class Bookworm:
    """An installed host: its disk before the installation, what was refused before, and what the installer said."""

    host: Host
    archive: Archive
    before: Belongings
    refused: dict[str, str]
    after_refusals: Belongings
    output: str


@pytest.fixture(scope="package")
def bookworm() -> Iterator[Bookworm]:
    """One host for all tests of this folder; each leaves it as it found it, installed and answering."""
    lemonade = archive()
    host.sweep()
    with booted(host.base("bookworm")) as fresh:
        checkout.bring(fresh)
        checkout.bring_models(fresh)
        fresh.copy(lemonade.file, at("lemonade"))
        for command in readme_commands()[:-1]:
            fresh.run(command, within=PLAY_S)
        refused = {"without a name": refusal(fresh, PREFLIGHT)}
        before = belongings(fresh)
        refused["missing"] = refusal(fresh, make("install", ""))
        refused["wrong"] = refusal(fresh, make("install", "0" * 64))
        after = belongings(fresh)
        output = fresh.run(f"umask 077 && {make('install', lemonade.sha256)}", within=PLAY_S).stdout
        yield Bookworm(fresh, lemonade, before, refused, after, output)


def refusal(fresh: Host, command: str) -> str:
    """What a command says that must fail."""
    done = fresh.run(command, check=False, within=PLAY_S)
    assert done.returncode != 0
    return done.stdout
