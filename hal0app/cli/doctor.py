"""`hal0 doctor`: looks at everything that has to be right, and says what to do about what is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from hal0app.adapters import clock, host_tree, paths
from hal0app.adapters.keys import lemonade_key
from hal0app.adapters.probe import Probe
from hal0app.adapters.settings_file import load_settings
from hal0app.cli.client import Client, Refused, Unreachable
from hal0app.cli.config import problems
from hal0app.cli.exits import REFUSED
from hal0app.cli.printing import json_option, print_json
from hal0app.core.readiness import hardware
from hal0app.core.residency import Link
from hal0app.core.schema import SchemaError

GIB = 1 << 30
LITTLE_BYTES, TOO_LITTLE_BYTES = 2 * GIB, GIB // 4
TIMER = "hal0-drift.timer"
SYSTEMD = Path("/run/systemd/system")
WAY_BACK = Path("/opt/hal0/way-back")  # the installer's, while an upgrade or a rollback is not through


@dataclass(frozen=True)
class Finding:
    """One line: `level` is ok, warn or fail, `advice` what to do about it."""

    level: str
    what: str
    advice: str = ""


def _config() -> Iterator[Finding]:
    where = paths.from_environment(os.environ)
    found = list(problems(where))
    for problem in found:
        yield Finding("fail", problem, "mend the file; hal0 config check looks again")
    if not found:
        yield Finding("ok", f"the files in {where.etc} make sense")


def _hal0() -> Iterator[Finding]:
    client = Client(timeout_s=5.0)
    try:
        client.get("/healthz")
    except (Refused, Unreachable) as problem:
        yield Finding("fail", problem.message, "start it: systemctl start hal0, or make run")
    else:
        yield Finding("ok", f"hal0 answers at {client.url}")


def _lemonade() -> Iterator[Finding]:
    try:
        settings = load_settings(paths.from_environment(os.environ))
    except SchemaError:
        return
    url = settings.lemonade.url
    seen = Probe(url, clock.now, settings.observer.timeout_s, lemonade_key(os.environ)).look()
    if seen.link is Link.UP:
        kind = "hal0's embedded engine" if seen.engine else "Lemonade"
        yield Finding("ok", f"{kind} {seen.version or ''} answers at {url}, {len(seen.residents)} models loaded")
    elif seen.link is Link.BUSY:
        yield Finding(
            "warn", f"Lemonade at {url} is alive, but its health is silent", "wait: it loads or drains a model"
        )
    elif seen.link is Link.SILENT:
        advice = "hal0 drift restarts it when it stays so; or: systemctl restart lemond"
        yield Finding("fail", f"something listens at {url}, but Lemonade gives no answer in time", advice)
    else:
        yield Finding("fail", f"Lemonade does not answer at {url}", "start it: systemctl start lemond")


def _timer() -> Iterator[Finding]:
    if not SYSTEMD.exists():
        yield Finding("ok", "systemd does not run here: nothing starts hal0 drift by itself")
        return
    asked = subprocess.run(["systemctl", "is-active", TIMER], capture_output=True, text=True, check=False)  # noqa: S607 - systemctl of this host's PATH
    state = asked.stdout.strip() or "unknown"
    if state == "active":
        yield Finding("ok", f"{TIMER} is active")
    else:
        yield Finding("warn", f"{TIMER} is {state}", f"systemctl enable --now {TIMER}")


def _way_back() -> Iterator[Finding]:
    if WAY_BACK.exists() and paths.from_environment(os.environ) == paths.SYSTEM:
        advice = "make upgrade goes on with it, make rollback goes back to what was there before"
        yield Finding("warn", "an upgrade or a rollback was broken off", advice)


def _disk() -> Iterator[Finding]:
    folder = paths.from_environment(os.environ).var
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    level = "fail" if free < TOO_LITTLE_BYTES else "warn" if free < LITTLE_BYTES else "ok"
    advice = "" if level == "ok" else "make room: states and journal are written there"
    yield Finding(level, f"{free / GIB:.1f} GiB free at {folder}", advice)


def _machine() -> Iterator[Finding]:
    for one in hardware(host_tree.read(Path("/"), ())):
        yield Finding(one.level, f"{one.what}: {one.evidence}" if one.evidence else one.what, one.fix)


def _slots() -> Iterator[Finding]:
    slots = _asked("/api/slots")
    broken = [slot for slot in slots if slot["state"] == "error"]
    for slot in broken:
        yield Finding("fail", f"slot {slot['name']}: {slot['message']}", f"hal0 slots show {slot['name']}")
    if slots and not broken:
        yield Finding("ok", f"{len(slots)} slots, none in error")


# What to do about a finding, by its kind: level and advice.
ADVICE = {
    "config.drift": ("warn", "make Lemonade's configuration and lemonade.want in hal0.toml agree"),
    "system.slots": ("fail", "bring the folder back, readable for the user hal0"),
}


def _drift() -> Iterator[Finding]:
    for one in _asked("/api/drift"):
        level, advice = ADVICE.get(one["kind"], ("warn", "hal0 journal tells more"))
        yield Finding(level, one["text"], advice)


def _asked(path: str) -> list[dict[str, str]]:
    """The list at `path`; empty while hal0 does not answer, which has a line of its own."""
    try:
        found: list[dict[str, str]] = Client(timeout_s=5.0).get(path)
    except (Refused, Unreachable):
        return []
    return found


def _slot_ports() -> Iterator[Finding]:
    """Whether hal0 has every port of the range: one that another program had at its start was left out."""
    try:
        settings = load_settings(paths.from_environment(os.environ))
    except SchemaError:
        return
    slots: list[dict[str, Any]] = list(_asked("/api/slots"))
    ports = [port for port in settings.slot_ports.ports if port != settings.server.port]
    if not ports or not slots:
        return
    holder = {slot["port"]: slot["name"] for slot in slots}
    missing = [port for port in ports if not _answers(settings.slot_ports.host, port)]
    if len(missing) == len(ports):
        yield Finding("ok", "hal0 runs without slot ports")
        return
    for port in missing:
        whose = f" of slot {holder[port]}" if port in holder else ""
        yield Finding("warn", f"port {port}{whose} is not hal0's", "stop the program that has it, then restart hal0")
    if not missing:
        yield Finding("ok", f"the slots' ports {ports[0]} to {ports[-1]} are open")


def _answers(host: str, port: int) -> bool:
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    host = everywhere.get(host, host)
    try:
        told = Client(f"http://{f'[{host}]' if ':' in host else host}:{port}", timeout_s=5.0).get("/v1/models")
    except (Refused, Unreachable) as problem:
        return getattr(problem, "code", None) == "slot.no_slot_on_port"
    return isinstance(told, dict) and any(row.get("owned_by") == "hal0" for row in told.get("data", ()))


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _config,
    _hal0,
    _lemonade,
    _timer,
    _way_back,
    _disk,
    _machine,
    _slots,
    _slot_ports,
    _drift,
)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check the files, hal0, Lemonade, the timer, the disk, the machine and the slots. Exit status 1 on a failure."""
    found = [finding for check in CHECKS for finding in check()]
    if as_json:
        print_json([asdict(finding) for finding in found])
    else:
        for finding in found:
            click.echo(
                f"{finding.level:<4}  {finding.what}" + (f"\n      -> {finding.advice}" if finding.advice else "")
            )
    sys.exit(REFUSED if any(finding.level == "fail" for finding in found) else 0)
