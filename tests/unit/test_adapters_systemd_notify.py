"""adapters/systemd_notify: what systemd hears, and that nobody listening is no error."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hal0app.adapters import systemd_notify


def test_systemd_hears_what_is_sent(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd_notify.send("WATCHDOG=1", {"NOTIFY_SOCKET": address})
        assert systemd.recv(100) == b"WATCHDOG=1"


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("")  # Linux chooses an abstract one
        systemd_notify.send("READY=1", {"NOTIFY_SOCKET": "@" + systemd.getsockname()[1:].decode()})
        assert systemd.recv(100) == b"READY=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/nowhere/at/all"}])
def test_nobody_listening_is_no_error(environment: dict[str, str]) -> None:
    systemd_notify.send("WATCHDOG=1", environment)


@pytest.mark.parametrize(
    ("allowed", "period_s"), [("60000000", 20.0), ("0", None), ("", None), ("soon", None), (None, None)]
)
def test_the_watchdog_is_fed_three_times_in_the_time_it_allows(allowed: str | None, period_s: float | None) -> None:
    environment = {} if allowed is None else {"WATCHDOG_USEC": allowed}
    assert systemd_notify.watchdog_period_s(environment) == period_s
