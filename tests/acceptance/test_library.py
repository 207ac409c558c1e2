"""Models and backends on disk, over either engine and without a network: what is there is told, nothing is lost."""

from __future__ import annotations

import requests

from tests.support.app import App
from tests.support.engines import Engine


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def delete(app: App, model: str, **query: str) -> requests.Response:
    return requests.delete(f"{app.url}/api/models/{model}", params=query, timeout=60)


def test_every_model_is_listed_with_its_type_and_its_slots(app: App) -> None:
    models = {one["id"]: one for one in app.get("/api/models").json()}
    assert {name: models[name]["type"] for name in ("gemma-a", "embed-a", "rerank-a")} == {
        "gemma-a": "llm",
        "embed-a": "embedding",
        "rerank-a": "reranking",
    }
    assert (models["gemma-a"]["slots"], models["gemma-c"]["slots"]) == (["primary"], ["off"])


def test_a_loaded_model_is_not_deleted_and_goes_on_serving(app: App, lemonade: Engine) -> None:
    assert app.post("/v1/embeddings", {"model": "embed", "input": "a"}).status_code == 200
    pid = lemonade.residents()["embed-a"]["pid"]
    answer = delete(app, "embed-a")
    assert refusal(answer) == (409, "model.in_use")
    assert answer.json()["error"]["details"] == {"slots": ["embed"], "loaded": True}
    assert refusal(delete(app, "embed-a", force="true")) == (409, "model.local_file")
    assert lemonade.residents()["embed-a"]["pid"] == pid
    assert app.post("/v1/embeddings", {"model": "embed", "input": "a"}).status_code == 200


def test_a_pull_of_an_unknown_model_without_a_network_gives_lemonades_reason(app: App) -> None:
    answer = app.post("/api/models/pull", {"model_name": "nobody-knows-this"})
    assert refusal(answer) == (502, "model.pull_failed")
    assert "offline" in answer.json()["error"]["message"]
    assert app.get("/api/downloads").json() == []
    assert app.journal(kind="model.pull")[-1]["model"] == "nobody-knows-this"


def test_backends_are_listed_and_the_one_in_use_is_installed(app: App) -> None:
    backends = {one["id"]: one for one in app.get("/api/backends").json()}
    assert backends["llamacpp:system"]["state"] == "installed"
    assert app.post("/api/backends/llamacpp:system/install").status_code == 204


def test_a_backend_that_this_machine_cannot_have_is_refused_at_once(app: App) -> None:
    answer = app.post("/api/backends/llamacpp:vulkan/install")
    assert refusal(answer) in {(404, "backend.unknown"), (409, "backend.unsupported")}
