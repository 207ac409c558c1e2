"""What an uninstallation leaves of a host with Lemonade from an archive, and that it can be installed again."""

from __future__ import annotations

import re

from tests.installer import checkout
from tests.installer.belongings import belongings, unowned
from tests.installer.bookworm.conftest import Bookworm, make
from tests.installer.conftest import PLAY_S, roles
from tests.installer.test_install import STREAM, changes, recap

OF_PACKAGES = {"polkitd"}  # users and groups that a package of the distribution made, and leaves


def test_a_purged_host_is_as_it_was_and_can_be_installed_again(bookworm: Bookworm) -> None:
    host, before = bookworm.host, bookworm.before

    host.run("cd hal0 && make uninstall PURGE=1", within=PLAY_S)

    after = belongings(host)
    assert unowned(host, before.files) == set()
    assert after.users ^ before.users <= OF_PACKAGES
    assert after.groups ^ before.groups <= OF_PACKAGES
    assert after.units == before.units
    assert [one for one in after.packages - before.packages if one.startswith("config-files")] == []

    checkout.bring_models(host)
    again = host.run(make("install", bookworm.archive.sha256), within=PLAY_S).stdout

    assert recap(again)["failed"] == 0
    assert recap(again)["changed"] > 0
    assert re.search(r"primary +\S+ +tiny-a +answered in", again), again[-3000:]
    assert "data: [DONE]" in host.python(STREAM, within=180)
    assert changes(host.run(roles("preflight,host,lemonade"), within=PLAY_S).stdout) == []
