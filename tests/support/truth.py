"""What must hold of a hal0 over a lemond whatever happens to it: checks that raise AssertionError."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from hal0app.core.reasons import CATALOGUE, Reason
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually

UP = {"ready", "serving", "idle"}
MOVING = {"starting", "unloading", "pulling"}
ERRORS = {Reason.LOAD_FAILED, Reason.REFUSED, Reason.CRASH_LOOP, Reason.INVALID_CONFIG}
QUIET_WITHIN_S = 45.0


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{\w+\\\}", ".*", re.escape(message)), re.DOTALL)


PATTERNS = {reason: _pattern(row.message) for reason, row in CATALOGUE.items()}


def explained(slot: Mapping[str, Any]) -> None:
    """An OFFLINE or ERROR slot says why, in the words of the catalogue; an error is one a person must act on."""
    if slot["state"] not in {"offline", "error"}:
        return
    assert slot["reason"], slot
    assert PATTERNS[Reason(slot["reason"])].fullmatch(slot["message"]), slot
    if slot["state"] == "error":
        assert slot["reason"] in ERRORS, slot


def agreeing(app: App, engine: Engine) -> bool:
    """Whether the slots say what lemond's health says, none of them stale, on the move or about to be."""
    health = engine.health()
    held = {one["model_name"]: one for one in health["all_models_loaded"]}
    slots = app.get("/api/slots").json()
    for slot in slots:
        here = held.get(slot["model"]) if slot["enabled"] else None
        if slot["stale_since"] or slot["state"] in MOVING or slot["in_flight"] or slot["queued"] or slot["operation"]:
            return False
        if (slot["state"] in UP) != (here is not None) or due(slot, held, health["max_models"]):
            return False
        if here is not None and (slot["backend_url"], slot["pinned"]) != (here["backend_url"], here["pinned"]):
            return False
    return True


def due(slot: Mapping[str, Any], held: Mapping[str, Any], places: Mapping[str, int]) -> bool:
    """Whether hal0 is about to bring the slot back by itself."""
    lost = slot["state"] == "offline" and CATALOGUE[Reason(slot["reason"])].lost and slot["on_evict"] == "restore"
    return lost and sum(one["type"] == slot["type"] for one in held.values()) < places[slot["type"]]


def quiet(app: App, engine: Engine) -> None:
    """Wait until hal0 and lemond agree, twice in a row; say what differs if they never do."""
    try:
        for _ in range(2):
            eventually(lambda: agreeing(app, engine), "hal0 shows what lemond holds", within=QUIET_WITHIN_S, every=0.1)
    except AssertionError as failure:
        shown = [{key: one[key] for key in SHOWN} for one in app.get("/api/slots").json()]
        raise AssertionError(f"{failure}\nslots: {shown}\nlemond: {engine.residents()}") from None


SHOWN = ("name", "model", "enabled", "state", "reason", "stale_since", "in_flight", "queued", "operation", "pinned")


def second_drift_is_clean(app: App) -> None:
    """Two checks of the drift checker with nothing happening: the second has nothing to write."""
    first, second = app.drift(), app.drift()
    assert first.returncode in {0, 3}, first
    assert second.returncode == 0, (first, second)


def only_movable_left(entries: Collection[Mapping[str, Any]], pinned: Collection[str]) -> None:
    """No model that was pinned all the time was unloaded to make room."""
    for one in entries:
        if one["kind"] == "slot.unload" and one["data"]["cause"]["reason"] == "displaced":
            assert one["model"] not in pinned, one
