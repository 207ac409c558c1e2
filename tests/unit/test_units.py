"""The systemd units: sound, strictly sandboxed, and never more dependent on lemond than they may be."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from hal0app import gunicorn_conf
from hal0app.core.settings import MOST_SLOT_PORTS

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
HAL0 = "/opt/hal0/current/venv/bin/hal0"
MOST_EXPOSED = 20  # tenths


def systemd_analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def settings(unit: Path, section: str) -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return dict(parser[section])


@pytest.fixture
def units_with_a_program(tmp_path: Path) -> Path:
    """A copy of all units whose program exists, because `verify` looks for it."""
    program = shutil.which("true")
    assert program is not None
    for unit in UNITS.iterdir():
        (tmp_path / unit.name).write_text(unit.read_text().replace(HAL0, program))
    return tmp_path


def names(pattern: str) -> list[str]:
    found = sorted(unit.name for unit in UNITS.glob(pattern))
    assert found, f"no {pattern} in {UNITS}"
    return found


@pytest.mark.parametrize("name", [*names("*.service"), *names("*.timer"), *names("*.socket"), *names("*.target")])
def test_systemd_finds_nothing_to_say_about_a_unit(units_with_a_program: Path, name: str) -> None:
    verdict = systemd_analyze("verify", units_with_a_program / name)
    said = [line for line in verdict.stdout.splitlines() if name.partition(".")[0] in line]
    assert (verdict.returncode, said) == (0, []), verdict.stdout


@pytest.mark.parametrize("name", names("*.service"))
def test_a_service_is_sandboxed(name: str) -> None:
    verdict = systemd_analyze("security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNITS / name)
    assert verdict.returncode == 0, verdict.stdout


@pytest.mark.parametrize("name", names("*.service"))
def test_a_service_does_not_run_as_root(name: str) -> None:
    assert settings(UNITS / name, "Service")["User"] == "hal0"


@pytest.mark.parametrize("name", names("*.service"))
def test_a_service_leaves_memory_to_the_models(name: str) -> None:
    assert {"MemoryMax", "TasksMax"} < settings(UNITS / name, "Service").keys()


@pytest.mark.parametrize("name", names("*.service"))
def test_no_unit_dies_with_lemond(name: str) -> None:
    unit = settings(UNITS / name, "Unit")
    bound = {other for key in ("Requires", "Requisite", "BindsTo", "PartOf") for other in unit.get(key, "").split()}
    assert bound <= {"hal0.socket", "hal0.target"}


def test_hal0_asks_for_lemond_and_starts_after_it() -> None:
    unit = settings(UNITS / "hal0.service", "Unit")
    assert "lemond.service" in unit["Wants"].split()
    assert "lemond.service" in unit["After"].split()


def test_the_target_holds_every_unit_that_is_started() -> None:
    held = settings(UNITS / "hal0.target", "Unit")["Wants"].split()
    assert sorted(held) == ["hal0-drift.timer", "hal0.service", "hal0.socket"]
    for name in held:
        assert settings(UNITS / name, "Unit")["PartOf"] == "hal0.target"


def test_the_worker_may_feed_the_watchdog() -> None:
    service = settings(UNITS / "hal0.service", "Service")
    assert (service["NotifyAccess"], int(service["WatchdogSec"]) > gunicorn_conf.timeout) == ("all", True)


def test_systemd_keeps_as_many_slot_ports_as_there_may_be() -> None:
    assert int(settings(UNITS / "hal0.service", "Service")["FileDescriptorStoreMax"]) >= MOST_SLOT_PORTS


def test_only_the_serving_unit_owns_the_runtime_folder() -> None:
    """Each end of a oneshot would take the folder, and the worker's lock in it, away."""
    owners = [unit.name for unit in SERVICES if "RuntimeDirectory" in settings(unit, "Service")]
    assert owners == ["hal0.service"]


def test_a_finding_of_drift_is_no_failure_of_its_unit() -> None:
    assert settings(UNITS / "hal0-drift.service", "Service")["SuccessExitStatus"] == "3"


def test_drift_is_looked_for_every_ten_seconds() -> None:
    timer = settings(UNITS / "hal0-drift.timer", "Timer")
    assert timer == {"OnBootSec": "5s", "OnUnitInactiveSec": "10s", "AccuracySec": "1s"}


def test_every_writable_folder_is_made_before_the_service_starts() -> None:
    made = {line.split()[1] for line in (UNITS / "hal0.tmpfiles.conf").read_text().splitlines() if line[:1] == "d"}
    assert set(settings(UNITS / "hal0.service", "Service")["ReadWritePaths"].split()) <= made
