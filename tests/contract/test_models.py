"""Which models are listed, and under which names they are known."""

from __future__ import annotations

import os

import pytest

from tests.contract import client, recorded
from tests.support.engines import Engine


def test_the_list_holds_what_is_on_disk(engine: Engine) -> None:
    listing = client.get(engine, "/v1/models").json()
    assert listing["object"] == "list"
    ids = {entry["id"] for entry in listing["data"]}
    assert {"chat-a", "chat-b", "chat-c", "broken", "embed-a", "rerank-a"} <= ids
    assert "missing-a" not in ids


def test_show_all_lists_what_is_not_downloaded_too(engine: Engine) -> None:
    listing = client.get(engine, "/v1/models?show_all=true").json()["data"]
    missing = next(entry for entry in listing if entry["id"] == "missing-a")
    assert missing["downloaded"] is False


@pytest.mark.parametrize(
    ("name", "recording", "labels"),
    [
        ("chat-a", "a08_model_by_id", ["custom", "chat"]),
        ("embed-a", "a08_model_by_id_user", ["embeddings"]),
    ],
)
def test_a_model_looks_like_the_recorded_one(engine: Engine, name: str, recording: str, labels: list[str]) -> None:
    model, known = client.get(engine, f"/v1/models/{name}").json(), recorded.body(recording)
    known.pop("size", None)  # GB to three decimals: absent for a tiny file
    recorded.assert_like(model, known)
    assert (model["id"], model["labels"], model["downloaded"]) == (name, labels, True)


@pytest.mark.parametrize(("name", "published"), [("extra.chat-a", "chat-a"), ("user.embed-a", "embed-a")])
def test_a_canonical_name_finds_the_published_model(engine: Engine, name: str, published: str) -> None:
    assert client.get(engine, f"/v1/models/{name}").json()["id"] == published


def test_an_unknown_model_is_not_found_in_shape_b(engine: Engine) -> None:
    answer = client.get(engine, "/v1/models/nope")
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("model_not_found", "model_not_found", "model")
    assert error["requested_model"] == "nope"


def test_a_new_file_is_unknown_until_a_restart(engine: Engine) -> None:
    os.link(engine.models_dir / "chat-a.gguf", engine.models_dir / "late.gguf")
    assert client.get(engine, "/v1/models/late").status_code == 404
    engine.restart()
    assert client.get(engine, "/v1/models/late").status_code == 200
