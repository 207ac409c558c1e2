"""The packages of Lemonade's makers: here a source of this host's own, with a key of its own."""

from __future__ import annotations

import re

import pytest

from tests.installer.conftest import PLAY_S
from tests.installer.host import Host
from tests.installer.plays import play
from tests.installer.test_install import changes

SOURCE = """
set -e
apt-get -qq update && apt-get -qq install -y gpg apt-utils >/dev/null
mkdir -p ppa/pool ppa/dists/forky/main/binary-amd64 && cd ppa
(cd pool && apt-get -qq download lemonade-server)
apt-ftparchive packages pool > dists/forky/main/binary-amd64/Packages
apt-ftparchive -o APT::FTPArchive::Release::Suite=forky -o APT::FTPArchive::Release::Components=main \\
  -o APT::FTPArchive::Release::Architectures=amd64 release dists/forky > /root/Release && mv /root/Release dists/forky/
gpg --batch --quiet --passphrase '' --quick-gen-key makers@example.org ed25519 sign never
gpg --batch --yes --clearsign -o dists/forky/InRelease dists/forky/Release
gpg --armor --export makers@example.org > /srv/makers.asc
cd .. && rm -rf /srv/ppa && mv ppa /srv/ && chmod -R a+rX /srv/ppa
apt-get -qq remove -y --allow-change-held-packages lemonade-server
# Debian's package stands for that of the makers, which does not recommend it.
printf 'Package: libggml0-backend-hip\\nPin: release *\\nPin-Priority: -1\\n' > /etc/apt/preferences.d/without-rocm
"""


@pytest.fixture(scope="module")
def fingerprint(installed: Host) -> str:
    """A package source in /srv/ppa and its key in /srv/makers.asc; the key's fingerprint."""
    installed.write("/root/source.sh", SOURCE)
    installed.run("sh source.sh", within=PLAY_S)
    found = re.search(r"^fpr:+([0-9A-F]+):", installed.says("gpg --list-keys --with-colons"), re.MULTILINE)
    assert found is not None
    return found.group(1)


def bring(host: Host, fingerprint: str, check: bool = True) -> tuple[int, str]:
    """Bring Lemonade from that source, with the key of this fingerprint wanted."""
    source = {"hal0_ppa_uri": "file:///srv/ppa", "hal0_ppa_key_url": "file:///srv/makers.asc"}
    return play(host, "lemonade", "ppa", check, **source, hal0_ppa_fingerprint=fingerprint)


def test_packages_with_another_key_are_refused(installed: Host, fingerprint: str) -> None:
    status, said = bring(installed, "0" * 40, check=False)
    assert status != 0
    assert f"gives the key {fingerprint}, not 0000" in " ".join(said.split()), said[-3000:]
    assert installed.run("ls /etc/apt/sources.list.d/hal0-lemonade.sources", check=False).returncode != 0


def test_packages_with_the_wanted_key_are_installed_and_held(installed: Host, fingerprint: str) -> None:
    bring(installed, fingerprint)
    assert "/srv/ppa" in installed.says("apt-cache policy lemonade-server")
    assert installed.says("apt-mark showhold") == "lemonade-server"
    assert changes(bring(installed, fingerprint)[1]) == []
