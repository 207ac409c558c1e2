"""The reference pages say what the code says: every error, setting and endpoint, no more and no fewer."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest

from hal0app.cli.exits import MEANING
from hal0app.cli.group import hal0
from hal0app.core.endpoints import ENDPOINTS
from hal0app.core.settings import ENVIRONMENT, Settings
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import CODES
from hal0app.wiring import create_app

DOCS = Path(__file__).resolve().parents[2] / "docs"


def rows(page: str, heading: str = "") -> dict[str, list[str]]:
    """The tables below a heading of a page, or above its first: first cell (bare) -> the other cells."""
    text = (DOCS / page).read_text()
    part = text.split(f"## {heading}", 1)[1].split("\n## ", 1)[0] if heading else text.split("\n## ", 1)[0]
    cells = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line.startswith("| `")
    ]
    return {row[0].split("`")[1]: row[1:] for row in cells}


def test_every_error_code_is_listed_with_its_status_and_meaning() -> None:
    told = {code: (cells[0], cells[2].removesuffix(" |")) for code, cells in rows("errors.md").items()}
    assert told == {code: (str(one.status), one.meaning) for code, one in CODES.items()}


def sections() -> list[msgspec.structs.FieldInfo]:
    """The tables of hal0.toml whose keys are known beforehand; [alias] has a paragraph of its own."""
    return [one for one in msgspec.structs.fields(Settings) if one.name != "alias"]


def settings_keys() -> set[str]:
    return {f"{one.name}.{key.name}" for one in sections() for key in msgspec.structs.fields(one.type)}


def test_aliases_are_told() -> None:
    assert "`[alias]`" in (DOCS / "settings.md").read_text()


def test_every_setting_is_listed() -> None:
    assert set(rows("settings.md", "hal0.toml")) == settings_keys()


def test_every_key_of_a_slot_is_listed() -> None:
    assert set(rows("settings.md", "Slots")) == {one.name for one in msgspec.structs.fields(SlotConfig)} - {"name"}


def written(value: object) -> str:
    """A value as the page shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def test_defaults_are_the_real_ones() -> None:
    listed = {key: cells[0].strip("`") for key, cells in rows("settings.md", "hal0.toml").items()}
    for section in sections():
        for key in msgspec.structs.fields(section.type):
            default = getattr(getattr(Settings(), section.name), key.name)
            shown = listed[f"{section.name}.{key.name}"].replace("[]", "()")
            assert shown == written(default), key.name


def test_every_environment_variable_is_listed() -> None:
    assert set(ENVIRONMENT) < set(rows("settings.md", "Environment"))


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    app = create_app({"HAL0_HOME": str(tmp_path_factory.mktemp("home"))})
    found = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+(?:\([^)]*\))?:)?([^<>]+)>", r"{\1}", rule.rule)
        found |= {f"{method} {path}" for method in rule.methods or () if method not in {"HEAD", "OPTIONS"}}
    app.extensions["hal0"].store.close()
    return found


def test_every_control_endpoint_is_listed(routes: set[str]) -> None:
    control = {route for route in routes if " /api/" in route or route.endswith(("z", "/metrics"))} - {
        route for route in routes if " /api/v1/" in route
    }
    acts = {f"POST /api/slots/{{name}}/{act}" for act in ("load", "unload", "restart", "swap", "pin", "unpin")}
    expected = {route.replace("{id_}", "{id}") for route in control if "{act}" not in route} | acts
    assert set(rows("api.md", "Control")) == expected


def test_every_openai_endpoint_is_listed() -> None:
    listed = {route.removeprefix("POST /v1/") for route in rows("api.md", "OpenAI") if route.startswith("POST")}
    assert listed == {endpoint.path for endpoint in ENDPOINTS}


def commands(group: click.Group, words: tuple[str, ...]) -> set[str]:
    """Every command below a group, as its words and its arguments."""
    context, found = click.Context(group), set()
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= commands(command, (*words, name))
        else:
            arguments = [
                one.metavar or str(one.name).upper() for one in command.params if one.param_type_name == "argument"
            ]
            found.add(" ".join([*words, name, *arguments]))
    return found


def test_every_command_is_listed_with_its_arguments() -> None:
    assert set(rows("cli.md", "Commands")) == commands(hal0, ("hal0",))


def test_every_exit_status_is_listed() -> None:
    told = {status: cells[0].removesuffix(" |") for status, cells in rows("cli.md", "Exit status").items()}
    assert told == {str(status): meaning for status, meaning in MEANING.items()}


def test_every_command_that_reads_can_print_json() -> None:
    context = click.Context(hal0)
    reading = ["status", "slots", "slots list", "slots show", "models", "models list", "backends", "backends list",
               "journal", "config check", "config show", "doctor", "drift"]  # fmt: skip
    for words in reading:
        command: click.Command | None = hal0
        for word in words.split():
            assert isinstance(command, click.Group)
            command = command.get_command(context, word)
        assert command is not None
        assert "as_json" in {one.name for one in command.params}, words
