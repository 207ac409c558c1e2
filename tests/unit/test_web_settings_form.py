"""The settings as forms."""

from __future__ import annotations

from typing import Any

from hal0app.core import secret
from hal0app.core.settings import Settings
from hal0app.services.settings import Setting, keys
from hal0app.web.settings_form import SECTIONS, WORDS, changed, parts, who_may, with_key


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


def test_who_may_change_something_is_told_as_it_is() -> None:
    assert who_may([setting("auth.mode", "key", "key", running="open")], True).startswith("Anyone on this network can")
    assert "need the admin key" in who_may([setting("auth.mode", "key", "key")], True)
    assert "nothing can be changed" in who_may([setting("auth.mode", "key", "key")], False)


def test_of_lemonades_key_only_its_end_is_told_and_nothing_of_a_short_one() -> None:
    told = [secret.told(one) for one in (None, "", "short", "a-key-that-is-long-4f2a")]
    assert told == ["not set", "not set", "set", "set, ends …4f2a"]
    (part,) = [one for one in with_key(parts(FEW), "set") if one.name == "lemonade"]
    assert (part.inputs[-1].label, part.inputs[-1].text, part.inputs[-1].kind) == ("Key", "set", "told")


def test_a_section_with_nothing_to_change_has_nothing_to_save() -> None:
    assert {one.name: one.open for one in parts(FEW)} == {"server": True, "watchdog": True, "lemonade": False}
