"""Lemonade from a package by URL: installed only when its checksum is the stated one."""

from __future__ import annotations

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S
from tests.installer.host import Host
from tests.installer.test_install import STREAM


def install(host: Host, package: str, checksum: str) -> tuple[int, str]:
    settings = f"hal0_lemonade_method=deb hal0_lemonade_url=file://{package} hal0_lemonade_sha256={checksum}"
    command = f'cd hal0 && make install SET="hal0_extra_models_dir={MODELS} {settings}"'
    done = host.run(command, check=False, within=PLAY_S)
    return done.returncode, done.stdout


def test_a_package_by_url_is_installed_once_its_checksum_is_right(installed: Host) -> None:
    installed.run("apt-get -qq update && apt-get -qq download lemonade-server", within=PLAY_S)
    package = installed.says("ls /root/lemonade-server_*.deb")
    checksum = installed.says(f"sha256sum {package}").split()[0]
    installed.run("apt-get -qq remove -y --allow-change-held-packages lemonade-server", within=PLAY_S)

    status, said = install(installed, package, "0" * 64)

    assert status != 0
    assert "checksum" in said, said[-3000:]
    assert installed.run("test -e /usr/bin/lemond", check=False).returncode != 0

    status, said = install(installed, package, checksum)

    assert status == 0, said[-4000:]
    assert "data: [DONE]" in installed.python(STREAM, within=180)
    assert installed.says("apt-mark showhold") == "lemonade-server"
