"""The models page in a browser: the list, downloads that hal0 owns, and the page that asks before a delete."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from hal0app.adapters.request_table import RequestTable
from hal0app.core.request_record import RequestRecord
from tests.e2e.box import Box
from tests.e2e.browser import Tab
from tests.e2e.states import offline
from tests.support import models
from tests.support.app import hal0
from tests.support.engines import embedded_engine
from tests.support.waiting import eventually

OpenTab = Callable[..., Tab]


@pytest.fixture
def tab(box: Box, open_tab: OpenTab) -> Tab:
    tab = open_tab(box.url).open("/models")
    expect(tab.page.locator("tr[data-model='tiny-a']")).to_be_visible()
    return tab


@pytest.fixture
def registry(box: Box) -> Iterator[Box]:
    """A Lemonade that downloads, slowly, until the test ends."""
    box.engine.put("registry", total=4_000_000, rate=20_000)
    yield box
    for row in box.app.get("/api/downloads").json():
        box.app.post(f"/api/downloads/{row['id']}/cancel")
        box.app.post(f"/api/downloads/{row['id']}/discard")
    box.engine.release()


def row(tab: Tab, model: str, text: str) -> None:
    expect(tab.page.locator(f"tr[data-model='{model}']")).to_contain_text(text)


def test_a_model_that_is_loaded_says_so_without_a_reload(tab: Tab, box: Box) -> None:
    row(tab, "tiny-a", "On disk")
    assert box.app.chat("primary").ok
    row(tab, "tiny-a", "Loaded")
    tab.page.locator("tr[data-model='tiny-a'] button", has_text="Unload").click()
    row(tab, "tiny-a", "On disk")
    assert not tab.reloaded
    assert tab.axe() == []


def test_the_list_is_searched_as_one_types_and_the_address_keeps_it(tab: Tab, box: Box) -> None:
    tab.page.fill("#q", "embed")
    expect(tab.page.locator("tr[data-model]")).to_have_count(1)
    expect(tab.page).to_have_url(f"{box.url}/models?q=embed&type=&where=&sort=")
    assert box.app.post("/api/slots/embed/load?wait=true").ok
    row(tab, "embed-a", "Loaded")
    expect(tab.page.locator("tr[data-model]")).to_have_count(1)
    expect(tab.page.locator("#q")).to_be_focused()
    tab.page.fill("#q", "qwen9")
    expect(tab.page.locator("#model-list")).to_contain_text("Nothing matches “qwen9”.")
    tab.page.click("#model-list a")
    row(tab, "tiny-b", "second")


def test_a_download_belongs_to_hal0_and_not_to_the_page(registry: Box, open_tab: OpenTab) -> None:
    tab = open_tab(registry.url).open("/models")
    tab.page.fill("#model_name", "user.slow")
    tab.page.click("form.form button")
    expect(tab.page.locator(".said")).to_have_text("The download began.")
    line = tab.page.locator(".download")
    expect(line).to_contain_text("of 4 MB")
    expect(line).to_contain_text("kB/s")
    other = open_tab(registry.url).open("/models")
    expect(other.page.locator(".download")).to_contain_text("of 4 MB")
    line.get_by_text("Pause").click()
    expect(other.page.locator(".download")).to_contain_text("Stopped at")
    row(other, "user.slow", "Partial")
    expect(other.page.locator(".download")).to_contain_text("Delete part")
    other.page.locator(".download").get_by_text("Resume").click()
    expect(line).to_contain_text("kB/s")
    tab.context.close()
    expect(other.page.locator("#download-news")).to_have_text("user.slow: downloading.")
    elsewhere = open_tab(registry.url).open("/slots")
    expect(elsewhere.page.locator("#under-way")).to_contain_text("of 4 MB")
    registry.engine.put("registry", total=4_000_000, rate=40_000_000)
    expect(other.page.locator(".download")).to_contain_text("Downloaded.")
    expect(elsewhere.page.locator("#under-way p")).to_have_count(0)


def test_a_download_that_stands_still_tells_no_speed_and_one_that_failed_tells_why(
    registry: Box, open_tab: OpenTab
) -> None:
    registry.app.post("/api/models/pull", {"model_name": "user.stuck"}).raise_for_status()
    tab = open_tab(registry.url).open("/models")
    expect(tab.page.locator(".download")).to_contain_text("kB/s")
    registry.engine.put("registry", total=4_000_000, rate=0)
    expect(tab.page.locator(".download")).to_contain_text("Stalled for")
    expect(tab.page.locator(".download")).not_to_contain_text("kB/s")
    registry.engine.put("registry", total=4_000_000, rate=9_000_000, fail_at=2_000_000)
    expect(tab.page.locator(".download")).to_contain_text("Download failed: disk full. The 2 MB part is kept.")
    assert tab.axe() == []


def test_a_part_can_be_deleted_and_is_gone(registry: Box, open_tab: OpenTab) -> None:
    registry.app.post("/api/models/pull", {"model_name": "user.half"}).raise_for_status()
    registry.app.post("/api/downloads/model:user.half/pause").raise_for_status()
    tab = open_tab(registry.url).open("/models")
    part = tab.page.locator(".download", has_text="user.half")
    part.get_by_text("Delete part").click()
    expect(part).to_have_count(0)
    assert registry.app.get("/api/downloads").json() == []
    assert "was deleted" in registry.app.journal(kind="model.pull")[-1]["message"]


def test_offline_mode_is_told_where_one_would_pull_and_turned_off_in_the_settings(box: Box, open_tab: OpenTab) -> None:
    with offline(box):
        tab = open_tab(box.url).open("/models")
        expect(tab.page.locator("form.form button.main")).to_have_attribute("aria-disabled", "true")
        tab.page.click("#downloads-off a")
        expect(tab.page.locator("[id='lemond-offline']")).to_be_checked()


def test_a_model_tells_when_it_answered_last_and_how_often_lately(box: Box, open_tab: OpenTab) -> None:
    table = RequestTable(box.app.home / "var" / "hal0.db", 10_000)
    now = time.time()
    table.append(
        [RequestRecord(now - age, f"r{age}", "chat/completions", 200, "complete", 5, model="tiny-c") for age in (9, 99)]
    )
    table.close()
    tab = open_tab(box.url).open("/models?sort=last")
    line = tab.page.locator("tr[data-model='tiny-c']")
    eventually(lambda: tab.page.reload() and "2 in the last hour" in line.inner_text(), "the uses are told")
    expect(tab.page.locator("tr[data-model='unloadable'] td").nth(4)).to_contain_text("—")


def test_a_model_that_is_loaded_is_not_deleted_and_one_that_is_a_persons_own_neither(
    box: Box, open_tab: OpenTab
) -> None:
    tab = open_tab(box.url, java_script_enabled=False)
    assert box.app.chat("primary").ok
    tab.page.goto(f"{box.url}/models/delete?model=tiny-a")
    expect(tab.page.locator(".ask")).to_contain_text("Unload it first.")
    expect(tab.page.locator("button.danger")).to_have_count(0)
    tab.page.click("button:text-is('Unload it')")
    eventually(lambda: box.app.slot("primary")["state"] == "offline", "it is unloaded")
    tab.page.goto(f"{box.url}/models/delete?model=tiny-a")
    expect(tab.page.locator(".ask")).to_contain_text("It is a file of your own")


def test_what_is_suggested_comes_and_goes_with_the_models_that_there_are(open_tab: OpenTab) -> None:
    with embedded_engine(models={}, user_models={}, offline=False) as engine, hal0(engine.url, {}) as app:
        tab = open_tab(app.url, allowed=("timeout",)).open("/models")  # before it is known what there is
        expect(tab.page.locator("#suggestions-name")).to_have_text("No models on disk")
        models.link(engine.models_dir, {"tiny-a": models.chat()})
        engine.restart()
        eventually(lambda: app.chat("tiny-a").ok, "hal0 knows it, as it is asked for")
        row(tab, "tiny-a", "Loaded")
        expect(tab.page.locator("#suggestions-name")).to_have_count(0)
        assert not tab.reloaded


def test_backends_are_listed_with_their_state(tab: Tab) -> None:
    expect(tab.page.locator("#backends")).to_contain_text("llama.cpp (system)")
    expect(tab.page.locator("#backends")).to_contain_text("Installed")


def test_a_lemonade_that_is_gone_leaves_the_list_with_its_time(tab: Tab, box: Box) -> None:
    box.engine.kill9()
    try:
        expect(tab.page.locator("#model-list .hint")).to_contain_text("This list is from")
        row(tab, "tiny-a", "tiny-a")
    finally:
        box.engine.start()
        tab.page.goto(f"{box.url}/slots")
        expect(tab.page.locator("#lemonade")).not_to_contain_text("not answering")
