"""A client that leaves frees the backend, whatever it was waiting for."""

from __future__ import annotations

import json
import socket

import pytest
import requests

from tests.support.app import App
from tests.support.waiting import eventually


def send_chat(app: App, model: str, stream: bool) -> socket.socket:
    body = {"model": model, "stream": stream, "max_tokens": 4000, "ignore_eos": True}
    raw = json.dumps({**body, "messages": [{"role": "user", "content": "count to a million"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(raw)}\r\n\r\n"
    connection = socket.create_connection(("127.0.0.1", app.port), timeout=60)
    connection.sendall(head.encode() + raw)
    return connection


def busy(backend_url: str) -> bool:
    slots = requests.get(f"{backend_url.removesuffix('/v1')}/slots", timeout=10).json()
    return any(slot["is_processing"] for slot in slots)


@pytest.mark.parametrize("stream", [True, False], ids=["streaming", "not streaming"])
def test_a_client_that_leaves_ends_the_generation(app: App, stream: bool) -> None:
    assert app.chat("primary").status_code == 200
    backend = app.slot_is("primary", "ready")["backend_url"]
    with send_chat(app, "primary", stream) as connection:
        if stream:
            assert b"200 OK" in connection.recv(4096)
        eventually(lambda: busy(backend), "the backend works")
        assert app.slot("primary")["state"] == "serving"
    eventually(lambda: app.slot("primary")["in_flight"] == 0, "the place is free again", within=15)
    # llama-server looks for closed connections after a second without results, and every /slots answer is one
    eventually(lambda: not busy(backend), "the backend stopped", within=30, every=2.5)


def test_a_client_that_leaves_while_its_model_waits_for_a_drain_is_forgotten(app: App) -> None:
    assert app.chat("primary").status_code == 200
    with send_chat(app, "primary", stream=True) as running:
        running.recv(4096)
        with send_chat(app, "second", stream=False):
            eventually(lambda: app.slot("second")["queued"] == 1, "the second waits")
        eventually(lambda: app.slot("second")["queued"] == 0, "the second is forgotten", within=15)
    assert app.chat("second").status_code == 200
