"""core/slot_config, core/schema and core/settings: what a person may write, and what they are told when it is wrong."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal0app.core import schema
from hal0app.core.arguments import RESERVED, flags
from hal0app.core.schema import SchemaError
from hal0app.core.settings import ENVIRONMENT, Settings, SlotPorts, from_environment, merge, read_settings
from hal0app.core.slot_config import SlotConfig, read_slot
from hal0app.core.slot_type import TYPE_OF_LABEL, OtherType, SlotType, type_of_labels

RECORDED = Path(__file__).resolve().parents[1] / "data" / "lemond"

# -- slots

BAD_NAMES = [
    "",
    " ",
    ".",
    "..",
    "../etc",
    "a/b",
    "a\\b",
    "A",
    "-a",
    "_a",
    "a.b",
    "a b",
    "a\n",
    "\na",
    "a\x00",
    "é",
    "a\u0301",
    "٣",
    "a" * 33,
    "slot name",
    "a;b",
    "%2e%2e",
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_a_slot_with_a_bad_name_cannot_be_made(name: str) -> None:
    with pytest.raises(SchemaError, match="is not a slot name"):
        read_slot(name, {"type": "llm"})


def test_not_even_by_the_constructor() -> None:
    with pytest.raises(ValueError, match="is not a slot name"):
        SlotConfig(name="../x", type=SlotType.LLM)


@pytest.mark.parametrize("name", ["a", "0", "a" * 32, "stt-npu", "a_b-c9"])
def test_a_slot_with_a_good_name_can_be_made(name: str) -> None:
    assert read_slot(name, {"type": "llm"}).name == name


def test_only_the_type_is_required_and_the_rest_has_the_defaults_of_the_specification() -> None:
    it = read_slot("a", {"type": "llm"})
    assert (it.enabled, it.default, it.pinned, it.priority, it.on_evict, it.path) == (
        True,
        False,
        False,
        50,
        "lazy",
        "direct",
    )
    assert (it.idle_unload_s, it.max_in_flight, it.queue, it.wait_s, it.port, it.model) == (0, 1, 64, 120, 0, None)


REFUSED = [
    ({}, "type", "the key 'type' is required"),
    ({"type": "lllm"}, "type", "one of: llm, embedding, reranking, transcription, tts, image"),
    ({"type": "llm", "typ": 1}, "typ", "did you mean 'type'?"),
    ({"type": "llm", "ctxsize": 1}, "ctxsize", "did you mean 'ctx_size'?"),
    ({"type": "llm", "zzzz": 1}, "zzzz", "known keys: name, type"),
    ({"type": "llm", "device": "gpu"}, "device", "'device': invalid enum value 'gpu'; one of: gpu-rocm, gpu-vulkan"),
    ({"type": "llm", "enabled": "yes"}, "enabled", "'enabled': "),
    ({"type": "llm", "enabled": 1}, "enabled", "'enabled': "),
    ({"type": "llm", "ctx_size": 0}, "ctx_size", ">= 1"),
    ({"type": "llm", "ctx_size": -1}, "ctx_size", ">= 1"),
    ({"type": "llm", "ctx_size": True}, "ctx_size", "'ctx_size': "),
    ({"type": "llm", "ctx_size": 1.5}, "ctx_size", "'ctx_size': "),
    ({"type": "llm", "ctx_size": "4096"}, "ctx_size", "'ctx_size': "),
    ({"type": "llm", "max_in_flight": 0}, "max_in_flight", ">= 1"),
    ({"type": "llm", "queue": -1}, "queue", ">= 0"),
    ({"type": "llm", "wait_s": 0}, "wait_s", "> 0"),
    ({"type": "llm", "wait_s": float("nan")}, "wait_s", "> 0"),
    *[({"type": "llm", "wait_s": seconds}, "wait_s", "<= 86400") for seconds in (float("inf"), 1e300, 1e11)],
    ({"type": "llm", "port": 65536}, "port", "<= 65535"),
    ({"type": "llm", "port": -1}, "port", ">= 0"),
    ({"type": "llm", "on_evict": "never"}, "on_evict", "one of: lazy, restore"),
    ({"type": "llm", "llamacpp_args": "--port 1"}, "llamacpp_args", "llamacpp_args: --port is set by hal0"),
    ({"type": "llm", "path": "remote"}, "path", "'path': "),
    ({"type": "llm", "model": ""}, "model", "'model': "),
    ({"type": "llm", "model": "m" * 513}, "model", "'model': "),
    ({"type": "llm", "model": {"default": 5}}, "model", "'model': "),
    ({"type": "llm", "model": {"default": "m", "more": 1}}, "model", "'model': "),
    ({"type": "llm", "model": ["m"]}, "model", "'model': "),
    ({"type": "llm", "labels": "tool-calling"}, "labels", "'labels': "),
    ({"type": "llm", "name": "b"}, "name", "'name' says 'b'"),
    ({"type": "llm", "name": None}, "name", "'name' says 'None'"),
    ({"type": None}, "type", "'type': "),
]


@pytest.mark.parametrize(("definition", "key", "text"), REFUSED, ids=[ascii(row[0])[:60] for row in REFUSED])
def test_a_definition_that_breaks_the_schema_is_told_the_key_and_the_fix(
    definition: dict[str, Any], key: str, text: str
) -> None:
    with pytest.raises(SchemaError) as problem:
        read_slot("a", definition)
    assert text in str(problem.value)
    assert problem.value.key == key


def test_the_model_may_be_written_as_the_first_hal0_had_it() -> None:
    assert read_slot("a", {"type": "llm", "model": {"default": "m"}}).model == "m"


def test_a_definition_is_not_changed_by_reading_it() -> None:
    definition = {"type": "llm", "model": {"default": "m"}, "name": "a"}
    read_slot("a", definition)
    assert definition == {"type": "llm", "model": {"default": "m"}, "name": "a"}


@pytest.mark.parametrize("flag", sorted(RESERVED))
@pytest.mark.parametrize("form", ["{} 1", "{}=1", "--temp 1 {}", "'{}' 1", '"{}=1"', "  {}  "])
def test_a_reserved_flag_is_refused_by_name_in_every_spelling(flag: str, form: str) -> None:
    with pytest.raises(SchemaError, match="is set by hal0 or Lemonade"):
        read_slot("a", {"type": "llm", "llamacpp_args": form.format(flag)})


def test_every_flag_that_lemond_sets_itself_is_reserved() -> None:
    said = json.loads((RECORDED / "b14_load_bad_args.json").read_text())["response"]["body"]["error"]["message"]
    told = set(said.partition("Reserved arguments: ")[2].split(", "))
    assert "--no-mmproj-auto" in told
    assert told <= RESERVED


@pytest.mark.parametrize(("written", "flag"), [("--ctx_size 5", "--ctx-size"), ("--no_mmproj=1", "--no-mmproj")])
def test_a_reserved_flag_written_with_underscores_is_refused_too(written: str, flag: str) -> None:
    with pytest.raises(SchemaError, match=f"{flag} is set by hal0 or Lemonade"):
        read_slot("a", {"type": "llm", "llamacpp_args": written})


def test_all_reserved_flags_are_named_at_once() -> None:
    with pytest.raises(SchemaError, match="--host, --port is set"):
        read_slot("a", {"type": "llm", "llamacpp_args": "--port=1 --host x"})


@pytest.mark.parametrize("args", ["--temp 0.7", "--override-kv a=int:1", "-ngl 99 -fa on", "", "--porto 1", "port"])
def test_other_arguments_pass(args: str) -> None:
    assert read_slot("a", {"type": "llm", "llamacpp_args": args}).llamacpp_args == args


@pytest.mark.parametrize("args", ["--x 'a", '--x "', "--x \\"])
def test_unbalanced_quotes_are_an_error_of_the_definition(args: str) -> None:
    with pytest.raises(SchemaError):
        read_slot("a", {"type": "llm", "llamacpp_args": args})


def test_flags_are_the_words_that_begin_with_a_dash() -> None:
    assert flags("--a=1 b -c --d") == ["--a=1", "-c", "--d"]


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("ctx_size", 5, False),
        ("llamacpp_args", "--x", False),
        ("max_in_flight", 2, False),
        ("device", "cpu", False),
        ("pinned", True, True),
        ("priority", 3, True),
        ("wait_s", 3.0, True),
        ("model", "n", True),
    ],
)
def test_load_options_are_what_a_load_depends_on_besides_the_model(key: str, value: object, same: bool) -> None:
    one, other = read_slot("a", {"type": "llm"}), read_slot("a", {"type": "llm", key: value})
    assert (one.load_options == other.load_options) is same


plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=8,
)
keys = st.one_of(st.text(max_size=12), st.sampled_from(sorted(SlotConfig.__struct_fields__)))


@given(st.text(max_size=40), st.dictionaries(keys, plain, max_size=6))
def test_reading_a_slot_gives_a_slot_or_a_schema_error_whatever_is_written(name: str, definition: Any) -> None:
    with suppress(SchemaError):
        assert read_slot(name, definition).name == name


sections = st.dictionaries(
    st.one_of(st.sampled_from(["server", "lemonade", "dispatch", "observer", "retention"]), st.text(max_size=6)),
    st.one_of(plain, st.dictionaries(st.sampled_from(["port", "host", "want", "url", "prot", "wait_s"]), plain)),
)


@given(sections)
def test_reading_settings_gives_settings_or_a_schema_error_whatever_is_written(data: Any) -> None:
    with suppress(SchemaError):
        assert isinstance(read_settings(data), Settings)


# -- settings


@pytest.mark.parametrize(
    ("data", "key", "text"),
    [
        ({"servr": {}}, "servr", "did you mean 'server'?"),
        ({"server": {"prot": 1}}, "server.prot", "unknown key 'server.prot'; did you mean 'port'?"),
        ({"server": {"zzz": 1}}, "server.zzz", "known keys: host, port"),
        ({"server": {"port": 0}}, "server.port", "'server.port': "),
        ({"server": {"port": 65536}}, "server.port", "'server.port': "),
        ({"server": {"port": "8080"}}, "server.port", "'server.port': "),
        ({"server": 5}, "server", "'server': "),
        ({"server": {"allowed_hosts": [1]}}, "server.allowed_hosts[0]", "expected `str`"),
        ({"observer": {"period_s": 0}}, "observer.period_s", "> 0"),
        ({"auth": {"mode": "closed"}}, "auth.mode", "'auth.mode': invalid enum value 'closed'; one of: key, open"),
        ({"retention": {"journal": 99}}, "retention.journal", ">= 100"),
        ({"server": {"max_body_mb": 0}}, "server.max_body_mb", ">= 1"),
        ({"lemonade": {"url": "localhost:13305"}}, "lemonade", "is not an address like http://127.0.0.1:13305"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, dict) else None,
)
def test_settings_that_break_the_schema_are_told_the_key_and_the_fix(data: dict[str, Any], key: str, text: str) -> None:
    with pytest.raises(SchemaError) as problem:
        read_settings(data)
    assert problem.value.key == key
    assert text.replace("`", "") in str(problem.value)


def test_later_layers_win_key_by_key() -> None:
    told = read_settings({"server": {"port": 1, "host": "a"}}, {"server": {"port": 2}}, {})
    assert (told.server.port, told.server.host) == (2, "a")


def test_the_wanted_configuration_of_lemond_is_free_in_form() -> None:
    want = {"max_loaded_models": 8, "llamacpp": {"args": "--x"}}
    assert read_settings({"lemonade": {"want": want}}).lemonade.want == want


def test_no_settings_are_the_defaults() -> None:
    assert read_settings() == Settings()
    assert (Settings().server.port, Settings().lemonade.url) == (8080, "http://127.0.0.1:13305")


def test_the_environment_overrides_what_it_names() -> None:
    told = from_environment({"HAL0_HOST": "::", "HAL0_PORT": "9", "HAL0_LEMONADE_URL": "http://b:1", "HAL0_OTHER": "x"})
    assert told == {"server": {"host": "::", "port": 9}, "lemonade": {"url": "http://b:1"}}


def test_every_variable_names_a_key_that_exists() -> None:
    for section, key in ENVIRONMENT.values():
        assert hasattr(getattr(Settings(), section), key)


def test_an_empty_variable_is_an_unset_one() -> None:
    assert from_environment(dict.fromkeys(ENVIRONMENT, "")) == {}


@pytest.mark.parametrize(
    "text",
    ["x", "80a", "-1", "8.0", " 80", "0x50", "٨٠", "\uff18\uff10", "1e3", "+80", "8_0", "9" * 5000],
    ids=lambda text: ascii(text)[:20],
)
def test_a_port_that_is_no_number_is_an_error_that_names_the_variable(text: str) -> None:
    with pytest.raises(SchemaError, match="HAL0_PORT is ") as problem:
        from_environment({"HAL0_PORT": text})
    assert problem.value.key == "HAL0_PORT"


@pytest.mark.parametrize("text", ["0", "65536"])
def test_a_port_out_of_range_is_an_error(text: str) -> None:
    with pytest.raises(SchemaError, match=r"server\.port"):
        read_settings(from_environment({"HAL0_PORT": text}))


tables = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=6
).filter(lambda one: isinstance(one, dict))


@given(tables, tables, tables)
def test_merging_is_associative_and_the_empty_table_changes_nothing(one: Any, two: Any, three: Any) -> None:
    assert merge(one, {}) == one
    assert merge({}, one) == one
    assert merge(one, one) == one
    # Where a plain value hides a table, what is merged first matters; tables alone are associative.
    if not any(_clash(a, b) for a, b in ((one, two), (two, three), (one, three))):
        assert merge(merge(one, two), three) == merge(one, merge(two, three))


def _clash(one: Any, two: Any) -> bool:
    return any(
        isinstance(one[key], dict) is not isinstance(two[key], dict)
        or (isinstance(one[key], dict) and _clash(one[key], two[key]))
        for key in one.keys() & two.keys()
    )


@given(tables, tables)
def test_merging_changes_neither_table_and_takes_every_value_of_the_upper(one: Any, two: Any) -> None:
    before = (repr(one), repr(two))
    merged = merge(one, two)
    assert (repr(one), repr(two)) == before
    assert all(merged[key] == value for key, value in two.items() if not isinstance(value, dict))


# -- schema


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    count: int


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    many: list[Inner] = []


def test_a_missing_key_in_a_table_is_an_error() -> None:
    with pytest.raises(SchemaError, match="required"):
        schema.read(Outer, {"inner": {}})


def test_an_unknown_key_deep_inside_is_named_by_its_path() -> None:
    with pytest.raises(SchemaError) as problem:
        schema.read(Outer, {"inner": {"cont": 1}})
    assert problem.value.key == "inner.cont"
    assert "did you mean 'count'?" in str(problem.value)


def test_an_unknown_key_in_a_list_of_tables_is_an_error_too() -> None:
    with pytest.raises(SchemaError, match="unknown key"):
        schema.read(Outer, {"inner": {"count": 1}, "many": [{"cont": 1}]})


# -- types


@pytest.mark.parametrize(
    ("labels", "type_"),
    [
        ([], "llm"),
        (["chat", "vision"], "llm"),
        (["embeddings"], "embedding"),
        (["reranking"], "reranking"),
        (["tool-calling", "tts"], "tts"),
        (["image"], "image"),
        (["transcription"], "transcription"),
        (["upscaling", "image"], "image"),
        (["classification"], "classification"),
        (["audio-generation"], "audio-generation"),
        (["3d"], "mesh"),
    ],
)
def test_labels_decide_the_type(labels: list[str], type_: str) -> None:
    assert type_of_labels(labels) == type_


def test_every_type_but_llm_has_a_label() -> None:
    assert set(TYPE_OF_LABEL.values()) | {SlotType.LLM} == {*SlotType, *OtherType}


# -- slot ports and aliases


@pytest.mark.parametrize(
    ("text", "ports"),
    [("off", []), ("8081-8083", [8081, 8082, 8083]), ("1-1", [1]), ("65535-65535", [65535])],
)
def test_a_range_of_ports_is_its_ports(text: str, ports: list[int]) -> None:
    assert list(SlotPorts(range=text).ports) == ports
    assert list(read_settings(from_environment({"HAL0_SLOT_PORTS": text})).slot_ports.ports) == ports


@pytest.mark.parametrize(
    "text", ["", "8081", "8099-8081", "0-5", "1-65536", "1-1000", "8081 - 8099", "OFF", "\u0661-\u0662"]
)
def test_what_is_no_range_of_ports_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(SchemaError, match="must be like 8081-8099") as problem:
        read_settings({"slot_ports": {"range": text}})
    assert problem.value.key == "slot_ports"


@pytest.mark.parametrize(
    ("aliases", "says"),
    [
        ({"a": 1}, "'alias': expected str"),
        ({"": "b"}, "'alias': expected str of length >= 1"),
        ({"a": ""}, "'alias': expected str of length >= 1"),
        ({"a": "b", "b": "c"}, "alias 'a' names the alias 'b'"),
        ({"a": "a"}, "alias 'a' names the alias 'a'"),
    ],
)
def test_an_alias_is_the_name_of_a_slot_or_a_model(aliases: dict[str, Any], says: str) -> None:
    with pytest.raises(SchemaError) as problem:
        read_settings({"alias": aliases})
    assert says in str(problem.value)


def test_aliases_of_later_files_are_laid_over_those_of_earlier_ones() -> None:
    assert read_settings({"alias": {"a": "x", "b": "y"}}, {"alias": {"a": "z"}}).alias == {"a": "z", "b": "y"}
