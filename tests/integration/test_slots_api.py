"""`/api/slots`: list, define, change, delete, load, unload, swap."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.support.app import App
from tests.support.engines import Engine, free_port
from tests.support.waiting import eventually

KEYS = {
    *("name", "type", "device", "model", "port", "enabled", "default", "pinned", "priority", "on_evict", "state"),
    *("reason", "message", "since", "stale_since", "displaced_by", "backend_url", "recipe", "ctx_size", "labels"),
    *("in_flight", "queued", "last_used_at", "loads", "evictions", "last_load_ms", "operation", "version"),
    *("ttft_ms", "tokens_per_s", "memory_bytes", "kv_usage"),
}


def patch(app: App, name: str, changes: object, **headers: str) -> requests.Response:
    return requests.patch(f"{app.url}/api/slots/{name}", json=changes, headers=headers, timeout=30)


def delete(app: App, name: str, **headers: str) -> requests.Response:
    return requests.delete(f"{app.url}/api/slots/{name}", headers=headers, timeout=30)


def test_every_slot_is_listed_the_damaged_one_with_its_problem(app: App) -> None:
    slots = {slot["name"]: slot for slot in app.get("/api/slots").json()}
    assert list(slots) == ["damaged", "embed", "empty", "primary", "second"]
    assert all(set(slot) >= KEYS for slot in slots.values())
    assert (slots["damaged"]["state"], slots["damaged"]["reason"]) == ("error", "invalid_config")
    assert "unknown key 'modle'; did you mean 'model'?" in slots["damaged"]["message"]
    assert (slots["empty"]["state"], slots["empty"]["reason"]) == ("offline", "no_model")
    assert slots["second"]["message"] == "not loaded yet (loads on the next request)"


def test_a_damaged_slot_refuses_requests_and_mends_when_its_file_is_mended(app: App) -> None:
    refused = app.chat("damaged")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "slot.error")
    assert "modle" in refused.json()["error"]["message"]
    file = app.home / "etc" / "slots" / "damaged.toml"
    damaged = file.read_text()
    file.write_text('type = "llm"\nmodel = "chat-c"\n')
    try:
        app.slot_is("damaged", "offline", "never_loaded")
    finally:
        file.write_text(damaged)
    app.slot_is("damaged", "error", "invalid_config")


def test_a_slot_is_made_changed_and_deleted(app: App) -> None:
    made = app.post("/api/slots", {"name": "extra", "type": "llm", "model": {"default": "chat-c"}, "priority": 10})
    assert made.status_code == 201, made.text
    assert (made.json()["model"], made.json()["state"], made.json()["priority"]) == ("chat-c", "offline", 10)
    file = app.home / "etc" / "slots" / "extra.toml"
    file.write_text("# mine\n" + file.read_text())

    changed = patch(app, "extra", {"priority": None, "enabled": False, "labels": ["a"]})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["priority"], changed.json()["reason"]) == (50, "disabled")
    assert file.read_text().startswith("# mine\n")
    assert app.chat("extra").json()["error"]["code"] == "slot.disabled"

    assert delete(app, "extra").status_code == 204
    assert app.get("/api/slots/extra").status_code == 404
    assert not file.exists()
    kinds = [one["message"] for one in app.journal(kind="slot.config", slot="extra")]
    assert kinds == ["slot extra was created", "slot extra was changed", "slot extra was deleted"]


def test_an_edit_of_what_somebody_else_changed_meanwhile_is_refused(app: App) -> None:
    etag = app.get("/api/slots/second").headers["ETag"]
    assert patch(app, "second", {"priority": 60}, **{"If-Match": etag}).status_code == 200
    late = patch(app, "second", {"priority": 70}, **{"If-Match": etag})
    assert (late.status_code, late.json()["error"]["code"]) == (412, "request.conflict")
    assert app.slot("second")["priority"] == 60
    etag = app.get("/api/slots/second").headers["ETag"]
    assert patch(app, "second", {"priority": 61}, **{"If-Match": f"W/{etag}"}).status_code == 412
    assert patch(app, "second", {"priority": 61}, **{"If-Match": f'"another", {etag}'}).status_code == 200
    assert patch(app, "second", {"priority": 50}, **{"If-Match": "*"}).status_code == 200


def test_a_change_that_breaks_the_schema_changes_nothing(app: App) -> None:
    before = app.slot("second")
    for changes in ({"queue": -1}, {"modle": "x"}, {"type": None}, {"name": "other"}):
        assert patch(app, "second", changes).json()["error"]["code"] == "slot.invalid"
    assert app.slot("second") == before


def test_a_second_default_of_a_type_demotes_the_first(app: App) -> None:
    assert patch(app, "second", {"default": True}).status_code == 200
    eventually(lambda: not app.slot("primary")["default"], "the first is demoted")
    assert patch(app, "primary", {"default": True}).status_code == 200
    eventually(lambda: not app.slot("second")["default"], "and back")


def test_a_seeded_slot_cannot_be_deleted(app: App) -> None:
    refused = delete(app, "primary")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "slot.seeded")


def how_it_ends(app: App, where: str) -> dict[str, Any]:
    """What becomes of an operation; it is known from the moment on that it was answered with."""

    def told() -> dict[str, Any]:
        answer = app.get(where)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert told()["status"] in {"queued", "running", "done", "failed"}
    eventually(lambda: told()["status"] in {"done", "failed"}, "it ended")
    return told()


def test_load_and_unload_are_operations_with_an_id_and_an_end(app: App) -> None:
    started = app.post("/api/slots/second/load")
    assert started.status_code == 202
    where = started.headers["Location"]

    assert how_it_ends(app, where)["slot"] == "second"
    app.slot_is("second", "ready")

    answer = app.post("/api/slots/second/unload?wait=true", headers={"X-hal0-Agent": "a test"})
    assert answer.status_code == 200, answer.text
    slot = answer.json()
    assert (slot["state"], slot["reason"], slot["message"]) == ("offline", "operator", "unloaded by a test")
    again = app.post("/api/slots/second/unload?wait=true")
    assert again.json()["reason"] == "operator"


def test_an_operation_that_has_nothing_to_do_or_is_refused_is_told_as_well(app: App) -> None:
    def asked(act: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        started = app.post(f"/api/slots/second/{act}", body)
        assert started.status_code == 202, started.text
        return how_it_ends(app, started.headers["Location"])

    assert app.post("/api/slots/second/load?wait=true").status_code == 200
    nothing = asked("load")
    assert (nothing["kind"], nothing["model"], nothing["slot"]) == ("load", "chat-b", "second")
    assert (nothing["status"], nothing["error"], nothing["cause"]["who"]) == ("done", None, "you")
    assert nothing["started_at"] <= nothing["finished_at"]
    unknown = asked("swap", {"model": "nobody-has-this"})
    assert (unknown["kind"], unknown["model"]) == ("load", "nobody-has-this")
    assert (unknown["status"], unknown["error"]["code"]) == ("failed", "model.unknown")
    assert (asked("restart")["status"], asked("unload")["status"]) == ("done", "done")


def test_a_load_that_cannot_be_says_why(app: App) -> None:
    for name, code in (("empty", "slot.no_model"), ("damaged", "slot.invalid"), ("nobody", "slot.not_found")):
        assert app.post(f"/api/slots/{name}/load").json()["error"]["code"] == code
    assert patch(app, "empty", {"model": "nobody-has-this"}).status_code == 200
    refused = app.post("/api/slots/empty/load?wait=true")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model.unknown")
    assert patch(app, "empty", {"model": "rerank-a"}).status_code == 200
    refused = app.post("/api/slots/empty/load?wait=true")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model.type_mismatch")
    assert patch(app, "empty", {"model": None}).status_code == 200


def test_a_load_that_fails_makes_an_error_with_its_cause_until_the_definition_changes(app: App) -> None:
    assert patch(app, "empty", {"model": "unloadable"}).status_code == 200
    failed = app.post("/api/slots/empty/load?wait=true")
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "model.load_failed")
    slot = app.slot_is("empty", "error", "load_failed")
    assert slot["message"].startswith("loading unloadable failed: ")
    served = app.chat("empty")
    assert (served.status_code, served.json()["error"]["code"]) == (503, "slot.error")
    assert ("Retry-After" in served.headers, served.headers["X-Should-Retry"]) == (False, "false")
    assert patch(app, "empty", {"model": None}).status_code == 200
    app.slot_is("empty", "offline", "no_model")


def test_a_swap_that_works_is_kept_and_one_that_fails_is_not(app: App, tiny: Engine) -> None:
    assert app.chat("second").status_code == 200
    swapped = app.post("/api/slots/second/swap?wait=true", {"model": "chat-c"})
    assert swapped.status_code == 200, swapped.text
    assert (swapped.json()["model"], swapped.json()["state"]) == ("chat-c", "ready")
    assert 'model = "chat-c"' in (app.home / "etc" / "slots" / "second.toml").read_text()

    failed = app.post("/api/slots/second/swap?wait=true", {"model": "unloadable"})
    assert (failed.status_code, failed.json()["error"]["code"]) == (502, "model.load_failed")
    slot = app.slot_is("second", "ready")
    assert slot["model"] == "chat-c"
    assert "chat-c" in tiny.residents()

    assert app.post("/api/slots/second/swap?wait=true", {"model": "chat-b"}).status_code == 200
    assert app.post("/api/slots/second/swap", {}).json()["error"]["code"] == "request.missing_field"


def test_the_residency_is_what_lemond_holds(app: App, tiny: Engine) -> None:
    assert app.chat("primary").status_code == 200
    told = eventually(lambda: _settled(app, tiny), "both agree")
    assert (told["link"], told["stale"], told["version"]) == ("up", False, tiny.health()["version"])


def _settled(app: App, tiny: Engine) -> dict[str, object] | None:
    told: dict[str, object] = app.get("/api/residency").json()
    names = {one["model"] for one in told["residents"]}  # type: ignore[attr-defined]
    return told if names == set(tiny.residents()) else None


@pytest.mark.parametrize("query", ["since=x", "since=-1", "limit=x", "limit=0", "level=warn", "levl=error"])
def test_what_the_journal_cannot_be_asked_for_is_refused(app: App, query: str) -> None:
    answer = app.get(f"/api/journal?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "request.invalid_field"), answer.text
    assert answer.json()["error"]["param"] == query.partition("=")[0]


def test_the_journal_is_read_by_id_and_filtered(app: App) -> None:
    assert app.chat("primary").status_code == 200
    entries = app.journal(limit=3)
    assert len(entries) == 3
    assert [one["id"] for one in entries] == sorted(one["id"] for one in entries)
    later = app.journal(since=entries[0]["id"], limit=1)
    assert later[0]["id"] == entries[1]["id"]
    assert app.journal(q="no such text'; DROP TABLE journal; --") == []
    assert {one["slot"] for one in app.journal(slot="primary")} == {"primary"}


def test_a_second_hal0_with_the_same_home_refuses_to_start(app: App) -> None:
    second = App(app.home, free_port(), app.lemonade_url)
    with second.log.open("ab"):
        pass
    try:
        second.start()
    except (RuntimeError, AssertionError):
        assert "runs already with this home" in second.log.read_text()
    else:
        raise AssertionError("two workers run over one home")
    finally:
        second.stop()
    assert app.get("/healthz").ok


def test_what_the_preflight_refuses_is_told_on_the_slot_once_and_mends_itself(app: App) -> None:
    assert patch(app, "empty", {"model": "nobody-has-this"}).status_code == 200
    for _ in range(3):
        assert app.chat("empty").json()["error"]["code"] == "model.unknown"
    slot = app.slot_is("empty", "offline", "not_downloaded")
    assert "nobody-has-this" in slot["message"]
    assert len([one for one in app.journal(slot="empty", kind="slot.load") if one["model"] == "nobody-has-this"]) == 1

    assert patch(app, "empty", {"model": "broken"}).status_code == 200
    assert app.chat("empty").json()["error"]["code"] == "model.corrupt"
    slot = app.slot_is("empty", "error", "refused")
    assert slot["message"].startswith("broken cannot be loaded: ")
    assert app.chat("empty").json()["error"]["code"] == "model.corrupt"

    assert patch(app, "empty", {"model": "chat-c"}).status_code == 200
    assert app.chat("empty").status_code == 200
    assert patch(app, "empty", {"model": None}).status_code == 200
    app.slot_is("empty", "offline", "no_model")
