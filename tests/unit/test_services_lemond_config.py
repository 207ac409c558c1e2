"""lemond's own configuration: read, changed by name, read back, and hal0's wish changed with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hal0app import errors
from hal0app.adapters.paths import Paths
from hal0app.adapters.settings_file import SettingsFiles
from hal0app.core.lemond_config import KEYS, NEVER
from hal0app.core.settings import Settings
from hal0app.errors import Hal0Error
from hal0app.services.lemond_config import Kept, LemondConfig
from hal0app.services.settings import SettingsDesk
from hal0app.web import lemond_form
from tests.unit.fakes import HandClock, MemoryStates


class Lemond:
    """A configuration that takes what it is told, but for what is `stubborn`."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"max_loaded_models": 1, "offline": True, "llamacpp": {"args": ""}, "port": 1}
        self.stubborn: set[str] = set()
        self.problem: Hal0Error | None = None

    def config(self) -> dict[str, Any]:
        if self.problem is not None:
            raise self.problem
        return self.values

    def config_defaults(self) -> dict[str, Any]:
        return {"max_loaded_models": 1, "offline": False, "llamacpp": {"args": ""}}

    def set_config(self, changes: Mapping[str, Any]) -> None:
        if self.problem is not None:
            raise self.problem
        self.values = {**self.values, **{key: one for key, one in changes.items() if key not in self.stubborn}}


class Place:
    """A lemond, hal0's own settings in a folder, and what is between them."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.lemond, self.store, self.clock = folder / "etc", Lemond(), MemoryStates(), HandClock()
        self.etc.mkdir()
        self.wanted: list[Mapping[str, Any]] = []
        files = SettingsFiles(Paths(self.etc, folder / "var", folder / "run"), {})
        desk = SettingsDesk(files, Settings(), self.store, self.clock)
        self.config = LemondConfig(self.lemond, desk, self.store, self.clock, self.wanted.append)

    def inputs(self) -> dict[str, Any]:
        shown = lemond_form.inputs(self.config.shown(0), self.config.want())
        return {one.key.removeprefix("lemond."): one for one in shown}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.config.look()
    return place


def test_each_value_tells_where_it_comes_from(place: Place) -> None:
    (place.etc / "hal0.toml").write_text("[lemonade.want]\nmax_loaded_models = 8\n")
    sources = {name: one.source for name, one in place.inputs().items()}
    assert sources == {
        "max_loaded_models": "hal0 wants 8", "offline": "set in Lemonade", "llamacpp.args": "default of Lemonade",
    }  # fmt: skip


def test_a_change_is_made_told_and_read_back(place: Place) -> None:
    assert place.config.change({"max_loaded_models": 3, "llamacpp.args": "-fa on"}, "you") == []
    assert (place.lemond.values["max_loaded_models"], place.lemond.values["llamacpp"]) == (3, {"args": "-fa on"})
    (told,) = place.store.told("system.settings")
    assert told.message == "Lemonade's settings were changed: max_loaded_models, llamacpp.args"
    assert place.inputs()["max_loaded_models"].text == "3"


def test_what_lemond_keeps_is_told(place: Place) -> None:
    place.lemond.stubborn = {"max_loaded_models"}
    kept = place.config.change({"max_loaded_models": 3})
    assert kept == [Kept("max_loaded_models", 3, 1)]
    assert lemond_form.told(kept) == "Lemonade kept 1 of max_loaded_models, not 3."


def test_what_hal0_wants_is_changed_with_it_and_nothing_else(place: Place) -> None:
    (place.etc / "hal0.toml").write_text("[lemonade.want]\nmax_loaded_models = 8\n")
    place.config.change({"max_loaded_models": 3, "offline": False})
    assert place.wanted == [{"max_loaded_models": 3}]
    assert place.config.want() == {"max_loaded_models": 3}


@pytest.mark.parametrize("key", ["port", "nonsense", *(one.name for one in KEYS if one.takes is NEVER)])
def test_what_hal0_may_not_change_is_refused(place: Place, key: str) -> None:
    with pytest.raises(Hal0Error) as caught:
        place.config.change({key: 1})
    assert (caught.value.code, caught.value.param) == ("settings.fixed", key)


def test_a_refusal_names_its_field_and_silence_stays_what_it_is(place: Place) -> None:
    place.lemond.problem = errors.error("lemonade.refused", "'max_loaded_models' must be positive")
    with pytest.raises(Hal0Error) as caught:
        place.config.change({"offline": True, "max_loaded_models": 0})
    assert (caught.value.code, caught.value.param) == ("settings.invalid", "max_loaded_models")
    place.lemond.problem = errors.error("lemonade.unavailable", "no answer")
    with pytest.raises(Hal0Error, match="no answer"):
        place.config.change({"offline": True})
    place.config.look()
    shown = place.config.shown(0)
    assert (shown.problem, shown.values["offline"]) == ("no answer", True)


def test_a_form_gives_only_what_it_changes(place: Place) -> None:
    form = {"lemond.max_loaded_models": "2", "lemond.llamacpp.args": "", "lemond.offline": "on"}
    assert lemond_form.changed(place.config.shown(0), form) == {"max_loaded_models": 2}
    assert lemond_form.changed(place.config.shown(0), {**form, "lemond.offline": ""})["offline"] is False


def test_every_key_has_its_words() -> None:
    assert set(lemond_form.WORDS) == {one.name for one in KEYS}
