"""Lemonade from its embeddable archive: checked before anything is changed, releases side by side."""

from __future__ import annotations

import re

from tests.installer.bookworm.conftest import Bookworm, at, make
from tests.installer.conftest import PLAY_S
from tests.installer.host import Host
from tests.installer.test_install import STREAM, changes, recap
from tests.support.waiting import eventually


def test_an_archive_without_its_checksum_is_refused_before_anything_is_changed(bookworm: Bookworm) -> None:
    for said in bookworm.refused.values():
        assert recap(said)["changed"] == 0, said[-3000:]
        assert "hal0_lemonade_sha256" in said
        assert "nothing was changed" in said.lower()
    assert "checksum" in bookworm.refused["wrong"]
    assert bookworm.after_refusals == bookworm.before


def test_the_archives_lemond_answers(bookworm: Bookworm) -> None:
    assert recap(bookworm.output)["failed"] == 0
    for slot, model in (("primary", "tiny-a"), ("embed", "tiny-embed"), ("rerank", "tiny-rerank")):
        assert re.search(rf"{slot} +\S+ +{model} +answered in", bookworm.output), bookworm.output[-3000:]
    assert "data: [DONE]" in bookworm.host.python(STREAM, within=180)
    assert bookworm.host.says("python3 --version").startswith("Python 3.11")


def test_another_release_lies_beside_the_first_and_restarts_lemond_alone(bookworm: Bookworm) -> None:
    host = bookworm.host
    first, before = release(host), started(host)
    host.copy(bookworm.archive.file, at("lemonade-next"))

    said = host.run(make("install", bookworm.archive.sha256, "lemonade-next"), within=PLAY_S).stdout

    others = [name for name in changes(said) if not name.startswith("lemonade : ")]
    assert others == ["hal0 : Remember what SET says, for the next time"]
    assert release(host).startswith("lemonade-next-")
    assert set(host.says("ls /opt/hal0/lemonade/releases").split()) == {first, release(host)}
    after = started(host)
    assert [unit for unit in after if after[unit] != before[unit]] == ["lemond.service"]
    eventually(lambda: "data: [DONE]" in host.python(STREAM, within=180), "it answers", 180)


def release(host: Host) -> str:
    return host.says("basename $(readlink /opt/hal0/lemonade/current)")


def started(host: Host) -> dict[str, str]:
    """When systemd last started each unit."""
    units = ("hal0.service", "hal0.socket", "lemond.service")
    told = host.says(f"systemctl show -P ActiveEnterTimestampMonotonic {' '.join(units)}").split()
    return dict(zip(units, told, strict=True))
