"""Methods, unknown routes, origins, connections."""

from __future__ import annotations

import pytest
import requests

from tests.contract import client, recorded
from tests.support.engines import Engine


@pytest.mark.parametrize("path", ["/v1/load", "/v1/chat/completions"])
def test_get_on_a_post_route_is_405_in_shape_a(engine: Engine, path: str) -> None:
    answer = client.get(engine, path)
    assert (answer.status_code, answer.json()) == (405, recorded.body("k01_get_on_post"))


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/nope"), ("POST", "/v1/nope"), ("PUT", "/v1/load"), ("POST", "/v1/health")],
)
def test_an_unknown_route_is_404_in_shape_d(engine: Engine, method: str, path: str) -> None:
    answer = requests.request(method, engine.url + path, json={}, timeout=client.LONG)
    known = recorded.body("k06_404")["error"] | {"path": path}
    assert (answer.status_code, answer.json()) == (404, {"error": known})


@pytest.mark.parametrize("path", ["/v1/health", "/live", "/v1/models"])
def test_a_foreign_origin_is_refused_on_every_route(engine: Engine, path: str) -> None:
    answer = client.get(engine, path, headers={"Origin": "https://example.org"})
    assert (answer.status_code, answer.json()) == (403, recorded.body("k10_origin_bad"))


def test_a_local_origin_is_accepted(engine: Engine) -> None:
    assert client.get(engine, "/v1/health", headers={"Origin": "http://localhost:3000"}).ok


def test_head_of_health_is_200(engine: Engine) -> None:
    assert requests.head(engine.url + "/v1/health", timeout=client.LONG).status_code == 200


def test_options_is_204(engine: Engine) -> None:
    assert requests.options(engine.url + "/v1/chat/completions", timeout=client.LONG).status_code == 204


def test_a_connection_is_kept_after_an_answer_and_closed_after_an_error(engine: Engine) -> None:
    with requests.Session() as session:
        fine = session.get(engine.url + "/v1/health", timeout=client.LONG)
        refused = session.get(engine.url + "/v1/models/nope", timeout=client.LONG)
    assert fine.headers["Keep-Alive"] == "timeout=5, max=100"
    assert refused.headers["Connection"] == "close"


def test_downloads_are_a_bare_list(engine: Engine) -> None:
    assert client.get(engine, "/v1/downloads").json() == []


def test_a_pull_without_a_network_is_refused_with_a_code(engine: Engine) -> None:
    answer = client.post(engine, "/v1/pull", {"model_name": "Qwen3-0.6B-GGUF"})
    assert (answer.status_code, answer.json()["code"]) == (400, "lemond_offline")


def test_a_delete_of_an_unknown_model_is_422(engine: Engine) -> None:
    answer = client.post(engine, "/v1/delete", {"model_name": "nope"})
    assert (answer.status_code, answer.json()) == (422, {"error": "Model not found: nope"})
