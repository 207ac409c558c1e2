"""Anthropic's own client works unmodified against chat slots."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from tests.support.app import App

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def client(app: App) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=app.url, api_key="none", max_retries=0, timeout=120) as made:
        yield made


def test_a_message_is_answered(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model="primary", max_tokens=8, messages=HELLO)
    assert (answer.type, answer.role, answer.model) == ("message", "assistant", "gemma-a")
    assert answer.content[0].type == "text"
    assert answer.content[0].text
    assert answer.usage.output_tokens > 0


def test_a_message_streams(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="primary", max_tokens=12, messages=HELLO) as stream:
        pieces = list(stream.text_stream)
        answer = stream.get_final_message()
    assert len(pieces) > 1
    assert "".join(pieces) == answer.content[0].text
    assert answer.stop_reason == "max_tokens"


def test_the_default_slot_answers_when_the_model_is_empty(client: anthropic.Anthropic) -> None:
    answer = client.messages.with_raw_response.create(model="", max_tokens=2, messages=HELLO)
    assert answer.headers["X-Hal0-Slot"] == "primary"


def test_errors_reach_the_client_as_its_own_exceptions(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match=r"dispatch\.no_route"):
        client.messages.create(model="nobody", max_tokens=2, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match=r"model\.type_mismatch"):
        client.messages.create(model="embed", max_tokens=2, messages=HELLO)
    with pytest.raises(anthropic.ConflictError, match=r"slot\.disabled"):
        client.messages.create(model="off", max_tokens=2, messages=HELLO)
    with pytest.raises(anthropic.BadRequestError, match="'messages' is required"):
        client.messages.create(model="primary", max_tokens=2, messages=[])
