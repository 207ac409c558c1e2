"""Lemonade from a package by URL, then from an archive, then from the distribution: each leaves nothing of the last."""

from __future__ import annotations

from tests.installer.archive import archive
from tests.installer.conftest import PLAY_S, roles
from tests.installer.host import Host
from tests.installer.test_install import STREAM, changes

OWN_UNIT, LINK = "/etc/systemd/system/lemond.service", "/opt/hal0/lemonade/current"


def install(host: Host, method: str, url: str = "", checksum: str = "") -> tuple[int, str]:
    settings = f"hal0_lemonade_method={method} hal0_lemonade_url={url} hal0_lemonade_sha256={checksum}"
    done = host.run(roles("preflight,lemonade", settings), check=False, within=PLAY_S)
    return done.returncode, done.stdout


def lemond(host: Host) -> str:
    """The program that runs as lemond.service."""
    return host.says("readlink -f /proc/$(systemctl show -P MainPID lemond.service)/exe")


def there(host: Host, *paths: str) -> list[str]:
    return [path for path in paths if host.run(f"ls -d {path}", check=False).returncode == 0]


def test_a_package_by_url_is_installed_once_its_checksum_is_right(installed: Host) -> None:
    installed.run("apt-get -qq update && apt-get -qq download lemonade-server", within=PLAY_S)
    package = installed.says("ls /root/lemonade-server_*.deb")
    checksum = installed.says(f"sha256sum {package}").split()[0]
    installed.run("apt-get -qq remove -y --allow-change-held-packages lemonade-server", within=PLAY_S)

    status, said = install(installed, "deb", f"file://{package}", "0" * 64)

    assert status != 0
    assert "checksum" in said, said[-3000:]
    assert installed.run("test -e /usr/bin/lemond", check=False).returncode != 0

    status, said = install(installed, "deb", f"file://{package}", checksum)

    assert status == 0, said[-4000:]
    assert "data: [DONE]" in installed.python(STREAM, within=180)
    assert installed.says("apt-mark showhold") == "lemonade-server"


def test_an_archive_takes_the_packages_place(installed: Host) -> None:
    packed = archive()
    installed.copy(packed.file, "/srv/lemonade.tar.gz")

    status, said = install(installed, "tarball", "file:///srv/lemonade.tar.gz", packed.sha256)

    assert status == 0, said[-4000:]
    assert lemond(installed).startswith("/opt/hal0/lemonade/releases/")
    assert there(installed, "/usr/bin/lemond", "/opt/hal0/lemonade-*.deb") == []
    assert "data: [DONE]" in installed.python(STREAM, within=180)


def test_a_package_takes_the_archives_place(installed: Host) -> None:
    status, said = install(installed, "apt")

    assert status == 0, said[-4000:]
    assert "That one's unit, /etc/systemd/system/lemond.service, is removed" in " ".join(said.split())
    assert lemond(installed) == "/usr/bin/lemond"
    assert there(installed, OWN_UNIT, LINK) == []
    assert installed.says("systemctl is-enabled lemond.service") == "enabled"
    assert "lemonade-server" in installed.says("cat /opt/hal0/installed-packages.json")
    assert "data: [DONE]" in installed.python(STREAM, within=180)
    assert changes(install(installed, "apt")[1]) == []
