"""Chat, completions, embeddings, reranking: their answers and their refusals."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.contract import client, recorded
from tests.support.engines import Engine

CHAT: dict[str, Any] = {"model": "chat-a", "messages": client.MESSAGES, "max_tokens": 3}


def test_a_chat_looks_like_the_recorded_one(engine: Engine) -> None:
    answer = client.chat(engine, "chat-a", max_tokens=4)
    recorded.assert_like(answer.json(), recorded.body("c01_chat"))
    assert answer.json()["usage"]["completion_tokens"] == 4
    assert answer.json()["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("name", ["chat-a", "extra.chat-a"])
def test_an_answer_echoes_the_name_that_was_asked_for(engine: Engine, name: str) -> None:
    assert client.chat(engine, name).json()["model"] == name


@pytest.mark.parametrize("prefix", ["/v1", "/v0", "/api/v1", "/api/v0"])
def test_chat_is_served_under_every_prefix(engine: Engine, prefix: str) -> None:
    assert client.post(engine, f"{prefix}/chat/completions", CHAT).ok


def test_completions_continue_a_prompt(engine: Engine) -> None:
    answer = client.post(engine, "/v1/completions", {"model": "chat-a", "prompt": "the cat", "max_tokens": 3}).json()
    assert (answer["object"], answer["model"]) == ("text_completion", "chat-a")
    assert answer["choices"][0]["text"]


def test_responses_answer_in_their_own_shape(engine: Engine) -> None:
    body = {"model": "chat-a", "input": "hello", "max_output_tokens": 3}
    answer = client.post(engine, "/v1/responses", body).json()
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "chat-a")


def test_messages_answer_in_anthropics_shape(engine: Engine) -> None:
    body = {"model": "chat-a", "messages": client.MESSAGES, "max_tokens": 3}
    answer = client.post(engine, "/v1/messages", body).json()
    recorded.assert_like(answer, recorded.body("c33_anthropic"))
    assert (answer["type"], answer["model"]) == ("message", "chat-a")


def test_messages_are_refused_in_anthropics_shape(engine: Engine) -> None:
    body = {"model": "no-such-model", "messages": client.MESSAGES, "max_tokens": 3}
    answer = client.post(engine, "/v1/messages", body)
    assert (answer.status_code, answer.json()["type"]) == (404, "error")
    assert answer.json()["error"]["type"] == "not_found_error"


def test_a_transcription_by_a_chat_model_loads_it_and_is_then_refused(engine: Engine) -> None:
    form = {"model": (None, "chat-a"), "file": ("a.wav", b"RIFF" + bytes(3000), "audio/wav")}
    answer = requests.post(f"{engine.url}/v1/audio/transcriptions", files=form, timeout=client.LONG)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "unsupported_operation"
    assert client.names(engine) == {"chat-a"}


def test_an_upload_that_is_no_form_or_names_no_model_is_refused(engine: Engine) -> None:
    answer = client.post(engine, "/v1/audio/transcriptions", {"model": "chat-a"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "Request must be multipart/form-data")
    form = {"file": ("a.wav", b"RIFF", "audio/wav")}
    answer = requests.post(f"{engine.url}/v1/audio/transcriptions", files=form, timeout=client.LONG)
    assert answer.json()["error"]["message"] == "Missing 'model' field in request"


def test_embeddings_are_vectors(engine: Engine) -> None:
    answer = client.post(engine, "/v1/embeddings", {"model": "embed-a", "input": ["hello", "world"]}).json()
    recorded.assert_like(answer, recorded.body("c14_embeddings"))
    assert [len(item["embedding"]) for item in answer["data"]] == [64, 64]
    assert answer["model"] == "embed-a"


@pytest.mark.parametrize("endpoint", ["rerank", "reranking", "reranker"])
def test_rerank_scores_documents_under_three_names(engine: Engine, endpoint: str) -> None:
    body = {"model": "rerank-a", "query": "bear", "documents": ["panda", "red car", "paris"], "top_n": 2}
    answer = client.post(engine, f"/v1/{endpoint}", body).json()
    recorded.assert_like(answer, recorded.body("c21_rerank"))
    assert len(answer["results"]) == 2


def test_tokenize_asks_the_most_recent_model(engine: Engine) -> None:
    assert client.post(engine, "/v1/tokenize", {"content": "hello"}).status_code == 400
    client.loaded(engine, "chat-a")
    assert client.post(engine, "/v1/tokenize", {"content": "hello"}).json()["tokens"]


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model_is_404_also_for_a_stream(engine: Engine, stream: bool) -> None:
    answer = client.chat(engine, "nope", stream=stream)
    assert answer.status_code == 404
    recorded.assert_like(answer.json(), recorded.body("c04_chat_unknown"))
    assert answer.json()["error"]["requested_model"] == "nope"


@pytest.mark.parametrize("stream", [False, True])
def test_chat_on_an_embedding_model_is_400(engine: Engine, stream: bool) -> None:
    answer = client.chat(engine, "embed-a", stream=stream)
    assert (answer.status_code, answer.json()) == (400, recorded.body("c10_chat_on_embed_model"))
    assert client.names(engine) == {"embed-a"}, "the model is loaded before it is refused"


def test_embeddings_of_a_chat_model_are_501_from_the_backend(engine: Engine) -> None:
    answer = client.post(engine, "/v1/embeddings", {"model": "chat-a", "input": "x"})
    assert answer.status_code == 501
    recorded.assert_like(answer.json(), recorded.body("c17_embeddings_on_llm"))


def test_rerank_on_a_chat_model_is_501_from_the_backend(engine: Engine) -> None:
    answer = client.post(engine, "/v1/rerank", {"model": "chat-a", "query": "x", "documents": ["y"]})
    assert answer.status_code == 501


def test_a_chat_without_messages_is_400_with_the_backends_words(engine: Engine) -> None:
    answer = client.post(engine, "/v1/chat/completions", {"model": "chat-a", "max_tokens": 3})
    assert answer.status_code == 400
    recorded.assert_like(answer.json(), recorded.body("c07_chat_no_messages"))


def test_a_prompt_beyond_the_context_is_400(engine: Engine) -> None:
    client.loaded(engine, "chat-a", ctx_size=512)
    long = [{"role": "user", "content": "hello " * 600}]
    answer = client.chat(engine, "chat-a", messages=long)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (
        400, "context_length_exceeded", "invalid_request_error",
    )  # fmt: skip
    assert error["details"]["response"]["error"]["type"] == "exceed_context_size_error"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings"])
def test_a_request_without_a_model_is_400_while_nothing_is_loaded(engine: Engine, path: str) -> None:
    answer = client.post(engine, path, {"messages": client.MESSAGES, "input": "x"})
    assert answer.status_code == 400
    assert "o model specified" in answer.text  # shape C in 11.7.0, shape A in 2026.39.1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/load"])
@pytest.mark.parametrize("data", ["", "{"])
def test_a_body_that_is_not_json_is_400_in_shape_a(engine: Engine, path: str, data: str) -> None:
    answer = requests.post(engine.url + path, data=data, timeout=client.LONG)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def test_the_content_type_of_a_request_does_not_matter(engine: Engine) -> None:
    data = '{"model":"chat-a","max_tokens":2,"messages":[{"role":"user","content":"x"}]}'
    headers = {"Content-Type": "text/plain"}
    answer = requests.post(engine.url + "/v1/chat/completions", data=data, headers=headers, timeout=client.LONG)
    assert answer.status_code == 200
