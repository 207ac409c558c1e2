"""OpenAI's own client works unmodified against slots, and so does curl, however old the HTTP it speaks."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from functools import partial

import openai
import pytest
from openai.types.chat import ChatCompletionToolParam

from tests.support.app import App


@pytest.fixture
def client(app: App) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def test_a_chat_is_answered(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="primary", messages=[{"role": "user", "content": "hello"}], max_tokens=8
    )
    assert answer.choices[0].message.content
    assert answer.model == "gemma-a"


def test_a_chat_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="primary", messages=[{"role": "user", "content": "hello"}], max_tokens=12, stream=True
    )
    chunks = list(stream)
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 1
    assert chunks[-1].choices[0].finish_reason == "length"


def test_a_completion_is_answered(client: openai.OpenAI) -> None:
    assert client.completions.create(model="hal0/primary", prompt="Paris is", max_tokens=8).choices[0].text


def test_an_answer_follows_a_json_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}}, "required": ["city"]}
    answer = client.chat.completions.create(
        model="primary",
        messages=[{"role": "user", "content": "The capital of France is"}],
        max_tokens=64,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    )
    assert isinstance(json.loads(answer.choices[0].message.content or "")["city"], str)


def test_tools_reach_the_model(client: openai.OpenAI) -> None:
    """Gemma 270M is a base model that calls none; that senseless ones are refused shows that they arrive."""
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool: ChatCompletionToolParam = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    ask = partial(client.chat.completions.create, model="primary", messages=[{"role": "user", "content": "weather?"}])
    answer = ask(max_tokens=6, tools=[tool])
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls
    with pytest.raises(openai.BadRequestError, match="tool"):
        ask(max_tokens=6, tools=[{"type": "function"}])


def test_usage_comes_at_the_end_of_a_stream_that_asks_for_it(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="primary",
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=4,
        stream=True,
        stream_options={"include_usage": True},
    )
    usage = [chunk.usage for chunk in stream if chunk.usage]
    assert [one.completion_tokens for one in usage] == [4]


def test_responses_are_answered_and_stream(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="primary", input="hello", max_output_tokens=4)
    assert (answer.status, answer.object) == ("completed", "response")
    events = [
        event.type
        for event in client.responses.create(model="primary", input="hello", max_output_tokens=4, stream=True)
    ]
    assert (events[0], events[-1]) == ("response.created", "response.completed")
    assert "response.output_text.delta" in events


def test_the_asynchronous_client_runs_requests_side_by_side(app: App) -> None:
    async def words(client: openai.AsyncOpenAI) -> int:
        stream = await client.chat.completions.create(
            model="primary", messages=[{"role": "user", "content": "hello"}], max_tokens=6, stream=True
        )
        return len([chunk async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])

    async def all_of_them() -> tuple[list[int], list[int]]:
        async with openai.AsyncOpenAI(base_url=f"{app.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
            embeddings = [client.embeddings.create(model="embed", input=["a", "b"]) for _ in range(4)]
            vectors = [len(one.data) for one in await asyncio.gather(*embeddings)]
            return await asyncio.gather(*(words(client) for _ in range(3))), vectors

    streamed, embedded = asyncio.run(all_of_them())
    assert len([one for one in streamed if one > 1]) == 3
    assert embedded == [2, 2, 2, 2]


def test_text_is_embedded(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="embed", input=["a cat", "a car"])
    assert [len(row.embedding) for row in answer.data] == [64, 64]


def test_documents_are_reranked(app: App) -> None:
    body = {"model": "rerank", "query": "a cat", "documents": ["the car", "the cat"]}
    answers = [app.post(f"/v1/{path}", body).json() for path in ("rerank", "reranking", "rerankings", "reranker")]
    assert [sorted(row["index"] for row in answer["results"]) for answer in answers] == [[0, 1]] * 4


def test_models_are_listed_slots_first(client: openai.OpenAI) -> None:
    ids = [model.id for model in client.models.list()]
    assert ids[:4] == ["embed", "primary", "rerank", "second"]
    assert {"gemma-a", "gemma-b", "gemma-c", "embed-a", "rerank-a"} <= set(ids)
    assert client.models.retrieve("primary").owned_by == "hal0"


def test_an_empty_model_means_the_default_slot_of_the_type(app: App) -> None:
    answer = app.post("/v1/embeddings", {"input": "a cat"})
    assert answer.headers["X-Hal0-Slot"] == "embed", answer.text


def test_a_model_id_means_the_slot_that_has_it(app: App) -> None:
    assert app.chat("gemma-a").headers["X-Hal0-Slot"] == "primary"


def test_errors_reach_the_client_as_its_own_exceptions(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="nobody", messages=[{"role": "user", "content": "x"}])
    assert unknown.value.code == "dispatch.no_route"
    with pytest.raises(openai.BadRequestError) as mismatch:
        client.embeddings.create(model="primary", input="x")
    assert mismatch.value.code == "model.type_mismatch"
    with pytest.raises(openai.ConflictError) as disabled:
        client.chat.completions.create(model="off", messages=[{"role": "user", "content": "x"}])
    assert disabled.value.code == "slot.disabled"


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "not streaming"])
@pytest.mark.parametrize("how", [("--http1.0",), ("--header", "Connection: close")], ids=["HTTP/1.0", "close"])
def test_curl_gets_a_whole_answer_and_the_end_of_its_connection(app: App, how: tuple[str, ...], stream: bool) -> None:
    asked = {"model": "primary", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "stream": stream}
    command = ["curl", "--silent", "--show-error", "--include", "--max-time", "120", *how]
    body = ["--header", "Content-Type: application/json", "--data", json.dumps(asked)]
    told = subprocess.run(
        [*command, *body, f"{app.url}/v1/chat/completions"], capture_output=True, text=True, timeout=150
    )
    head, _, answer = told.stdout.partition("\n\n")
    assert (told.returncode, told.stderr) == (0, "")
    assert " 200 " in head.splitlines()[0]
    assert "connection: close" in head.lower()
    if how == ("--http1.0",):
        assert "transfer-encoding" not in head.lower()
    if stream:
        assert answer.rstrip().endswith("data: [DONE]")
    else:
        assert json.loads(answer)["usage"]["completion_tokens"] == 4
