"""core/endpoints, core/routing, core/headers, core/model and core/config_drift: where a request may and does go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hal0app import errors
from hal0app.core import headers, routing
from hal0app.core.config_drift import differences
from hal0app.core.dialect import Dialect
from hal0app.core.endpoints import BY_NAME, ENDPOINTS, INSTEAD, Access, access, dialect, instead, methods, within
from hal0app.core.model import Model, load_request, read_model
from hal0app.core.routing import NEXT, ToFallback, ToSlot, claimant, refused, resolve
from hal0app.core.slot import REFUSALS, Broken
from hal0app.core.slot_type import OtherType, SlotType
from tests.unit.fakes import slot

# -- the allow-list

EVERYONE = [
    *[("GET", one) for one in ("health", "stats", "system-info", "system-stats", "slots", "models", "models/m")],
    *[("HEAD", one) for one in ("health", "models/m")],
    ("GET", "models/org/name"),
    ("POST", "tokenize"),
]
ADMIN = [
    *[("POST", one) for one in ("load", "unload", "pull", "delete", "install", "uninstall", "params", "log-level")],
    *[("POST", one) for one in ("models/register", "models/check-updates", "models/m/options", "downloads/control")],
    *[("POST", one) for one in ("install/dry-run", "jobs", "jobs/1", "cloud/auth", "routing/validate", "slots/0")],
    *[("GET", one) for one in ("params", "downloads", "jobs", "jobs/1", "registry/search", "pull/variants", "cloud")],
    *[("DELETE", one) for one in ("jobs/1", "models/m")],
    *[("HEAD", one) for one in ("params", "jobs")],
    *[("PUT", "models/m"), ("PATCH", "models/m"), ("POST", "models"), ("OPTIONS", "load"), ("GET", "load")],
]
NOBODY = [
    *[
        ("GET", one)
        for one in ("", "internal", "internal/config", "mcp", "metrics", "live", "Health", "health/", "loads")
    ],
    *[("POST", one) for one in ("internal/shutdown", "internal/set", "health", "stats", "audio/other", "images")],
    *[("POST", one) for one in ("LOAD", "load/", " load", "load ", "load;x", "./load", "../load", "audio/../load")],
    *[("POST", one) for one in ("audio/speech/", "audio/speech/x", "tokenize/../internal/set", "%6coad", "//load")],
    *[("GET", one) for one in ("..", ".", "../internal/config", "health/../internal/config", "modelsx", "xmodels/m")],
    *[("GET", one) for one in ("models/..", "models/a/../b", "models/../../internal/config")],
    *[("DELETE", "health"), ("get", "health"), ("TRACE", "health"), ("", "health")],
    *[("HEAD", "audio/speech"), ("HEAD", "tokenize"), ("PUT", "tokenize")],
]


@pytest.mark.parametrize(
    ("method", "path", "who"),
    [
        *[(*one, Access.EVERYONE) for one in EVERYONE],
        *[(*one, Access.ADMIN) for one in ADMIN],
        *[(*one, Access.NOBODY) for one in NOBODY],
    ],
)
def test_lemonds_own_paths_are_open_reserved_or_unknown(method: str, path: str, who: Access) -> None:
    assert access(path, method) is who


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("chat/completions", ("POST", "OPTIONS")),
        ("reranker", ("POST", "OPTIONS")),
        ("models", ("GET", "HEAD", "OPTIONS")),
        ("health", ("GET", "HEAD", "OPTIONS")),
        ("tokenize", ("POST", "OPTIONS")),
        ("load", ()),
        ("nonsense", ()),
    ],
)
def test_the_methods_of_a_path_are_those_that_everyone_may_use(path: str, taken: tuple[str, ...]) -> None:
    assert methods(path) == taken


@pytest.mark.parametrize("prefix", ["/v1/", "/api/v1/"])
def test_only_anthropics_endpoint_speaks_anthropics_dialect(prefix: str) -> None:
    assert dialect(f"{prefix}messages") is Dialect.ANTHROPIC
    assert {dialect(prefix + one) for one in ("chat/completions", "models", "")} == {Dialect.OPENAI}
    assert dialect(f"{prefix}messages/count_tokens") is Dialect.ANTHROPIC
    assert dialect("/messages") is Dialect.OPENAI
    assert (within(f"{prefix}a/b"), within("/v1"), within("/v1x/a")) == ("a/b", None, None)


def test_every_endpoint_is_found_by_its_path_and_its_aliases() -> None:
    assert {one.path for one in ENDPOINTS} <= set(BY_NAME)
    assert BY_NAME["reranking"] is BY_NAME["rerankings"] is BY_NAME["reranker"] is BY_NAME["rerank"]


def test_no_endpoint_of_a_slot_is_also_open_to_fall_through() -> None:
    assert [one for one in BY_NAME if access(one, "POST") is not Access.NOBODY] == []


# -- routes

SLOTS = [
    slot("primary", "big", default=True),
    slot("second", "small"),
    slot("twin", "small"),
    slot("off", "sleeping", enabled=False),
    slot("embed", "vectors", type="embedding"),
    slot("m", "other"),
]


@pytest.mark.parametrize(
    ("model", "type_", "slot_name"),
    [
        ("primary", "llm", "primary"),
        ("hal0/primary", "llm", "primary"),
        ("big", "llm", "primary"),
        ("small", "llm", "second"),
        ("", "llm", "primary"),
        ("embed", "embedding", "embed"),
        ("off", "llm", "off"),
        ("m", "llm", "m"),
    ],
    ids=["name", "prefixed-name", "model", "model-of-two", "default", "of-its-type", "off-by-name", "name-over-model"],
)
def test_a_request_goes_to_the_slot_it_names(model: str, type_: str, slot_name: str) -> None:
    route = resolve(model, SlotType(type_), SLOTS)
    assert isinstance(route, ToSlot)
    assert route.slot.name == slot_name


@pytest.mark.parametrize(
    ("model", "port_slot", "slot_name"),
    [
        ("off", None, "off"),
        ("hal0/embed", None, "embed"),
        ("small", None, "second"),
        ("vec", None, "embed"),
        ("gpt", None, "primary"),
        ("sleeping", None, None),
        ("", None, None),
        ("embed", "primary", "primary"),
    ],
)
def test_a_request_is_a_slots_whatever_speaks_against_it(
    model: str, port_slot: str | None, slot_name: str | None
) -> None:
    found = claimant(model, SLOTS, {"gpt": "primary", "vec": "vectors"}, port_slot)
    assert (found and found.name) == slot_name


def test_a_slot_that_does_not_serve_says_what_to_do() -> None:
    told = refused("slot.disabled", "off", "turned off; requests are refused")
    assert told.message.startswith("slot 'off': turned off; requests are refused. Turn it on: hal0 slots edit off enab")
    assert told.param == "model"
    assert set(NEXT) == set(REFUSALS["serve"].values())


@pytest.mark.parametrize(("path", "says"), [("load", "POST /api/slots/{name}/load"), ("params", "below /api")])
def test_a_control_path_of_lemonds_has_something_in_its_place(path: str, says: str) -> None:
    assert says in instead(path)
    assert {access(f"{one}/x" if one == "install" else one, "POST") for one in INSTEAD} == {Access.ADMIN}


@pytest.mark.parametrize("model", ["sleeping", "unknown", "hal0/unknown", "hal0/", "Primary", "primary ", "hal0/big"])
def test_what_no_slot_claims_goes_to_lemond_as_it_was_named(model: str) -> None:
    assert resolve(model, SlotType.LLM, SLOTS) == ToFallback(model)


ALIASES = {"gpt": "primary", "gpt/pref": "hal0/second", "vec": "vectors", "far": "lemonades", "second": "primary"}


@pytest.mark.parametrize(
    ("model", "route"),
    [("gpt", "primary"), ("gpt/pref", "second"), ("second", "second"), ("small", "second"), ("far", "-> lemonades")],
)
def test_an_alias_is_looked_up_after_slots_and_their_models(model: str, route: str) -> None:
    found = resolve(model, SlotType.LLM, SLOTS, {**ALIASES, "small": "primary"})
    assert (found.slot.name if isinstance(found, ToSlot) else f"-> {found.model}") == route


def test_an_alias_of_a_slot_of_another_type_is_refused() -> None:
    with pytest.raises(errors.CallerError) as problem:
        resolve("vec", SlotType.LLM, SLOTS, ALIASES)
    assert problem.value.code == "model.type_mismatch"


@pytest.mark.parametrize("model", ["", "second", "vectors", "unknown", "bad", "gpt"])
def test_on_a_slots_port_its_slot_serves_whatever_is_named(model: str) -> None:
    route = resolve(model, SlotType.LLM, [*SLOTS, Broken("bad", "x")], ALIASES, "twin")
    assert route == ToSlot(SLOTS[2])


@pytest.mark.parametrize(("model", "aliases"), [("bad", {}), ("hal0/bad", {}), ("alias", {"alias": "bad"})])
def test_a_slot_whose_definition_is_not_valid_is_an_error_that_says_why(model: str, aliases: dict[str, str]) -> None:
    with pytest.raises(errors.SlotError) as problem:
        resolve(model, SlotType.LLM, [*SLOTS, Broken("bad", "no type")], aliases)
    assert (problem.value.code, "no type" in problem.value.message) == ("slot.error", True)


def test_an_endpoint_that_no_slot_can_serve_names_none() -> None:
    with pytest.raises(errors.CallerError, match="this endpoint needs classification; slots that fit: none is set up"):
        resolve("primary", OtherType.CLASSIFICATION, SLOTS)
    assert resolve("a-classifier", OtherType.CLASSIFICATION, SLOTS) == ToFallback("a-classifier")


def test_of_two_slots_with_one_model_the_default_one_serves() -> None:
    them = [slot("a", "m1"), slot("z", "m1", default=True)]
    route = resolve("m1", SlotType.LLM, them)
    assert isinstance(route, ToSlot)
    assert route.slot.name == "z"


def test_a_model_of_two_types_is_served_by_the_slot_of_the_endpoints_type() -> None:
    them = [slot("a", "m1"), slot("b", "m1", type="embedding")]
    route = resolve("m1", SlotType.EMBEDDING, them)
    assert isinstance(route, ToSlot)
    assert route.slot.name == "b"


@pytest.mark.parametrize("model", ["embed", "vectors"])
def test_a_slot_of_another_type_is_refused_naming_those_that_fit(model: str) -> None:
    with pytest.raises(errors.CallerError) as problem:
        resolve(model, SlotType.LLM, SLOTS)
    assert problem.value.code == "model.type_mismatch"
    assert "slots that fit: m, primary, second, twin" in problem.value.message


@pytest.mark.parametrize(
    "them",
    [[], [slot("a", "m")], [slot("a", "m", default=True, enabled=False)], [slot("a", "m", default=True, type="tts")]],
    ids=["none", "no-default", "default-is-off", "default-of-another-type"],
)
def test_no_model_and_no_default_is_an_error_that_says_what_to_name(them: list[Any]) -> None:
    with pytest.raises(errors.CallerError) as problem:
        resolve("", SlotType.LLM, them)
    assert (problem.value.code, problem.value.param) == ("request.missing_field", "model")


def test_no_route_lists_what_was_considered() -> None:
    problem = routing.no_route("x", SLOTS, {f"m{n:03}" for n in range(500)})
    assert (problem.status, problem.details["slots"][0], len(problem.details["models"])) == (404, "embed", 500)
    assert len(problem.message) < 1000


# -- headers


def test_what_belongs_to_the_clients_connection_does_not_go_up() -> None:
    kept = [("Content-Type", "application/json"), ("X-Trace", "1"), ("Accept", "*/*"), ("x-trace", "2")]
    dropped = [
        *("Host", "Origin", "Referer", "Cookie", "Authorization", "X-Api-Key", "Content-Length", "Connection"),
        *("Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "Trailer", "Expect", "Proxy-Authorization"),
        *("X-Forwarded-For", "x-forwarded-proto", "Access-Control-Request-Method", "PROXY-CONNECTION"),
    ]
    assert headers.upwards([*((name, "x") for name in dropped), *kept]) == kept


def test_what_belongs_to_the_upstreams_connection_does_not_come_down() -> None:
    kept = [("Content-Type", "text/plain"), ("Content-Length", "3"), ("X-Lemonade-Route", "r")]
    dropped = (
        "Server",
        "Date",
        "Set-Cookie",
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "access-control-max-age",
    )
    assert headers.downwards((*((name, "x") for name in dropped), *kept)) == tuple(kept)


@pytest.mark.parametrize("way", [headers.upwards, headers.downwards])
def test_a_header_that_connection_names_stays_behind(
    way: Callable[[tuple[headers.Header, ...]], Sequence[headers.Header]],
) -> None:
    crossing = [("Accept", "x"), ("X-Mine", "1")]
    assert list(way((("Connection", "close, X-mine"), *crossing))) == crossing[:1]
    assert list(way((("Connection", "close"), *crossing))) == crossing


@pytest.mark.parametrize(
    ("kind", "streams"),
    [("text/event-stream", True), ("Text/Event-Stream; charset=utf-8", True), ("application/json", False), ("", False)],
)
def test_a_stream_is_known_by_its_content_type(kind: str, streams: bool) -> None:
    assert headers.is_stream([("CONTENT-type", kind)]) is streams
    assert not headers.is_stream([])


# -- loads


def test_a_load_says_only_what_is_wanted() -> None:
    assert load_request(Model("m"), None, {"cpu", "vulkan"}) == {
        "model_name": "m",
        "llamacpp_args": "--parallel 1 --alias m",
    }


def test_a_slots_load_carries_its_options_and_the_best_installed_backend_of_its_device() -> None:
    it = slot(ctx_size=4096, device="gpu-vulkan", max_in_flight=3, pinned=True, llamacpp_args="-fa on")
    assert load_request(Model("m"), it, {"system", "vulkan", "rocm"}) == {
        "model_name": "m",
        "pinned": True,
        "ctx_size": 4096,
        "llamacpp_args": "--parallel 3 --alias m -fa on",
        "llamacpp_backend": "vulkan",
    }


@pytest.mark.parametrize(
    ("device", "installed", "backend"),
    [
        ("gpu-rocm", {"rocm", "system"}, "rocm"),
        ("gpu-rocm", {"vulkan", "system"}, "system"),
        ("gpu-rocm", {"vulkan"}, None),
        ("cpu", {"cpu"}, "cpu"),
        ("cpu", set(), None),
        ("npu", {"cpu", "vulkan"}, None),
        (None, {"cpu", "vulkan"}, None),
    ],
)
def test_a_backend_is_named_only_when_it_is_installed_and_fits(
    device: str | None, installed: set[str], backend: str | None
) -> None:
    it = slot(**({"device": device} if device else {}))
    assert load_request(Model("m"), it, installed).get("llamacpp_backend") == backend


@pytest.mark.parametrize(
    ("recipe", "installed", "option"),
    [
        ("whispercpp", {"cpu", "vulkan"}, {"whispercpp_backend": "cpu"}),
        ("sd-cpp", {"cpu", "rocm"}, {"sd-cpp_backend": "cpu"}),
        ("sd-cpp", {"rocm"}, {}),
        ("kokoro", {"cpu"}, {}),
    ],
)
def test_the_device_of_a_slot_that_hears_or_draws_is_asked_for_as_well(
    recipe: str, installed: set[str], option: dict[str, str]
) -> None:
    it = slot(device="cpu", llamacpp_args="-x")
    assert load_request(Model("m", recipe=recipe), it, installed) == {"model_name": "m", "pinned": False, **option}
    assert load_request(Model("m", recipe=recipe), None, installed) == {"model_name": "m"}


def test_a_model_of_another_recipe_gets_no_arguments_of_llama_cpp() -> None:
    body = load_request(Model("m", recipe="flm"), slot(device="npu", llamacpp_args="-x"), {"cpu"})
    assert body == {"model_name": "m", "pinned": False}


@pytest.mark.parametrize("it", [None, slot(), slot(ctx_size=1, device="cpu")], ids=["fallback", "slot", "full"])
def test_a_load_never_says_null(it: Any) -> None:
    assert None not in load_request(Model("m"), it, {"cpu"}).values()


def test_a_model_id_with_spaces_is_one_word_of_the_arguments() -> None:
    assert "--alias 'my model; x'" in load_request(Model("my model; x"), None, ())["llamacpp_args"]


def test_a_row_of_the_catalogue_is_read() -> None:
    row = {
        "id": "m",
        "labels": ["reranking"],
        "recipe": "llamacpp",
        "size": 1.5,
        "context_length": 9,
        "downloaded": False,
    }
    assert read_model(row) == Model("m", SlotType.RERANKING, "llamacpp", False, ("reranking",), "", 1.5, 9)


def test_a_bare_row_of_the_catalogue_is_read() -> None:
    assert read_model({"id": "m", "labels": None, "recipe": None, "checkpoint": None}) == Model("m")


# -- config drift


@pytest.mark.parametrize(
    ("wanted", "has", "found"),
    [
        ({}, {"a": 1}, []),
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {}, [("a", 1, None)]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, [("a.c", 2, None)]),
        ({"a": {"b": 1}}, {"a": 5}, [("a.b", 1, None)]),
        ({"a": {"b": 1}}, {}, [("a.b", 1, None)]),
        ({"a": 5}, {"a": {"b": 1}}, [("a", 5, {"b": 1})]),
        ({"a": ""}, {"a": ""}, []),
        ({"a": [1]}, {"a": [1, 2]}, [("a", [1], [1, 2])]),
    ],
)
def test_only_what_is_wanted_is_compared(wanted: Any, has: Any, found: list[tuple[str, Any, Any]]) -> None:
    assert [(one.key, one.wanted, one.has) for one in differences(wanted, has)] == found


def test_a_difference_says_what_is_and_what_should_be() -> None:
    (one,) = differences({"a": {"b": 8}}, {"a": {"b": 1}})
    assert one.text == "lemond has a.b = 1, hal0.toml wants 8"
