"""The chat page in a browser: an answer as it comes, a stop, a failure, and no markup out of a model's mouth."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Request, Route, expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.support.app import hal0, write_slots

OpenTab = Callable[..., Tab]


@pytest.fixture
def tab(box: Box, open_tab: OpenTab) -> Tab:
    return open_tab(box.url, allowed=("Failed to load resource",)).open("/chat?slot=primary")


def say(tab: Tab, text: str = "hello", tokens: int = 12) -> None:
    if not tab.page.locator("#max_tokens").is_visible():
        tab.page.click("#chat-more > summary")
    tab.page.fill("#max_tokens", str(tokens))
    tab.page.fill("#prompt", text)
    tab.page.click("#chat-send")


def answered(tab: Tab, events: list[object], status: int = 200, model: str = "fake") -> None:
    """Let /v1 answer with these events instead of a model."""

    def fulfil(route: Route) -> None:
        body = "".join(f"data: {json.dumps(one) if one != 'DONE' else '[DONE]'}\n\n" for one in events)
        route.fulfill(status=status, headers={"Content-Type": "text/event-stream", "X-Hal0-Model": model}, body=body)

    tab.page.route("**/v1/chat/completions", fulfil)


def piece(text: str, reason: str | None = None, **more: str) -> dict[str, object]:
    return {"choices": [{"delta": {"content": text, **more}, "finish_reason": reason}]}


def test_an_answer_comes_from_the_slot_with_its_facts_and_loads_it_first(tab: Tab, box: Box) -> None:
    say(tab)
    facts = tab.page.locator(".answer-facts")
    expect(facts).to_contain_text("slot primary · model tiny-a")
    expect(facts).to_contain_text("12 tokens")
    expect(facts).to_contain_text("ended: length")
    expect(tab.page.locator(".bubble.assistant .hint")).to_contain_text("cut at the longest answer")
    expect(tab.page.locator(".bubble.assistant .text")).not_to_be_empty()
    expect(tab.page.locator("#chat-said")).to_have_text("Answer finished, 12 tokens.")
    expect(tab.page.locator("#chat-slots [data-slot=primary] .word")).to_have_text("Ready")
    say(tab, "and again")
    expect(tab.page.locator(".answer-facts")).to_have_count(2)
    assert tab.violations == []
    assert tab.axe() == []


def test_waiting_has_words_from_evidence_and_can_be_stopped(tab: Tab, box: Box) -> None:
    box.engine.put("slow", model="tiny-a")
    say(tab)
    expect(tab.page.locator(".bubble.assistant .text")).to_contain_text("Loading tiny-a (0:")
    tab.page.click("#chat-stop")
    expect(tab.page.locator(".bubble.assistant .hint")).to_have_text("Stopped by you after 0 tokens.")
    expect(tab.page.locator("#chat-stop")).to_be_hidden()
    expect(tab.page.locator("#prompt")).to_be_focused()
    box.engine.release()


def test_a_running_answer_can_be_stopped_and_its_text_stays(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok
    say(tab, tokens=100_000)
    expect(tab.page.locator(".bubble.assistant[data-state=answering]")).to_be_visible()
    tab.page.click("#chat-stop")
    expect(tab.page.locator(".bubble.assistant .hint")).to_contain_text("Stopped by you after")
    expect(tab.page.locator(".bubble.assistant .text")).not_to_be_empty()
    box.app.wait_for(lambda: box.app.slot("primary")["in_flight"] == 0, "the request has ended")


def test_a_backend_that_dies_leaves_the_text_and_says_so(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok
    say(tab, tokens=100_000)
    expect(tab.page.locator(".bubble.assistant[data-state=answering]")).to_be_visible()
    box.engine.chaos("kill", "tiny-a")
    problem = tab.page.locator(".bubble.assistant .problem")
    expect(problem).to_contain_text("The model stopped answering after")
    expect(tab.page.locator(".bubble.assistant .text")).not_to_be_empty()
    problem.get_by_text("Retry").click()
    expect(tab.page.locator(".bubble.assistant")).to_have_count(2)
    tab.page.click("#chat-stop")


def test_what_a_model_says_stays_text(tab: Tab) -> None:
    hostile = "<script>window.__ran = 1</script>\r<hx-partial hx-target='#link'>x</hx-partial><img src=x onerror=x>"
    answered(tab, [piece(hostile, reasoning_content="<b>hm</b>"), piece("", "stop"), "DONE"])
    say(tab)
    expect(tab.page.locator(".answer-facts")).to_contain_text("ended: stop")
    assert tab.page.locator(".bubble.assistant .text").last.text_content() == hostile
    assert tab.page.evaluate("window.__ran") is None
    assert tab.page.locator(".bubble img, .bubble b, hx-partial").count() == 0
    tab.link("live")
    assert tab.violations == []


def test_a_stream_that_breaks_off_is_not_passed_off_as_an_answer(tab: Tab) -> None:
    answered(tab, [piece("half")])
    say(tab)
    expect(tab.page.locator(".bubble .problem")).to_contain_text("The model stopped answering after 1 token:")
    expect(tab.page.locator(".bubble.assistant .text")).to_have_text("half")


def test_the_model_is_told_by_the_answer_where_its_head_came_too_early_to_know(tab: Tab) -> None:
    early = {**piece("x"), "model": "tiny-a"}
    answered(tab, [early, piece("", "stop"), "DONE"], model="")
    say(tab)
    expect(tab.page.locator(".answer-facts")).to_contain_text("model tiny-a")


def test_a_refusal_is_told_in_the_bubble(tab: Tab) -> None:
    tab.page.select_option("#chat-slot", "ghost")
    say(tab)
    expect(tab.page.locator(".bubble .problem")).to_contain_text("nowhere")


def test_without_a_script_the_whole_answer_comes_at_once(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/chat?slot=primary")
    tab.page.click("#chat-more > summary")
    tab.page.fill("#max_tokens", "5")
    tab.page.fill("#prompt", "hello")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".bubble.user")).to_contain_text("hello")
    facts = tab.page.locator(".answer-facts")
    expect(facts).to_contain_text("slot primary · model tiny-a · waited ")
    expect(facts).to_contain_text("5 tokens · ")
    expect(facts).to_contain_text("ended: length")
    expect(tab.page.locator("#max_tokens")).to_have_value("5")
    newest = box.app.get("/api/requests").json()[0]
    assert (newest["slot"], newest["model"], newest["agent"]) == ("primary", "tiny-a", "dashboard")
    assert (newest["endpoint"], newest["status"], newest["tokens_out"]) == ("chat/completions", 200, 5)
    load = box.app.journal(kind="slot.load")[-1]
    assert (load["agent"], load["data"]["cause"]["request"]) == ("dashboard", newest["id"])
    tab.page.goto(f"{box.url}/journal?kind=slot.load")
    expect(tab.page.locator("#log li").last).to_contain_text(f"(by dashboard, request {newest['id']})")


def test_without_a_script_the_form_comes_back_with_what_was_set(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/chat?slot=ghost")
    expect(tab.page.locator("#chat-more")).not_to_have_attribute("open", "")
    tab.page.click("#chat-more > summary")
    aside = {"#system": "You are <b>brief</b>.", "#temperature": "0,2", "#max_tokens": "5"}
    for field, text in aside.items():
        tab.page.fill(field, text)
    tab.page.fill("#prompt", "a question for nobody")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".bubble .problem")).to_contain_text("nowhere")
    for field, text in {**aside, "#prompt": "a question for nobody"}.items():
        expect(tab.page.locator(field)).to_have_value(text)
        expect(tab.page.locator(field)).to_be_visible()
    tab.page.fill("#prompt", "")
    tab.page.select_option("#chat-slot", "primary")
    tab.page.click("#chat-send")
    expect(tab.page.locator("#system")).to_have_value(aside["#system"])
    expect(tab.page.locator("#chat-slot")).to_have_value("primary")


def test_a_refusal_without_a_script_is_on_record_too(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    tab.page.goto(f"{box.url}/chat?slot=ghost")
    tab.page.fill("#prompt", "hello")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".bubble .problem")).to_contain_text("nowhere")
    newest = box.app.get("/api/requests").json()[0]
    assert (newest["slot"], newest["outcome"]) == ("ghost", "refused")


def test_beside_the_message_is_told_what_sending_does(tab: Tab, box: Box) -> None:
    hint = tab.page.locator("#prompt-hint")
    expect(hint).to_contain_text("primary is not loaded. Sending loads tiny-a first")
    assert box.app.chat("primary").ok
    expect(hint).to_be_empty()
    box.engine.kill9()
    try:
        expect(tab.page.locator("#chat-away")).to_be_visible()
        expect(tab.page.locator("#chat-send")).to_have_attribute("aria-disabled", "true")
    finally:
        box.engine.start()
    expect(tab.page.locator("#chat-send")).not_to_have_attribute("aria-disabled", "true")


def test_without_a_slot_nothing_can_be_sent_until_there_is_one(box: Box, open_tab: OpenTab) -> None:
    with hal0(box.engine.url, {}) as app:
        tab = open_tab(app.url).open("/chat")
        send, hint = tab.page.locator("#chat-send"), tab.page.locator("#prompt-hint")
        expect(hint).to_have_text("There is no slot to chat with yet.")
        expect(send).to_have_attribute("aria-disabled", "true")
        tab.page.fill("#prompt", "hello")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator("#prompt")).to_have_value("hello")
        write_slots(app.home, {"late": {"type": "llm", "model": "tiny-a"}})
        expect(tab.page.locator("#chat-slot")).to_have_value("late")
        expect(send).not_to_have_attribute("aria-disabled", "true")
        tab.page.keyboard.press("Enter")
        expect(tab.page.locator(".answer-facts")).to_contain_text("slot late")


def test_a_slot_that_takes_nothing_any_more_stays_chosen_and_says_so(tab: Tab, box: Box) -> None:
    box.app.patch("primary", {"enabled": False})
    try:
        expect(tab.page.locator("#prompt-hint")).to_have_text("primary takes no messages now. Choose another slot.")
        expect(tab.page.locator("#chat-send")).to_have_attribute("aria-disabled", "true")
        expect(tab.page.locator("#chat-slot")).to_have_value("primary")
        tab.page.select_option("#chat-slot", "second")
        expect(tab.page.locator("#chat-send")).not_to_have_attribute("aria-disabled", "true")
    finally:
        box.app.patch("primary", {"enabled": True})


def test_what_a_page_needs_to_ask_comes_when_somebody_writes_and_its_loss_is_said(tab: Tab) -> None:
    tab.page.route("**/static/answer*", lambda route: route.abort())
    say(tab)
    expect(tab.page.locator("#chat-lost")).to_be_visible()
    expect(tab.page.locator("#prompt")).to_have_value("hello")
    tab.page.unroute("**/static/answer*")
    tab.page.click("#chat-send")
    expect(tab.page.locator(".answer-facts")).to_contain_text("slot primary")
    expect(tab.page.locator("#chat-lost")).to_be_hidden()


def test_a_hal0_that_cannot_be_reached_is_said_in_words_and_asked_again(tab: Tab) -> None:
    tab.page.route("**/v1/chat/completions", lambda route: route.abort())
    say(tab)
    problem = tab.page.locator(".bubble .problem")
    expect(problem).to_contain_text("hal0 did not answer.")
    tab.page.unroute("**/v1/chat/completions")
    answered(tab, [piece("half")])
    problem.get_by_text("Retry").click()
    expect(tab.page.locator(".bubble .problem").last).to_contain_text("The model stopped answering after 1 token:")
    expect(tab.page.locator(".bubble button")).to_have_count(1)  # only the newest can be asked for again
    tab.page.unroute("**/v1/chat/completions")
    asked = sent(tab)
    tab.page.locator(".bubble button").click()
    expect(tab.page.locator(".answer-facts").last).to_contain_text("ended: ")
    assert [one["role"] for one in asked[0]] == ["user"]  # not with the half answer
    expect(tab.page.locator("#prompt")).to_be_focused()  # the button that had the focus has gone


def sent(tab: Tab) -> list[list[dict[str, str]]]:
    """The messages of every request from now on."""
    found: list[list[dict[str, str]]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/v1/chat/completions"):
            found.append(request.post_data_json["messages"])

    tab.page.on("request", note)
    return found


def test_a_new_chat_knows_nothing_of_the_answer_that_it_broke_off(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok
    say(tab, tokens=100_000)
    expect(tab.page.locator(".bubble.assistant[data-state=answering]")).to_be_visible()
    tab.page.click("#chat-new")
    expect(tab.page.locator("#chat-stop")).to_be_hidden()
    asked = sent(tab)
    say(tab, "anew")
    expect(tab.page.locator(".answer-facts")).to_contain_text("ended: ")
    assert asked == [[{"role": "user", "content": "anew"}]]


def test_a_full_context_is_told_apart_from_a_short_answer(tab: Tab, box: Box) -> None:
    assert box.app.chat("primary").ok
    full = {"choices": [], "usage": {"completion_tokens": 1, "total_tokens": 10_000_000}}
    answered(tab, [piece("x"), piece("", "length"), full, "DONE"])
    say(tab)
    expect(tab.page.locator(".bubble .problem")).to_contain_text("Context is full (")
