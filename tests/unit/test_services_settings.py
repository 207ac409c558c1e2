"""The settings with their sources, and changes that are valid or not made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters.paths import Paths
from hal0app.adapters.settings_file import SettingsFiles, load_settings
from hal0app.core.clock import Moment
from hal0app.core.settings import Settings
from hal0app.errors import Hal0Error
from hal0app.services.settings import Setting, SettingsDesk, keys
from tests.unit.fakes import MemoryStates


class Place:
    """A folder of settings, and a desk over it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.paths = Paths(folder / "etc", folder / "var", folder / "run")
        self.store, self.environment = MemoryStates(), environment
        files = SettingsFiles(self.paths, environment)
        self.desk = SettingsDesk(files, Settings(), self.store, lambda: Moment(1, 1001))

    def put(self, name: str, text: str) -> None:
        file = self.paths.etc / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def one(self, key: str) -> Setting:
        return next(one for one in self.desk.all() if one.key == key)

    def own(self) -> str:
        return (self.paths.etc / "conf.d" / "50-dashboard.toml").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def code(place: Place, changes: Any) -> tuple[str, str | None]:
    with pytest.raises(Hal0Error) as caught:
        place.desk.change(changes)
    return caught.value.code, caught.value.param


def test_every_setting_is_told_once_in_the_order_of_the_schema(place: Place) -> None:
    assert [one.key for one in place.desk.all()] == keys()
    assert all(one.source == "default" and not one.pending for one in place.desk.all())


def test_the_last_place_that_says_it_is_its_source(tmp_path: Path) -> None:
    place = Place(tmp_path, HAL0_PORT="8099")
    place.put("hal0.toml", "[server]\nport = 8081\nhost = '0.0.0.0'\n")
    place.put("conf.d/90-x.toml", "[server]\nmax_body_mb = 8\n")
    assert [
        (place.one(f"server.{key}").value, place.one(f"server.{key}").source) for key in ("host", "max_body_mb")
    ] == [
        ("0.0.0.0", "hal0.toml"),
        (8, "conf.d/90-x.toml"),
    ]
    assert (place.one("server.port").source, place.one("server.port").fixed) == ("HAL0_PORT", True)


def test_a_change_is_written_journalled_and_read_back(place: Place) -> None:
    place.desk.change({"server": {"port": 9000}}, "you")
    place.desk.change({"observer": {"period_s": 2.5}})
    assert (place.one("server.port").value, place.one("server.port").pending) == (9000, True)
    assert place.one("server.port").source == "conf.d/50-dashboard.toml"
    assert load_settings(place.paths, {}).server.port == 9000
    assert [entry.message for entry in place.store.entries] == [
        "settings were changed: server.port",
        "settings were changed: observer.period_s",
    ]


def test_null_takes_a_key_out_and_an_empty_table_with_it(place: Place) -> None:
    place.desk.change({"server": {"port": 9000}})
    place.desk.change({"server": {"port": None}})
    assert (place.one("server.port").source, "[server]" in place.own()) == ("default", False)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"server": {"port": 99999}}, "server.port"),
        ({"server": {"prot": 1}}, "server.prot"),
        ({"nonsense": {"a": 1}}, "nonsense"),
        ({"server": 3}, "server"),
        ({"observer": {"period_s": "soon"}}, "observer.period_s"),
    ],
)
def test_what_would_not_be_valid_is_not_written(place: Place, changes: Any, key: str) -> None:
    assert code(place, changes) == ("settings.invalid", key)
    assert not (place.paths.etc / "conf.d" / "50-dashboard.toml").exists()


def test_what_the_environment_says_cannot_be_changed(tmp_path: Path) -> None:
    place = Place(tmp_path, HAL0_PORT="8099")
    assert code(place, {"server": {"port": 1234}}) == ("settings.fixed", "server.port")


def test_where_systemds_socket_listens_no_file_changes(place: Place) -> None:
    place.put("conf.d/90-x.toml", "[server]\nport = 7000\n")
    place.desk.listens_by(Settings(), "hal0.socket", ("0.0.0.0", 8080))
    port = place.one("server.port")
    assert (port.value, port.running, port.source, port.fixed, port.pending) == (8080, 8080, "hal0.socket", True, False)
    assert place.one("server.host").value == "0.0.0.0"
    assert code(place, {"server": {"port": 1234}}) == ("settings.fixed", "server.port")


def test_a_later_file_wins_over_what_was_saved_and_is_named(place: Place) -> None:
    place.put("conf.d/90-x.toml", "[server]\nport = 7000\n")
    place.desk.change({"server": {"port": 9000}})
    assert (place.one("server.port").value, place.one("server.port").source) == (7000, "conf.d/90-x.toml")


def test_a_list_is_a_list_wherever_it_comes_from(place: Place) -> None:
    assert (place.one("server.allowed_hosts").value, place.one("server.allowed_hosts").default) == ([], [])
    place.desk.change({"server": {"allowed_hosts": ["a"]}})
    assert place.one("server.allowed_hosts").value == ["a"]


def test_a_broken_file_is_named(place: Place) -> None:
    place.put("conf.d/10-x.toml", "[server]\nport = 'x'\n")
    with pytest.raises(Hal0Error, match=r"10-x\.toml"):
        place.desk.all()
