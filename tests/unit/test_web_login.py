"""Signing in with the admin key: the cookie, what it allows, and how often one may try."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from hal0app.core import session
from hal0app.services.tries import ADDRESSES, TRIES, WITHIN_S, Tries
from hal0app.web.events import SIGN_IN, _Stream
from hal0app.web.login_pages import _local
from hal0app.wiring import create_app
from tests.unit.fakes import HandClock

KEY = "a-long-secret"
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}
OURS = {"Origin": "http://localhost"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[FlaskClient]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/admin.key").write_text(f"{KEY}\n")
    app = create_app({"HAL0_HOME": str(tmp_path)})
    yield app.test_client()
    app.extensions["hal0"].store.close()


def post(client: FlaskClient, path: str, headers: dict[str, str] | None = None, **form: Any) -> TestResponse:
    return client.post(path, data=form, headers=headers or OURS, environ_overrides=ELSEWHERE)


def get(client: FlaskClient, path: str) -> TestResponse:
    return client.get(path, environ_overrides=ELSEWHERE)


def test_a_browser_that_was_given_the_key_may_change_things_until_it_signs_out(client: FlaskClient) -> None:
    assert "data-readonly" in get(client, "/slots").text
    assert post(client, "/slots/none/load").status_code == 401
    answer = post(client, "/login", key=f" {KEY} ", next="/slots?said=x")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/slots?said=x")
    told = answer.headers["Set-Cookie"]
    assert told.startswith("hal0-session=")
    assert {"HttpOnly", "Path=/", "SameSite=Lax", "Max-Age=2592000"} <= set(told.split("; "))
    assert KEY not in told
    page = get(client, "/slots").text
    assert "data-readonly" not in page
    assert "signed=1" in page
    assert post(client, "/slots/none/load").status_code == 404
    post(client, "/logout")
    assert post(client, "/slots/none/load").status_code == 401


def test_a_cookie_is_no_proof_of_who_sends_a_change(client: FlaskClient) -> None:
    post(client, "/login", key=KEY)
    change = {"json": {}, "environ_overrides": ELSEWHERE}
    assert client.post("/api/slots/none/load", **change).status_code == 401
    assert client.post("/api/slots/none/load", headers={"Origin": "http://evil.example"}, **change).status_code == 403
    assert client.post("/api/slots/none/load", headers=OURS, **change).status_code == 404


def test_a_wrong_key_is_refused_and_tries_are_few(client: FlaskClient) -> None:
    for _ in range(TRIES):
        answer = post(client, "/login", key="wrong")
        assert (answer.status_code, "That is not the admin key." in answer.text) == (403, True)
        assert "Set-Cookie" not in answer.headers
    answer = post(client, "/login", key=KEY)
    assert (answer.status_code, "Too many tries. Wait 1 minute." in answer.text) == (429, True)
    told = client.get("/api/journal?kind=auth.refused").get_json()
    assert {one["message"] for one in told} == {"a wrong admin key was tried from 192.0.2.7"}


def test_an_address_that_the_sender_made_up_gives_no_more_tries(client: FlaskClient) -> None:
    answers = [post(client, "/login", {**OURS, "X-Forwarded-For": f"10.0.0.{n}"}, key="wrong") for n in range(6)]
    assert answers[-1].status_code == 429


def test_a_form_of_another_site_signs_nobody_in(client: FlaskClient) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"X-Nothing": "x"}):
        assert post(client, "/login", headers, key=KEY).status_code == 403


def test_a_hal0_without_a_key_says_how_to_get_one(tmp_path: Path) -> None:
    app = create_app({"HAL0_HOME": str(tmp_path)})
    client = app.test_client()
    for path in ("/", "/login"):
        assert "put one into" in get(client, path).text.lower()
    assert post(client, "/login", key="").status_code == 403
    assert "data-readonly" not in client.get("/").text
    app.extensions["hal0"].store.close()


@pytest.mark.parametrize("path", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/login", "/a\nb"])
def test_one_is_sent_to_our_own_pages_only(path: str) -> None:
    assert _local(path) == "/"
    assert _local("/slots?x=1") == "/slots?x=1"


def test_a_cookie_ends_after_its_time_with_another_key_and_when_it_was_touched() -> None:
    cookie = session.issue(KEY, 1000.0)
    assert session.holds(cookie, KEY, 1000.0 + session.LASTS_S - 1)
    assert not session.holds(cookie, KEY, 1000.0 + session.LASTS_S)
    assert not session.holds(cookie, "another", 1000.0)
    until, _, signature = cookie.partition(".")
    for touched in (f"{int(until) + 1}.{signature}", f"{until}.{signature[:-1]}", until, "", "x.y", f".{signature}"):
        assert not session.holds(touched, KEY, 1000.0)


def test_tries_are_counted_for_each_address_and_forgotten_after_a_minute() -> None:
    clock = HandClock()
    tries = Tries(clock)
    assert [tries.take("a") for _ in range(TRIES + 1)] == [True] * TRIES + [False]
    assert tries.take("b")
    clock.pass_s(WITHIN_S)
    assert tries.take("a")
    for number in range(ADDRESSES):
        tries.take(str(number))
    assert len(tries._tried) == ADDRESSES


def test_a_stream_of_somebody_whose_right_ended_sends_the_page_to_sign_in() -> None:
    class Frames:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"1", b"2", b"3"])

    holds = iter([True, False])
    stream = _Stream(Frames(), lambda: False, None, lambda: next(holds))  # type: ignore[arg-type]
    assert list(stream) == [b"1", SIGN_IN]
