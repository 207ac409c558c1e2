"""What the installer says of itself agrees with what it does: variables, locks, units."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "ansible" / "roles").iterdir() if path.is_dir())


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def options(role: Path) -> dict[str, Any]:
    """The variables of a role's entry point, with what its argument_specs say of them."""
    found: dict[str, Any] = read(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options") or {}
    return found


def variables() -> Iterator[tuple[str, Any]]:
    for role in ROLES:
        yield from (read(role / "defaults/main.yml") or {}).items()


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_the_argument_specs_of_a_role_name_its_defaults_and_no_others(role: Path) -> None:
    defaults = read(role / "defaults/main.yml") or {}
    assert options(role).keys() == defaults.keys()
    for name, spec in options(role).items():
        computed = isinstance(defaults[name], str) and "{{" in defaults[name]
        assert computed or spec["default"] == defaults[name], name


def test_a_variable_belongs_to_one_role() -> None:
    names = [name for name, _ in variables()]
    assert len(names) == len(set(names))


def test_every_variable_is_documented_with_its_default() -> None:
    page = (ROOT / "docs/operate.md").read_text().split("## Variables", 1)[1].split("\n## ", 1)[0]
    told = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*)`? \|", page, re.MULTILINE))
    assert told.keys() == dict(variables()).keys()
    for name, default in variables():
        if isinstance(default, str) and "{{" in default:
            assert told[name] == "computed"
        else:
            assert yaml.safe_load(told[name]) == yaml.safe_load(str(default) or '""'), name


def test_a_play_gives_every_role_a_tag_of_its_name() -> None:
    [play] = read(ROOT / "ansible/site.yml")
    roles = {one["role"]: one["tags"] for one in play["roles"]}
    assert roles == {name: [name] for name in roles}
    assert roles.keys() == {role.name for role in ROLES}


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_ansible_is_locked_with_hashes(python: str) -> None:
    lock = (ROOT / f"installer/requirements-{python}.txt").read_text()
    pinned = re.findall(r"^([a-z-]+)==", lock, re.MULTILINE)
    assert {"ansible-core", "setuptools", "wheel"} <= set(pinned)
    assert len(re.findall(r"^    --hash=", lock, re.MULTILINE)) >= len(pinned)


def test_a_host_gets_the_versions_that_are_tested() -> None:
    pin = re.compile(r"^([a-z0-9-]+==\S+)", re.MULTILINE)
    run = set(pin.findall((ROOT / "requirements/run.txt").read_text()))
    host = set(pin.findall((ROOT / "requirements/host.txt").read_text()))
    assert host < run


def test_a_host_gets_everything_that_hal0_requires() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    required = {line.partition("[")[0].replace("_", "-") for line in parser["options"]["install_requires"].split()}
    lock = (ROOT / "requirements/host.txt").read_text()
    assert required <= set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))


def test_the_units_that_are_installed_are_the_units_there_are() -> None:
    kinds = (".service", ".timer", ".socket", ".target")
    units = {path.name for path in (ROOT / "systemd").iterdir() if path.suffix in kinds}
    assert set(read(ROOT / "ansible/roles/hal0/vars/main.yml")["hal0_units"]) == units
    gone = (ROOT / "ansible/uninstall.yml").read_text()
    assert all(f"/etc/systemd/system/{unit}" in gone for unit in units)


def test_a_release_is_named_for_its_content(tmp_path: Path) -> None:
    program = [sys.executable, ROOT / "installer/release.py", tmp_path]
    first, second = (subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout for _ in range(2))
    assert first == second
    version = configparser.ConfigParser()
    version.read(ROOT / "setup.cfg")
    release = Path(first.strip())
    assert release.name.startswith(version["metadata"]["version"] + "-")
    assert {"manifest.json", "host.txt", "systemd"} < {path.name for path in release.iterdir()}
