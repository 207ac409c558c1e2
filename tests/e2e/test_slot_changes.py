"""Creating, editing, deleting, pinning and swapping slots in a browser, with and without a script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.support.waiting import eventually

OpenTab = Callable[..., Tab]
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])


@pytest.fixture
def tab(box: Box, open_tab: OpenTab) -> Tab:
    return open_tab(box.url).open("/slots")


@pytest.fixture
def mine(box: Box) -> Iterator[str]:
    """A slot that a test may change; gone afterwards."""
    box.app.post("/api/slots", {"name": "mine", "type": "llm", "model": "tiny-c"}).raise_for_status()
    yield "mine"
    box.app.post("/api/slots/mine/unload?wait=true")
    (box.app.home / "etc" / "slots" / "mine.toml").unlink(missing_ok=True)


def begin(box: Box, open_tab: OpenTab, script: bool, path: str, allowed: tuple[str, ...] = ()) -> Tab:
    """A page of one kind of reader."""
    tab = open_tab(box.url, java_script_enabled=script, allowed=allowed)
    tab.page.goto(box.url + path)
    return tab


def more(page: Page, slot: str, act: str) -> None:
    """Press what stands behind "More"."""
    page.click(f"#slot-{slot}-more > summary")
    page.click(f"#slot-{slot}-{act}")


# -- create and delete


@SCRIPT
def test_a_slot_is_created_and_deleted_by_forms(box: Box, open_tab: OpenTab, script: bool) -> None:
    tab = begin(box, open_tab, script, "/slots/new")
    tab.page.fill("#name", "fresh")
    tab.page.fill("#model", "tiny-a")
    tab.page.click("text=Create slot")
    expect(tab.page.locator(".said")).to_have_text("Slot fresh was created.")
    tab.card("fresh", "Not loaded")
    more(tab.page, "fresh", "delete")
    expect(tab.page.locator(".ask h1")).to_have_text("Delete slot fresh?")
    tab.page.click("text=Delete slot >> nth=-1")
    expect(tab.page.locator(".said")).to_contain_text("Slot fresh was deleted")
    assert box.app.get("/api/slots/fresh").status_code == 404


@SCRIPT
def test_what_is_wrong_is_told_at_its_field_and_nothing_typed_is_lost(
    box: Box, open_tab: OpenTab, script: bool
) -> None:
    tab = begin(box, open_tab, script, "/slots/new", allowed=("422",))
    tab.page.fill("#name", "second")
    tab.page.fill("#model", "tiny-b")
    tab.page.click("text=Create slot")
    expect(tab.page.locator("#name-problem")).to_have_text("Name is taken by a slot.")
    expect(tab.page.locator("#name")).to_have_attribute("aria-invalid", "true")
    expect(tab.page.locator("#model")).to_have_value("tiny-b")
    expect(tab.page.locator("#name")).to_be_focused()
    tab.page.fill("#name", "other")
    tab.page.fill("#ctx_size", "lots")
    tab.page.click("text=Create slot")
    expect(tab.page.locator("#ctx_size-problem")).to_have_text("Write a number.")
    expect(tab.page.locator("#ctx_size")).to_be_focused()
    tab.page.fill("#ctx_size", "-1")
    tab.page.click("text=Create slot")
    expect(tab.page.locator("#ctx_size-problem")).to_contain_text(">= 1")
    assert box.app.get("/api/slots/other").status_code == 404


# -- edit


@SCRIPT
def test_an_edit_of_a_loaded_slot_says_that_it_waits_for_a_reload(
    box: Box, open_tab: OpenTab, mine: str, script: bool
) -> None:
    box.app.post(f"/api/slots/{mine}/load?wait=true").raise_for_status()
    tab = begin(box, open_tab, script, f"/slots/{mine}/edit")
    tab.page.fill("#ctx_size", "512")
    tab.page.click("button:text-is('Save')")
    expect(tab.page.locator(".said")).to_contain_text("takes effect when the slot reloads")
    if script:
        tab.card(mine, "Drift")
    tab.page.click(f"text=Reload {mine} now")
    box.app.wait_for(lambda: box.app.slot(mine)["ctx_size"] == 512 or None, "it runs with the new context")
    eventually(lambda: box.app.slot(mine)["state"] == "ready", "it is loaded")
    tab.page.goto(f"{box.url}/slots")
    tab.card(mine, "Ready")


@SCRIPT
def test_a_slot_that_changed_meanwhile_is_not_overwritten(box: Box, open_tab: OpenTab, mine: str, script: bool) -> None:
    tab = begin(box, open_tab, script, f"/slots/{mine}/edit", allowed=("412",))
    tab.page.fill("#ctx_size", "512")
    box.app.post(f"/api/slots/{mine}/pin").raise_for_status()
    tab.page.click("button:text-is('Save')")
    expect(tab.page.get_by_role("alert").first).to_contain_text(
        re.compile(r"This slot changed at \d\d:\d\d:\d\d while you edited\. Your text is kept below")
    )
    expect(tab.page.get_by_role("alert").first.locator("time")).to_have_count(1)
    expect(tab.page.locator("#ctx_size")).to_have_value("512")
    expect(tab.page.locator(".check:has(#pinned)")).to_contain_text("Saved meanwhile: on")
    assert box.app.slot(mine)["ctx_size"] is None
    tab.page.click("button:text-is('Save')")
    expect(tab.page.locator(".said")).to_contain_text(f"Slot {mine} was saved")
    assert box.app.slot(mine)["ctx_size"] == 512


def test_a_broken_file_is_mended_by_the_form(box: Box, open_tab: OpenTab) -> None:
    file = box.app.home / "etc" / "slots" / "broken.toml"
    file.write_text("type = 'llm'\ncolour = 3\n")
    try:
        tab = open_tab(box.url).open("/slots")
        tab.card("broken", "Invalid")
        tab.page.click("#slot-broken-edit")
        tab.page.fill("#model", "tiny-a")
        tab.page.click("button:text-is('Save')")
        tab.card("broken", "Not loaded")
        assert "colour" not in file.read_text()
    finally:
        file.unlink()


# -- the further acts


@SCRIPT
def test_a_slot_is_pinned_turned_off_and_on_again(box: Box, open_tab: OpenTab, mine: str, script: bool) -> None:
    tab = begin(box, open_tab, script, "/slots")
    more(tab.page, mine, "pin")
    eventually(lambda: box.app.slot(mine)["pinned"], "it is pinned")
    tab.page.goto(f"{box.url}/slots")
    more(tab.page, mine, "off")
    box.app.slot_is(mine, "offline", "disabled")
    tab.page.goto(f"{box.url}/slots")
    tab.card(mine, "Off")
    tab.press(mine, "on")
    eventually(lambda: box.app.slot(mine)["enabled"], "it is on")


def test_drift_can_be_kept_as_it_runs(tab: Tab, box: Box, mine: str) -> None:
    box.app.post(f"/api/slots/{mine}/load?wait=true").raise_for_status()
    box.app.get(f"/api/slots/{mine}")
    tab.card(mine, "Ready")
    held = box.app.slot(mine)["ctx_size"]
    (box.app.home / "etc" / "slots" / "mine.toml").write_text('type = "llm"\nmodel = "tiny-c"\nctx_size = 256\n')
    tab.card(mine, "Drift")
    tab.press(mine, "keep")
    tab.card(mine, "Ready")
    assert f"ctx_size = {held}" in (box.app.home / "etc" / "slots" / "mine.toml").read_text()


@SCRIPT
def test_a_swap_tells_its_cost_before_anything_changes(box: Box, open_tab: OpenTab, mine: str, script: bool) -> None:
    box.app.post("/api/slots/second/load?wait=true").raise_for_status()
    tab = begin(box, open_tab, script, f"/slots/{mine}/swap")
    tab.page.select_option("#swap-model", "tiny-c")
    if not script:
        tab.page.click("text=Show what it costs")
    expect(tab.page.locator("#cost")).to_contain_text("second (tiny-b) would be evicted")
    expect(tab.page.locator("#cost")).to_contain_text("Needs about")
    box.app.slot_is("second", "ready")
    tab.page.select_option("#swap-model", "tiny-b")
    if not script:
        tab.page.click("text=Show what it costs")
    expect(tab.page.locator("#cost button")).to_have_text("Swap to tiny-b")
    tab.page.click("text=Swap to tiny-b")
    expect(tab.page.locator(".said")).to_contain_text(f"Swapping the model of {mine}")
    eventually(lambda: box.app.slot(mine)["model"] == "tiny-b", "it has the new model")


# -- the dialog


def test_a_dialog_takes_the_focus_and_gives_it_back(tab: Tab, mine: str) -> None:
    tab.card(mine, "Not loaded")
    more(tab.page, mine, "delete")
    expect(tab.page.locator("#dialog [data-keep]")).to_be_focused()
    assert tab.axe() == []
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator(f"#slot-{mine}-delete")).to_be_focused()
    tab.page.keyboard.press("Enter")
    tab.page.click("#dialog [data-keep]")
    expect(tab.page.locator("#dialog")).not_to_have_attribute("open", "")
    expect(tab.page.locator(f"#slot-{mine}-delete")).to_be_focused()
    assert not tab.reloaded


def test_an_open_history_stays_open_and_tells_what_happened(tab: Tab, box: Box) -> None:
    tab.page.click("#slot-primary-history > summary")
    box.app.post("/api/slots/primary/load?wait=true").raise_for_status()
    box.app.post("/api/slots/second/load?wait=true").raise_for_status()
    first = tab.page.locator("#slot-primary-history li").first
    expect(first).to_contain_text("Evicted to make room for tiny-b")
    expect(tab.page.locator("#slot-primary-history")).to_have_attribute("open", "")
    assert not tab.reloaded


# -- the picture of the last hours


def test_an_eviction_is_drawn_with_its_cause_and_listed(tab: Tab, box: Box) -> None:
    box.app.post("/api/slots/primary/load?wait=true").raise_for_status()
    box.app.post("/api/slots/second/load?wait=true").raise_for_status()
    cause = "evicted to make room for tiny-b"
    row = tab.page.locator("#residency tbody tr").first
    expect(row).to_contain_text(cause)
    expect(row).to_contain_text("primary")
    titles = tab.page.locator("#residency use title")
    assert any(cause in text for text in titles.all_text_contents())
    loaded = tab.page.locator("#residency .span.loaded")
    eventually(lambda: loaded.count() >= 2, "both are drawn")
    assert tab.violations == []
