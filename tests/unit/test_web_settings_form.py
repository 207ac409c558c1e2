"""The settings as forms."""

from __future__ import annotations

from typing import Any

from hal0app.core.settings import Settings
from hal0app.services.settings import Setting, keys
from hal0app.web.settings_form import SECTIONS, WORDS, changed, parts


def setting(key: str, value: Any, default: Any, **more: Any) -> Setting:
    return Setting(key, value, default, more.pop("source", "default"), more.pop("running", value), **more)


FEW = [
    setting("server.host", "127.0.0.1", "127.0.0.1"),
    setting("server.port", 8080, 8080, fixed=True, source="HAL0_PORT"),
    setting("server.allowed_hosts", ["a", "b"], [], source="hal0.toml"),
    setting("watchdog.enabled", True, True),
    setting("lemonade.want", {"max_loaded_models": 8}, {}),
]


def test_every_setting_has_words_and_a_section() -> None:
    assert set(WORDS) >= set(keys())
    assert set(SECTIONS) >= set(Settings.__struct_fields__)


def test_each_value_says_where_it_comes_from() -> None:
    inputs = {one.key: one for part in parts(FEW) for one in part.inputs}
    assert inputs["server.host"].source == "default of hal0"
    assert inputs["server.port"].source == "from HAL0_PORT, cannot be changed here"
    assert (inputs["server.allowed_hosts"].source, inputs["server.allowed_hosts"].text) == ("set in hal0.toml", "a, b")
    assert (inputs["lemonade.want"].kind, inputs["lemonade.want"].text) == ("told", "max_loaded_models = 8")


def test_what_is_saved_and_not_yet_in_force_is_told() -> None:
    (part,) = parts([setting("observer.period_s", 2.0, 1.0, running=1.0)])
    assert part.inputs[0].pending == "1"


def save(name: str, **form: str) -> dict[str, Any]:
    part = next(one for one in parts(FEW) if one.name == name)
    return changed(part, FEW, {key.replace("__", "."): text for key, text in form.items()})


def test_only_what_was_changed_is_saved_and_the_default_wins_over_a_file_below() -> None:
    whole = {"server__host": "127.0.0.1", "server__allowed_hosts": "a, b"}
    assert save("server", **whole) == {}
    assert save("server", **{**whole, "server__host": "0.0.0.0"}) == {"server": {"host": "0.0.0.0"}}
    assert save("server", **{**whole, "server__allowed_hosts": ""}) == {"server": {"allowed_hosts": []}}
    assert save("watchdog") == {"watchdog": {"enabled": False}}


def test_what_the_environment_gives_is_never_sent() -> None:
    form = {"server__host": "127.0.0.1", "server__allowed_hosts": "a, b", "server__port": "9999"}
    assert save("server", **form) == {}
