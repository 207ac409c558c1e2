"""api/admin: changes from other machines need the admin key, and nothing else does."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from hal0app.api.admin import HARMLESS
from hal0app.wiring import create_app

KEY = "a-long-secret"
ELSEWHERE = "192.0.2.7"
CHANGE = "/api/slots/unknown/unload"


def served(home: Path, settings: str = "") -> Iterator[FlaskClient]:
    (home / "etc").mkdir()
    (home / "etc/hal0.toml").write_text(settings)
    app = create_app({"HAL0_HOME": str(home)})
    yield app.test_client()
    app.extensions["hal0"].store.close()


@pytest.fixture
def keyless(tmp_path: Path) -> Iterator[FlaskClient]:
    yield from served(tmp_path)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/admin.key").write_text(f"{KEY}\n")
    app = create_app({"HAL0_HOME": str(tmp_path)})
    yield app.test_client()
    app.extensions["hal0"].store.close()


def change(client: FlaskClient, sender: str = ELSEWHERE, headers: dict[str, str] | None = None) -> int:
    """The status of a change: 404 where it was let through, for there is no such slot."""
    return client.post(CHANGE, json={}, headers=headers, environ_overrides={"REMOTE_ADDR": sender}).status_code


@pytest.mark.parametrize("sender", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_no_key(client: FlaskClient, sender: str) -> None:
    assert change(client, sender) == 404


@pytest.mark.parametrize("sender", [ELSEWHERE, "::ffff:192.0.2.7", "2001:db8::1", ""])
def test_another_machine_needs_the_key(client: FlaskClient, sender: str) -> None:
    answer = client.post(CHANGE, json={}, environ_overrides={"REMOTE_ADDR": sender})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (401, "auth.key_required")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert change(client, sender, {"Authorization": f"Bearer {KEY}"}) == 404


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anyone:{password}".encode()).decode()}


def test_a_browser_sends_the_key_as_a_password(client: FlaskClient) -> None:
    assert change(client, headers=basic("wrong")) == 401
    assert change(client, headers=basic(KEY)) == 404


@pytest.mark.parametrize(
    "given", ["Bearer", "Bearer wrong", "Bearer a-long-secret2", "Basic !", "Digest x", "\u00fc", ""]
)
def test_a_wrong_key_opens_nothing(client: FlaskClient, given: str) -> None:
    assert change(client, headers={"Authorization": given}) == 401


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
def test_what_a_proxy_on_this_machine_hands_on_is_not_local(client: FlaskClient, header: str) -> None:
    assert change(client, "127.0.0.1", {header: "127.0.0.1"}) == 401


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[FlaskClient]:
    yield from served(tmp_path, '[server]\ntrusted_proxies = ["127.0.0.1", "10.0.0.0/8"]\n')


@pytest.mark.parametrize("claimed", ["127.0.0.1", "::1", "10.0.0.5", "192.0.2.7"])
@pytest.mark.parametrize("proxy", ["127.0.0.1", "10.0.0.1"])
def test_no_client_of_a_trusted_proxy_counts_as_this_machine(proxied: FlaskClient, proxy: str, claimed: str) -> None:
    assert change(proxied, proxy, {"X-Forwarded-For": claimed}) == 401
    assert change(proxied, "127.0.0.1") == 404  # a program of this machine


@pytest.mark.parametrize(("sender", "allowed"), [("10.0.0.1", True), ("192.0.2.7", False)])
def test_a_page_over_https_may_change_things_through_a_trusted_proxy_only(
    tmp_path: Path, sender: str, allowed: bool
) -> None:
    for client in served(tmp_path, '[server]\ntrusted_proxies = ["10.0.0.0/8"]\n[auth]\nmode = "open"\n'):
        headers = {"Origin": "https://localhost", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.9"}
        assert change(client, sender, headers) == (404 if allowed else 403)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_asked_what_is_told_to_the_operator_only(client: FlaskClient, method: str) -> None:
    def asked(sender: str, **headers: str) -> int:
        return client.open(
            "/api/requests", method=method, headers=headers, environ_overrides={"REMOTE_ADDR": sender}
        ).status_code

    assert asked(ELSEWHERE) == 401
    assert asked(ELSEWHERE, Authorization=f"Bearer {KEY}") == 200
    assert asked("127.0.0.1") == 200
    assert asked("127.0.0.1", **{"X-Forwarded-For": "127.0.0.1"}) == 401


def test_without_a_key_nobody_elsewhere_may_change_anything(keyless: FlaskClient) -> None:
    assert change(keyless) == 401
    assert change(keyless, headers={"Authorization": "Bearer "}) == 401
    assert change(keyless, headers={"Authorization": "Bearer None"}) == 401
    assert change(keyless, "127.0.0.1") == 404


def test_an_open_hal0_asks_for_no_key(tmp_path: Path) -> None:
    for client in served(tmp_path, '[auth]\nmode = "open"\n'):
        assert change(client) == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/slots"), ("GET", "/healthz"), ("GET", "/")])
def test_reading_needs_no_key(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(path, method=method, environ_overrides={"REMOTE_ADDR": ELSEWHERE}).status_code == 200


def test_inference_needs_no_key(client: FlaskClient) -> None:
    answer = client.post("/v1/chat/completions", json={}, environ_overrides={"REMOTE_ADDR": ELSEWHERE})
    assert answer.status_code != 401


def test_every_route_that_changes_something_asks_for_the_key(client: FlaskClient) -> None:
    """Whatever route is added: one that is not inference and not safe is refused from elsewhere."""
    asked = 0
    for rule in client.application.url_map.iter_rules():
        path = rule.rule.replace("<", "").replace(">", "").replace("path:", "")
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}:
            if path.startswith(("/v1/", "/api/v1/")) or path in HARMLESS:
                continue
            asked += 1
            answer = client.open(path, method=method, environ_overrides={"REMOTE_ADDR": ELSEWHERE})
            assert answer.status_code == 401, (method, path)
    assert asked > 10
