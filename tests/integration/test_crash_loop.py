"""A model that crashes again and again before it can answer is not loaded for ever."""

from __future__ import annotations

from tests.support import processes
from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually


def crash_before_its_first_answer(app: App, tiny: Engine, name: str) -> None:
    assert app.post(f"/api/slots/{name}/restart?wait=true").status_code == 200
    pid = next(one["pid"] for one in app.get("/api/residency").json()["residents"] if one["model"] == "chat-b")
    processes.kill(pid)


def test_a_crash_loop_latches_the_slot_until_a_person_clears_it(app: App, tiny: Engine) -> None:
    for _ in range(3):
        crash_before_its_first_answer(app, tiny, "second")
        assert app.chat("second").status_code == 200

    crash_before_its_first_answer(app, tiny, "second")
    refused = app.chat("second")

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "slot.error")
    slot = app.slot_is("second", "error", "crash_loop")
    assert slot["message"].startswith("chat-b crashed 4 times in 10 min before it could answer.")
    assert app.chat("second").json()["error"]["code"] == "slot.error"
    assert app.chat("primary").status_code == 200

    cleared = app.post("/api/slots/second/clear")
    assert cleared.json()["state"] in {"offline", "ready"}, cleared.text
    assert app.chat("second").status_code == 200
    assert app.slot_is("second", "ready")["loads"] > 4


def test_crashes_after_an_answer_are_only_crashes(app: App, tiny: Engine) -> None:
    for _ in range(6):
        assert app.chat("second").status_code == 200
        pid = eventually(lambda: tiny.residents().get("chat-b", {}).get("pid"), "it is resident")
        processes.kill(pid)
    assert app.chat("second").status_code == 200
    assert not [one for one in app.journal(slot="second", since=0) if one["data"].get("reason") == "load_failed"]
