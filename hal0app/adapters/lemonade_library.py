"""lemond's models and backends on disk: list, pull, delete, install, and the downloads it owns.

Facts: lemonade-contract.md sections 5 and 7, and a real lemond 2026.39.1. A pull or install with `subscribe: false` is
lemond's own job: it answers at once with the job's row, and `/v1/downloads` tells how it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hal0app.adapters.lemonade import READ_S, LemonadeClient, checked
from hal0app.errors import LemonadeError

INFO_S = 30.0  # system-info looks for hardware
DELETE_S = 120.0  # lemond unloads the model first and tries three times when a file is held
JOB = {"stream": True, "subscribe": False}


class LemonadeLibrary(LemonadeClient):
    """Everything of LemonadeClient, and what changes the disk. Raises the same errors."""

    def registry(self) -> list[dict[str, Any]]:
        """The rows of all models that lemond knows for this machine, downloaded or not."""
        rows = self._call("GET", "/v1/models?show_all=true", READ_S).get("data")
        return [row for row in rows if isinstance(row, dict) and row.get("id")] if isinstance(rows, list) else []

    def delete(self, model: str) -> None:
        """Delete the files of a model that lemond downloaded; it refuses for files that a person put there."""
        self._call("POST", "/v1/delete", DELETE_S, json={"model_name": model})

    def pull(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Start a download and return its row; `wanted` has model_name, perhaps checkpoint and recipe."""
        return self._call("POST", "/v1/pull", READ_S, json={**wanted, **JOB})

    def downloads(self) -> list[dict[str, Any]]:
        """The downloads of models and backends; one that is complete leaves the list after 30 s."""
        answer = self._send("GET", "/v1/downloads", READ_S)
        if answer.status_code == 404:
            return []  # a lemond without them
        rows = answer.json() if answer.ok else checked(answer)
        return [row for row in rows if isinstance(row, dict) and row.get("id")]

    def control_download(self, id_: str, action: str) -> bool:
        """`pause`, `cancel` or `remove` a download; False when there is none of this id."""
        try:
            self._call("POST", "/v1/downloads/control", READ_S, json={"id": id_, "action": action})
        except LemonadeError as refused:
            if refused.details.get("upstream_status") == 404:
                return False
            raise
        return True

    def recipes(self) -> dict[str, Any]:
        """The recipes of `/v1/system-info`, each with its backends."""
        recipes: dict[str, Any] = self._call("GET", "/v1/system-info", INFO_S).get("recipes") or {}
        return recipes

    def install(self, recipe: str, backend: str) -> dict[str, Any]:
        """Start to install a backend; the row of its download, or `{"action": URL}` when a person has to do it."""
        wanted = {"recipe": recipe, "backend": backend, **JOB}
        return self._call("POST", "/v1/install", INFO_S, json=wanted)
