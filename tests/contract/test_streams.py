"""How a stream is framed, named, refused and aborted."""

from __future__ import annotations

from tests.contract import client, recorded
from tests.support.engines import Engine


def test_a_stream_is_chunked_events_that_end_with_done(engine: Engine) -> None:
    answer = client.chat(engine, "chat-a", stream=True)
    headers = recorded.response("c02_chat_stream")["headers"]
    for name in ("Content-Type", "Transfer-Encoding", "Cache-Control", "X-Accel-Buffering"):
        assert answer.headers[name] == headers[name]
    assert answer.text.endswith("\n\ndata: [DONE]\n\n")
    assert all(line == "" or line.startswith(("data: ", ":")) for line in answer.text.splitlines())


def test_a_stream_tells_role_words_and_the_finish(engine: Engine) -> None:
    chunks = client.chunks(client.chat(engine, "chat-a", stream=True, max_tokens=4).text)
    choices = [chunk["choices"][0] for chunk in chunks]
    assert choices[0]["delta"]["role"] == "assistant"
    assert [bool(choice["delta"].get("content")) for choice in choices[1:-1]] == [True] * 4
    assert choices[-1]["finish_reason"] == "length"
    assert "usage" not in chunks[-1]


def test_usage_comes_when_it_is_asked_for(engine: Engine) -> None:
    options = {"include_usage": True}
    chunks = client.chunks(client.chat(engine, "chat-a", stream=True, stream_options=options).text)
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_the_model_of_a_chunk_is_the_path_of_the_file(engine: Engine) -> None:
    chunks = client.chunks(client.chat(engine, "chat-a", stream=True).text)
    assert {chunk["model"] for chunk in chunks} == {str(engine.models_dir / "chat-a.gguf")}


def test_an_alias_among_the_args_becomes_the_model_of_a_chunk(engine: Engine) -> None:
    client.loaded(engine, "chat-a", llamacpp_args="--alias chat-a")
    chunks = client.chunks(client.chat(engine, "chat-a", stream=True).text)
    assert {chunk["model"] for chunk in chunks} == {"chat-a"}


def test_completions_stream_too(engine: Engine) -> None:
    body = {"model": "chat-a", "prompt": "the cat", "max_tokens": 3, "stream": True}
    text = client.post(engine, "/v1/completions", body).text
    assert client.events(text)[-1] == "[DONE]"
    assert client.chunks(text)[0]["choices"][0]["text"]


def test_responses_stream_named_events(engine: Engine) -> None:
    body = {"model": "chat-a", "input": "hello", "max_output_tokens": 3, "stream": True}
    text = client.post(engine, "/v1/responses", body).text
    assert "event: response.created\n" in text
    assert "event: response.completed\n" in text


def test_messages_stream_anthropics_events(engine: Engine) -> None:
    body = {"model": "chat-a", "messages": client.MESSAGES, "max_tokens": 3, "stream": True}
    text = client.post(engine, "/v1/messages", body).text
    kinds = [chunk["type"] for chunk in client.chunks(text)]
    told = [chunk["type"] for chunk in client.chunks(recorded.body("c34_anthropic_stream"))]
    assert (kinds[0], kinds[-1]) == (told[0], told[-1]) == ("message_start", "message_stop")
    assert {"content_block_start", "content_block_delta", "content_block_stop", "message_delta"} <= set(kinds)
    assert [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")] == kinds
    assert "[DONE]" not in text


def test_an_error_of_the_backend_is_an_event_without_done(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=512)
    long = [{"role": "user", "content": "hello " * 600}]
    answer = client.chat(engine, "chat-a", messages=long, stream=True)
    assert answer.status_code == 200
    [event] = client.chunks(answer.text)
    assert (event["error"]["type"], event["error"]["status_code"]) == ("exceed_context_size_error", 400)
    assert "[DONE]" not in answer.text


def test_silence_is_filled_with_ping_comments(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=32768)  # one sequence: the second stream waits for the first
    with client.streaming(engine, "chat-a"), client.streaming(engine, "chat-a") as waiting:
        assert waiting.text.startswith(": ping\n\n")
