"""Every address that changes something refuses what does not come from hal0's own pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask

from hal0app.wiring import create_app

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
FILLED = {"act": "load", "path": "chat/completions"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    app = create_app({"HAL0_HOME": str(tmp_path_factory.mktemp("home"))})
    yield app
    app.extensions["hal0"].store.close()


def unsafe(app: Flask) -> list[tuple[str, str]]:
    """Every route that changes something, with something in the place of its variables."""
    found = []
    for rule in app.url_map.iter_rules():
        choices = re.findall(r"<any\(([^,)]+)[^)]*\):[a-z]+>", rule.rule)
        address = re.sub(r"<any\([^)]*\):[a-z]+>", choices[0] if choices else "", rule.rule)
        address = re.sub(r"<(?:[a-z]+:)?([a-z_]+)>", lambda match: FILLED.get(match[1], "x"), address)
        found += [(method, address) for method in sorted(UNSAFE & (rule.methods or set()))]
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_no_address_takes_a_change_from_another_site(app: Flask, headers: dict[str, str]) -> None:
    routes = unsafe(app)
    assert len(routes) > 30
    answers = {
        (method, address): app.test_client().open(address, method=method, headers=headers).status_code
        for method, address in routes
    }
    assert {route for route, status in answers.items() if status != 403} == set()


def test_no_form_of_ours_is_taken_from_whoever_does_not_say_who_he_is(app: Flask) -> None:
    pages = [(method, address) for method, address in unsafe(app) if not address.startswith(("/api/", "/v1/"))]
    assert len(pages) > 10
    answers = {route: app.test_client().open(route[1], method=route[0]).status_code for route in pages}
    assert {route for route, status in answers.items() if status != 403} == set()
