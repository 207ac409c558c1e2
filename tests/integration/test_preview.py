"""What a load or a swap would do is told before it is done, and nothing is done."""

from __future__ import annotations

from tests.support.app import App
from tests.support.engines import Engine
from tests.support.waiting import eventually


def preview(app: App, name: str, model: str | None = None) -> dict[str, object]:
    answer = app.get(f"/api/slots/{name}/preview", params={"model": model} if model else {})
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def test_a_preview_names_who_would_leave_and_evicts_nobody(app: App, tiny: Engine) -> None:
    assert app.chat("primary").status_code == 200
    assert app.chat("second").status_code == 200
    eventually(lambda: set(tiny.residents()) >= {"chat-a", "chat-b"}, "both are resident")

    other = preview(app, "empty", "chat-c")
    assert (other["leaves"], other["refusal"], other["loaded"]) == (["chat-a"], None, False)
    swapped = preview(app, "second", "chat-c")
    assert swapped["leaves"] == ["chat-b"]
    assert preview(app, "second")["loaded"] is True
    assert set(tiny.residents()) >= {"chat-a", "chat-b"}


def test_a_preview_tells_what_speaks_against_the_load(app: App) -> None:
    told = preview(app, "empty", "broken")["refusal"]
    assert isinstance(told, dict)
    assert told["code"] == "model.corrupt"
    unknown = preview(app, "empty", "nobody-has-this")["refusal"]
    assert isinstance(unknown, dict)
    assert unknown["code"] == "model.unknown"


def test_a_preview_estimates_the_memory(app: App) -> None:
    memory = preview(app, "second")["memory"]
    assert isinstance(memory, dict)
    assert 0 < memory["needs"] < memory["free"]


def test_an_empty_slot_has_no_preview_of_its_own(app: App) -> None:
    answer = app.get("/api/slots/empty/preview")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "slot.no_model")
