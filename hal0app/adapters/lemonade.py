"""lemond's control plane over HTTP, a connection for each call, apart from what carries inference.

lemond ends an idle connection after 5 s, and one that is kept could end under a load, which nobody may send twice.

Facts: lemonade-contract.md sections 3 to 6. Loads block until the model is ready, so they have no read timeout of
their own beyond lemond's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from hal0app import errors

CONNECT_S = 3.0
READ_S = 15.0
LOAD_S = 900.0  # lemond gives up by itself after global_timeout (600 s), once more after the wipe's retry


class LemonadeClient:
    """The control calls hal0 makes. Raises `lemonade.unavailable` or `lemonade.refused` (details: status, type)."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def load(self, body: Mapping[str, Any]) -> None:
        """Load a model and wait until it is ready; a refusal may have wiped every resident."""
        self._call("POST", "/v1/load", LOAD_S, json=dict(body))

    def unload(self, model: str) -> bool:
        """Unload `model` by name and wait; False when it was not loaded. Never called with an empty name."""
        if not model:
            raise ValueError("an unload without a name would unload every model")
        answer = self._send("POST", "/v1/unload", LOAD_S, json={"model_name": model})
        if answer.status_code == 404:
            return False
        checked(answer)
        return True

    def pin(self, model: str, pinned: bool) -> None:
        """Protect a resident from lemond's LRU, or stop protecting it."""
        self._call("POST", "/internal/pin", READ_S, json={"model_name": model, "pinned": pinned})

    def config(self) -> dict[str, Any]:
        """lemond's whole configuration."""
        return self._call("GET", "/internal/config", READ_S)

    def config_defaults(self) -> dict[str, Any]:
        """What the configuration is where nothing was changed; empty when this lemond does not tell."""
        answer = self._send("GET", "/internal/config/defaults", READ_S)
        return checked(answer) if answer.ok else {}

    def set_config(self, changes: Mapping[str, Any]) -> None:
        """Change keys of the configuration, all of them or none; lemond writes them to its file."""
        self._call("POST", "/internal/set", READ_S, json=dict(changes))

    def models(self) -> list[dict[str, Any]]:
        """The rows of `/v1/models`: what is downloaded."""
        rows = self._call("GET", "/v1/models", READ_S).get("data")
        if not isinstance(rows, list):
            return []
        return [row for row in rows if isinstance(row, dict) and row.get("id")]

    def model(self, model: str) -> dict[str, Any] | None:
        """One model by id, downloaded or not; None when lemond does not know it."""
        answer = self._send("GET", f"/v1/models/{quote(model, safe='')}", READ_S)
        if answer.status_code == 404:
            return None
        row: dict[str, Any] = checked(answer)
        return row

    def installed_backends(self, recipe: str) -> frozenset[str]:
        """The backends of `recipe` that are ready for use on this machine."""
        recipes = self._call("GET", "/v1/system-info", READ_S).get("recipes") or {}
        backends = recipes.get(recipe, {}).get("backends", {})
        usable = {"installed", "update_available"}
        return frozenset(name for name, facts in backends.items() if facts.get("state") in usable)

    def _call(self, method: str, path: str, read_s: float, **more: Any) -> dict[str, Any]:
        return checked(self._send(method, path, read_s, **more))

    def _send(self, method: str, path: str, read_s: float, **more: Any) -> requests.Response:
        try:
            with requests.Session() as session:
                session.trust_env = False
                session.headers.update(self._headers)
                return session.request(method, self._url + path, timeout=(CONNECT_S, read_s), **more)
        except requests.RequestException as problem:
            raise errors.error(
                "lemonade.unavailable",
                f"Lemonade at {self._url} does not answer ({type(problem).__name__}). Is lemond running?",
                retry_after=5,
            ) from problem


def checked(answer: requests.Response) -> dict[str, Any]:
    """The object in an answer, empty when there is none. Raises `lemonade.refused` for an error."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if answer.status_code >= 400:
        raise _refused(answer.status_code, body)
    return body if isinstance(body, dict) else {}


def _refused(status: int, body: Any) -> errors.Hal0Error:
    """lemond's refusal; its error is a text or an object (shapes A to C of the contract's section 4)."""
    told = body.get("error") if isinstance(body, dict) else None
    text = told.get("message") if isinstance(told, dict) else told
    kind = (told.get("code") or told.get("type")) if isinstance(told, dict) else None
    message = str(text or f"Lemonade answered {status}")
    return errors.error("lemonade.refused", message, upstream_status=status, upstream_type=kind)
