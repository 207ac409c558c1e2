"""What no slot claims falls through, streaming, to Lemonade."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import models
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.waiting import eventually


def newest_record(app: App) -> dict[str, Any]:
    found: list[dict[str, Any]] = eventually(lambda: app.get("/api/requests").json(), "the request is on record")
    return found[0]


def test_a_model_that_no_slot_names_is_served_streaming(lemonade: Engine) -> None:
    with hal0(lemonade.url, {"only": {"type": "llm", "model": "gemma-a"}}) as app:
        answer = app.chat("gemma-c", max_tokens=12, stream=True)
        assert answer.status_code == 200, answer.text
        assert newest_record(app)["route"] == "fallback"  # a sign of life may be before its head
        events = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]"
        assert len([one for one in events[:-1] if json.loads(one)["choices"]]) > 2


def test_reading_paths_of_lemond_pass_for_everyone(app: App, lemonade: Engine) -> None:
    for path in ("/v1/health", "/v1/system-info", "/api/v1/health", "/v1/models/gemma-b"):
        assert app.get(path).status_code == 200, path
    assert app.get("/v1/health").json()["version"] == lemonade.health()["version"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/load"),
        ("POST", "/v1/unload"),
        ("POST", "/api/v1/pull"),
        ("POST", "/v1/delete"),
        ("GET", "/v1/params"),
        ("POST", "/v1/params"),
        ("POST", "/v1/install"),
        ("GET", "/v1/downloads"),
        ("POST", "/v1/models/register"),
        ("POST", "/v1/jobs"),
    ],
)
def test_control_paths_of_lemond_need_the_admin_key(app: App, method: str, path: str) -> None:
    answer = requests.request(method, app.url + path, json={"model_name": "gemma-a"}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "auth.admin_required")


def test_with_the_admin_key_a_program_controls_lemond_by_its_own_api_and_hal0_sees_what_it_did(
    lemonade: Engine, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "admin.key").write_text("a-key-of-this-test")
    with hal0(lemonade.url, {"primary": {"type": "llm", "model": "gemma-a"}}, home=tmp_path) as app:
        for path, state in (("/v1/load", "ready"), ("/api/v1/unload", "offline"), ("/v1/load", "ready")):
            for key, status in (("another key", 403), ("a-key-of-this-test", 200)):
                shown = {"Authorization": f"Bearer {key}"}
                answer = app.post(path, {"model_name": "gemma-a"}, headers=shown)
                assert answer.status_code == status, answer.text
            app.slot_is("primary", state)
        shown = {"Authorization": "Bearer a-key-of-this-test"}
        assert app.get("/v1/internal/config", headers=shown).status_code == 404


@pytest.mark.parametrize("path", ["/internal/config", "/v1/internal/config", "/v1/../internal/config", "/v1/nonsense"])
def test_paths_that_are_nobodys_business_do_not_exist(app: App, path: str) -> None:
    request = requests.Request("GET", app.url).prepare()
    request.url = app.url + path
    with requests.Session() as session:
        assert session.send(request, timeout=10).status_code == 404


@pytest.fixture(scope="module")
def mortal(start_engine: Callable[..., AbstractContextManager[Engine]]) -> Iterator[Engine]:
    with start_engine(max_loaded_models=1, models={"chat-a": models.chat(), "chat-b": models.chat()}) as engine:
        yield engine


def test_without_lemond_a_request_is_told_to_retry_and_with_it_again_it_is_served(mortal: Engine) -> None:
    with hal0(mortal.url, {"primary": {"type": "llm", "model": "chat-a"}}) as app:
        assert app.chat("primary").status_code == 200
        assert app.chat("chat-b").status_code == 200
        app.slot_is("primary", "offline", "displaced")
        mortal.kill9()

        for model in ("primary", "chat-b", "nobody"):
            answer = app.chat(model)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "lemonade.unavailable"), model
            assert int(answer.headers["Retry-After"]) > 0
        assert app.get("/readyz").status_code == 503
        stale = app.slot("primary")
        assert (stale["state"], stale["reason"]) == ("offline", "displaced")
        assert stale["stale_since"]

        mortal.start()
        assert app.chat("primary").status_code == 200
        assert app.slot_is("primary", "ready")["stale_since"] is None
        unknown = app.chat("nobody")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "dispatch.no_route")
        assert "chat-a" in unknown.json()["error"]["message"]


def test_a_slot_whose_lemond_died_is_stale_and_then_restarted_never_error(mortal: Engine) -> None:
    with hal0(mortal.url, {"primary": {"type": "llm", "model": "chat-a"}}) as app:
        assert app.chat("primary").status_code == 200
        app.slot_is("primary", "ready")
        mortal.kill9()
        app.link_is("down")
        kept = app.slot("primary")
        assert (kept["state"], bool(kept["stale_since"])) == ("ready", True)
        mortal.start()
        assert app.slot_is("primary", "offline", "lemond_restarted")["message"] == (
            "lemond restarted (reloads on next request)"
        )
        assert app.chat("primary").status_code == 200
