"""core/backend_error and core/dialect: what lemond said (recorded), and what clients are told (data/errors.json)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hal0app.core import sse
from hal0app.core.backend_error import (
    CODE_OF_STATUS,
    CODE_OF_TYPE,
    OTHERWISE,
    is_loading,
    meant,
    normalised,
    restated,
    status_of,
)
from hal0app.core.dialect import TYPES, Dialect, error_body, error_type
from hal0app.errors import CODES
from tests.contract.recorded import response

TOLD: dict[str, dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "errors.json").read_text())


def recorded(name: str) -> tuple[int, bytes]:
    """Status and body of a recorded error; of a stream, its first event and the status that the event names."""
    answer = response(name)
    raw = answer["body"].encode() if isinstance(answer["body"], str) else json.dumps(answer["body"]).encode()
    if answer["status"] == 200:
        text = sse.first_data(raw) or ""
        return status_of(sse.failure(text) or {}), text.encode()
    return answer["status"], raw


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("name", TOLD)
def test_every_recorded_error_of_lemond_is_told_in_the_dialects_shape(name: str, dialect: Dialect) -> None:
    status, raw = recorded(name)
    told = normalised(status, raw, dialect)
    assert status == TOLD[name]["status"]
    assert (None if told is None else json.loads(told)) == TOLD[name][dialect]
    assert normalised(status, told or raw, dialect) is None, "what is in shape stays"


def test_anthropics_own_shape_passes_to_anthropics_clients_and_is_read_for_the_others() -> None:
    raw = b'{"type": "error", "error": {"type": "not_found_error", "message": "no such model"}}'
    assert normalised(404, raw, Dialect.ANTHROPIC) is None
    told = json.loads(normalised(404, raw, Dialect.OPENAI) or b"")
    assert told == error_body(Dialect.OPENAI, 404, "no such model", "request.not_found", None)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"oops\n", "oops"),
        (b"<html>Bad gateway</html>", "the backend answered 502 and did not say why"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b'{"error": null}', "the backend answered 502 and did not say why"),
        (b'{"detail": "x"}', "the backend answered 502 and did not say why"),
        (b"[" * 100_000, "the backend answered 502 and did not say why"),
        (b"x" * 9999, "x" * 500),
    ],
)
def test_what_has_none_of_the_shapes_becomes_an_error_all_the_same(raw: bytes, message: str) -> None:
    told = json.loads(normalised(502, raw, Dialect.OPENAI) or b"")["error"]
    assert told == {"message": message, "type": "server_error", "code": OTHERWISE, "param": None}


@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (500, "Failed to parse tools: Missing tool function: {}", 400),
        (500, "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj", 400),
        (500, "Failed to parse messages: [json.exception.type_error.302] type must be string, but is number", 400),
        (500, "input (5002 tokens) is too large to process. increase the physical batch size (current: 512)", 400),
        (500, "the decode failed", 500),
        (503, "Failed to parse tools: x", 503),
    ],
)
def test_a_request_at_fault_is_no_fault_of_the_server(status: int, message: str, code: int) -> None:
    raw = json.dumps({"error": {"code": status, "message": message, "type": "server_error"}}).encode()
    assert meant(status, raw) == code
    told = json.loads(restated(code, raw, Dialect.OPENAI))["error"]
    assert (told["message"], told["code"]) == (message, "request.invalid_field" if code == 400 else OTHERWISE)


def test_every_code_that_errors_are_mapped_to_is_one_of_ours_or_openais() -> None:
    assert {*CODE_OF_TYPE.values(), *CODE_OF_STATUS.values(), OTHERWISE} - {"context_length_exceeded"} <= set(CODES)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"status_code": 400, "code": 500}, 400),
        ({"code": 501}, 501),
        ({"code": "x", "type": "model_not_loaded"}, 404),
        ({"code": True}, 500),
        ({"code": 200}, 500),
        ({}, 500),
    ],
)
def test_the_status_of_an_error_that_came_as_an_event(error: dict[str, Any], status: int) -> None:
    assert status_of(error) == status


def test_only_llama_servers_503_says_that_it_still_loads() -> None:
    error = {"code": 503, "message": "Loading model", "type": "unavailable_error"}
    assert is_loading(503, error)
    assert not is_loading(200, error)
    assert not is_loading(503, {"type": "server_error"})


# -- the dialects


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_status_of_ours_has_a_type(dialect: Dialect) -> None:
    kinds = {code.status: error_type(dialect, code.status) for code in CODES.values()}
    assert set(kinds.values()) <= set(TYPES[dialect].values())
    assert kinds[400] == "invalid_request_error"
