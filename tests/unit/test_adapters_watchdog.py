"""The watchdog's adapters: systemctl, the generations of llama.cpp's servers, the table; and the right to restart."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hal0app.adapters import generations
from hal0app.adapters.host import UNITS
from hal0app.adapters.systemd import NO_UNIT, Systemd
from hal0app.adapters.watch_table import WatchTable
from hal0app.core.watchdog import Unit, Watch, after_reboot
from tests.support.systemctl import Systemctl
from tests.unit.fakes import resident

RULE = Path(__file__).resolve().parents[2] / "systemd" / "49-hal0-lemond.rules"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    program = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", program.path)
    return program


def test_the_unit_that_is_there_is_told_with_its_state(systemctl: Systemctl) -> None:
    systemctl.unit("inactive")
    assert Systemd().unit() == Unit("lemond.service", "inactive")
    assert systemctl.asked == ["show lemond.service lemonade-server.service"]


def test_a_unit_that_is_up_goes_before_one_that_is_not(systemctl: Systemctl) -> None:
    second = "Id=lemonade-server.service\nLoadState=loaded\nActiveState=active\n"
    (systemctl.folder / "units").write_text(f"Id=lemond.service\nLoadState=loaded\nActiveState=failed\n\n{second}")
    assert Systemd().unit() == Unit("lemonade-server.service", "active")


def test_without_a_unit_or_without_systemctl_there_is_none(
    systemctl: Systemctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemctl.unit("inactive", load="not-found")
    assert Systemd().unit() == NO_UNIT
    monkeypatch.setenv("PATH", "/nowhere")
    assert Systemd().unit() == NO_UNIT
    assert "systemctl" in Systemd().restart(Unit("lemond.service", "active"))


def test_a_restart_is_asked_for_without_a_password_and_not_waited_for(systemctl: Systemctl) -> None:
    assert Systemd().restart(Unit("lemond.service", "active")) == ""
    told = (systemctl.folder / "asked").read_text()
    assert told == "--no-pager --no-ask-password restart --no-block lemond.service\n"


def test_a_refused_restart_says_why(systemctl: Systemctl) -> None:
    systemctl.refuse("Access denied")
    assert Systemd().restart(Unit("lemond.service", "active")) == "Access denied"


# -- generations


@contextmanager
def server(body: bytes) -> Iterator[str]:
    class Slots(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/slots"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    listening = HTTPServer(("127.0.0.1", 0), Slots)
    thread = Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/v1"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def test_every_slot_that_generates_is_named_with_its_task() -> None:
    told = b'[{"id": 0, "is_processing": false}, {"id": 1, "is_processing": true, "id_task": 7}]'
    with server(told) as url, server(b"no json") as broken:
        held = [resident("a", 5, backend_url=url), resident("b", backend_url=broken), resident("c", backend_url="")]
        assert generations.running(held) == {"a 5 1 7"}


def test_a_server_that_is_gone_generates_nothing() -> None:
    with server(b"[]") as url:
        pass
    assert generations.running([resident("a", backend_url=url)]) == frozenset()


# -- the table


def test_the_watch_is_kept_from_run_to_run(tmp_path: Path) -> None:
    watch = Watch("http://x", 5.0, 1, 2.0, 3.0, 4.0, 6, ("a", "b"), told=True)
    table = WatchTable(tmp_path / "hal0.db", boot="one")
    assert table.get() == Watch()
    table.put(watch)
    assert WatchTable(tmp_path / "hal0.db", boot="one").get() == watch
    assert WatchTable(tmp_path / "hal0.db", boot="two").get() == after_reboot(watch)


def test_a_table_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error):
        WatchTable(tmp_path / "absent" / "hal0.db").put(Watch())


# -- the right


def test_polkit_lets_hal0_restart_lemond_and_nothing_else() -> None:
    text = "\n".join(line for line in RULE.read_text().splitlines() if not line.startswith("//"))
    rule = re.fullmatch(
        r"polkit\.addRule\(function \(action, subject\) \{\s*if \((?P<all>.*)\) \{\s*"
        r"return polkit\.Result\.YES;\s*\}\s*\}\);",
        text.strip(),
        re.DOTALL,
    )
    assert rule is not None, text
    assert [" ".join(one.split()) for one in rule["all"].split("&&")] == [
        'action.id === "org.freedesktop.systemd1.manage-units"',
        'subject.user === "hal0"',
        'action.lookup("verb") === "restart"',
        f'["{UNITS[0]}", "{UNITS[1]}"].indexOf(action.lookup("unit")) >= 0',
    ]
