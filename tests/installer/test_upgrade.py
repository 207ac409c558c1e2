"""`make upgrade` and `make rollback`: another release, one that fails, and the way back."""

from __future__ import annotations

import json

from tests.installer.checkout import MODELS
from tests.installer.conftest import PLAY_S
from tests.installer.host import Host
from tests.installer.test_install import STREAM

UPGRADE_AND_MOVE = 'make upgrade SET="hal0_port=8070"'
UPGRADE_AND_KEEP_ONE = 'make upgrade SET="hal0_keep=1"'
BROKEN_OFF = "/opt/hal0/snapshots/20991231T000000Z--1.0--0.1.0-0123456789.unfinished"
PROGRAM = "/root/hal0/hal0app/wiring.py"


def release(host: Host) -> str:
    return host.says("basename $(readlink /opt/hal0/current)")


def change(host: Host, line: str) -> None:
    """Make the host's checkout another release, with a line more in a program that the worker imports."""
    host.run(f"cp {PROGRAM} wiring.kept; printf '\\n{line}\\n' >> {PROGRAM}")


def answers(host: Host) -> bool:
    return "data: [DONE]" in host.python(STREAM, within=180)


REPACK = """
set -e
apt-get -qq update && apt-get -qq install -y apt-utils >/dev/null
apt-get -qq download lemonade-server && dpkg-deb -R lemonade-server_*.deb newer
sed -i "s/^Version: .*/&+newer/" newer/DEBIAN/control
mkdir -p /srv/newer && dpkg-deb -Zgzip -z1 -b newer /srv/newer >/dev/null && rm -rf newer
cd /srv/newer && apt-ftparchive packages . > Packages
echo 'deb [trusted=yes] file:///srv/newer ./' > /etc/apt/sources.list.d/newer.list
"""
OWN = "/var/lib/lemonade/user_models.json"


def lemonade(host: Host) -> str:
    return host.says("dpkg-query -W -f '${Version}' lemonade-server")


def test_an_upgrade_that_fails_is_undone_by_itself_and_a_good_one_can_be_rolled_back(installed: Host) -> None:
    """Of hal0 and of Lemonade, for which there is a newer package; what was set at the installation holds."""
    installed.write("/root/repack.sh", REPACK)
    installed.run("sh repack.sh", within=PLAY_S)
    before = release(installed), lemonade(installed), installed.says(f"cat {OWN}")
    first, packaged, _ = before
    change(installed, 'raise SystemExit("broken on purpose")')

    failed = installed.run(f"cd hal0 && {UPGRADE_AND_MOVE}", check=False, within=PLAY_S)

    assert failed.returncode != 0
    assert f"The upgrade failed, and {first} runs again as before" in failed.stdout, failed.stdout[-4000:]
    assert f"Lemonade {packaged} runs again" in failed.stdout
    assert "it ends again and again; its last words:" in " ".join(failed.stdout.split())
    assert (release(installed), lemonade(installed), installed.says(f"cat {OWN}")) == before
    assert installed.says("apt-mark showhold") == "lemonade-server"
    assert json.loads(installed.says("cat /etc/hal0/set.json")) == {"hal0_extra_models_dir": MODELS}
    assert answers(installed)

    installed.run(f"mkdir {BROKEN_OFF}")
    installed.run(f"mv wiring.kept {PROGRAM}")
    change(installed, "# another release")
    installed.run(f"cd hal0 && {UPGRADE_AND_KEEP_ONE}", within=PLAY_S)
    second = release(installed)
    assert second != first
    assert set(installed.says("ls /opt/hal0/releases").split()) == {first, second}
    assert len(installed.says("ls /opt/hal0/snapshots").split()) == 1
    assert lemonade(installed) == f"{packaged}+newer"
    assert answers(installed)

    rolled_back = installed.run("cd hal0 && make rollback", within=PLAY_S).stdout

    assert f"{first} runs again." in rolled_back
    assert installed.run("ls /opt/hal0/way-back", check=False).returncode != 0
    assert (release(installed), lemonade(installed)) == (first, packaged)
    assert answers(installed)
