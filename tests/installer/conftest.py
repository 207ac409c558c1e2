"""Fixtures: an installation that was made once with the README's commands, and hosts that boot from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installer import checkout, host, lane
from tests.installer.belongings import files_of
from tests.installer.host import Host, Image, booted

PLAY_S = 1200.0  # a play takes half a minute on an idle machine
README = Path(__file__).resolve().parents[2] / "README.md"
INSTALL = f'make install SET="hal0_extra_models_dir={checkout.MODELS}"'


def roles(names: str, settings: str = "") -> str:
    """The command that runs these roles of an installation, with commas, and no others."""
    return f"cd hal0 && SET='{settings}' installer/install.sh install --tags {names}"


def readme_commands() -> list[str]:
    """The commands of the README's install section, without the clone: the checkout is copied instead."""
    section = README.read_text().split("\n## Install", 1)[1].split("\n## ", 1)[0]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return [line for line in block.group(1).splitlines() if line and not line.startswith("git clone")]


@dataclass(frozen=True)
class Installation:
    """What the README's commands printed on a fresh host, what was there before, and the disk they left."""

    output: str
    dry_run: str
    before: frozenset[str]
    image: Image


@pytest.fixture(scope="session")
def forky() -> Image:
    """Debian forky as it comes."""
    host.sweep()
    return host.base("forky")


@pytest.fixture(scope="session", autouse=True)
def shared() -> Iterator[Path]:
    """A folder that is shared with the other test processes of the lane."""
    with lane.joined() as folder:
        yield folder


@pytest.fixture(scope="session")
def installation(forky: Image, shared: Path) -> Installation:
    """What came of the README on a fresh host; its disk is there for other hosts to boot from."""
    return lane.once(shared, "installation", lambda: install(forky, shared / "disk"))


def install(forky: Image, disk: Path) -> Installation:
    """Follow the README on a fresh host, and freeze it into a layer `disk`."""
    with booted(forky) as fresh:
        before = files_of(fresh)
        checkout.bring(fresh)
        checkout.bring_models(fresh)
        *preparing, installing = readme_commands()
        assert installing == "make install"
        for command in preparing:
            fresh.run(command, within=PLAY_S)
        dry_run = fresh.run(f"cd hal0 && {INSTALL.replace('install', 'check', 1)}", within=PLAY_S).stdout
        output = fresh.run(f"cd hal0 && {INSTALL}", within=PLAY_S).stdout
        return Installation(output, dry_run, before, fresh.freeze(disk))


@pytest.fixture(scope="module")
def installed(installation: Installation) -> Iterator[Host]:
    """A host of this module's own that boots from the installed disk."""
    with booted(installation.image) as running:
        yield running


@pytest.fixture(scope="session")
def lasting(installation: Installation) -> Iterator[Host]:
    """A host that boots from the installed disk, for all tests that leave it as they found it."""
    with booted(installation.image) as running:
        yield running
