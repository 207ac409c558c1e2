"""core/stream_error: an error inside a stream, as each protocol tells it."""

from __future__ import annotations

import json

import pytest

from hal0app import errors
from hal0app.api.error_answer import error_answer, error_event
from hal0app.core import sse, stream_error
from hal0app.core.endpoints import BY_NAME

ERROR = stream_error.broken("it broke")


def test_an_error_is_told_in_openais_words_by_default() -> None:
    told = sse.data(stream_error.event("chat/completions", ERROR))
    assert told is not None
    assert json.loads(told)["error"]["code"] == "upstream.protocol"


def test_messages_and_responses_have_an_event_of_their_own() -> None:
    for endpoint in ("messages", "responses"):
        event = stream_error.event(endpoint, ERROR)
        assert event.startswith(b"event: error\n")
        told = sse.data(event)
        assert told is not None
        assert json.loads(told)["type"] == "error"
        assert b"it broke" in event


def test_every_shape_belongs_to_an_endpoint() -> None:
    assert set(stream_error.SHAPES) <= set(BY_NAME)


def test_an_upstreams_own_error_is_passed_on() -> None:
    assert stream_error.of_upstream(400, b' {"error": {"message": "too long"}} ') == {"message": "too long"}
    assert "500: oops" in str(stream_error.of_upstream(500, b"oops")["message"])


@pytest.mark.parametrize(
    ("code", "retry_after", "told"),
    [
        ("slot.disabled", None, "false"),
        ("slot.error", None, "false"),
        ("model.load_failed", None, "false"),
        ("model.quarantined", 60, None),
        ("slot.busy", 1, None),
        ("request.timeout", None, None),
        ("upstream.protocol", None, None),
    ],
)
def test_clients_that_would_try_again_in_vain_are_told_not_to(
    code: str, retry_after: int | None, told: str | None
) -> None:
    error = errors.error(code, "x", retry_after=retry_after)
    headers = dict(error_answer(error, "/v1/chat/completions").headers)
    assert headers.get("X-Should-Retry") == told
    assert ("Retry-After" in headers) is (retry_after is not None)


def test_an_anthropic_client_is_told_the_same_before_and_in_a_stream() -> None:
    error = errors.error("slot.loading", "wait", retry_after=5)
    told = sse.data(error_event(error, "/v1/messages"))
    assert told is not None
    assert json.loads(told) == json.loads(error_answer(error, "/v1/messages").body)
    assert json.loads(told)["error"] == {"type": "overloaded_error", "message": "slot.loading: wait"}
