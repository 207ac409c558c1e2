"""The settings in a browser: each value with its source, saved and read back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from tests.e2e.box import Box
from tests.e2e.browser import GONE, Tab

OpenTab = Callable[..., Tab]
SCRIPT = pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])


@pytest.fixture
def saved(box: Box) -> Iterator[Path]:
    """The file that the page writes; gone afterwards."""
    file = box.app.home / "etc" / "conf.d" / "50-dashboard.toml"
    yield file
    file.unlink(missing_ok=True)


@SCRIPT
def test_a_value_is_saved_and_says_that_it_waits_for_a_restart(
    box: Box, open_tab: OpenTab, saved: Path, script: bool
) -> None:
    tab = open_tab(box.url, java_script_enabled=script)
    tab.page.goto(f"{box.url}/settings")
    expect(tab.page.locator("#observer-period_s-hint")).to_contain_text("Default of hal0")
    tab.page.fill("#observer-period_s", "2.5")
    tab.page.click("section:has(#observer-period_s) button")
    expect(tab.page.locator(".said")).to_have_text("Saved. It takes effect when hal0 restarts.")
    expect(tab.page.locator("#observer-period_s-hint")).to_contain_text("Set in conf.d/50-dashboard.toml.")
    expect(tab.page.locator("#observer-period_s-hint")).to_contain_text("hal0 still runs with 1.")
    assert "period_s = 2.5" in saved.read_text()


def test_what_is_wrong_is_told_at_its_field_and_nothing_is_saved(box: Box, open_tab: OpenTab, saved: Path) -> None:
    tab = open_tab(box.url, allowed=("422",)).open("/settings")
    tab.page.fill("#server-max_body_mb", "lots")
    tab.page.click("section:has(#server-max_body_mb) button")
    expect(tab.page.get_by_role("alert").first).to_contain_text("server.max_body_mb")
    expect(tab.page.locator("#server-max_body_mb")).to_have_attribute("aria-invalid", "true")
    expect(tab.page.locator("#server-max_body_mb")).to_have_value("lots")
    expect(tab.page.locator("#server-max_body_mb")).to_be_focused()
    assert not saved.exists()


def test_what_the_environment_gives_cannot_be_changed(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/settings")
    expect(tab.page.locator("#server-port")).to_be_disabled()
    expect(tab.page.locator("#server-port-hint")).to_contain_text("From HAL0_PORT, cannot be changed here.")
    assert tab.axe() == []


def test_a_file_that_wins_is_named(box: Box, open_tab: OpenTab, saved: Path) -> None:
    winner = saved.with_name("90-mine.toml")
    winner.parent.mkdir(exist_ok=True)
    winner.write_text("[dispatch]\nwait_s = 7\n")
    try:
        tab = open_tab(box.url).open("/settings")
        tab.page.fill("#dispatch-wait_s", "9")
        tab.page.click("section:has(#dispatch-wait_s) button")
        expect(tab.page.get_by_role("alert").first).to_contain_text(
            "dispatch.wait_s stays 7: conf.d/90-mine.toml wins."
        )
    finally:
        winner.unlink()


def test_the_api_reads_and_changes_the_same(box: Box, saved: Path) -> None:
    answer = requests.patch(f"{box.url}/api/settings", json={"retention": {"journal": 5000}}, timeout=30)
    told = {one["key"]: one for one in answer.json()}["retention.journal"]
    assert (told["value"], told["source"], told["pending"]) == (5000, "conf.d/50-dashboard.toml", True)
    refused = requests.patch(f"{box.url}/api/settings", json={"retention": {"journal": 1}}, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "settings.invalid")
    assert requests.get(f"{box.url}/api/settings", timeout=30).json()[0]["key"] == "server.host"


@SCRIPT
def test_a_browser_can_be_told_its_colours(box: Box, open_tab: OpenTab, script: bool) -> None:
    tab = open_tab(box.url, java_script_enabled=script, color_scheme="light")
    tab.page.goto(f"{box.url}/settings")
    tab.page.select_option("#theme", "dark")
    tab.page.click("section:has(#theme) button")
    expect(tab.page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(tab.page.locator("html")).to_have_css("background-color", "rgb(17, 21, 28)")
    tab.page.select_option("#theme", "")
    tab.page.click("section:has(#theme) button")
    expect(tab.page.locator("html")).to_have_css("background-color", "rgb(246, 247, 249)")


@SCRIPT
def test_lemonades_own_settings_are_saved_in_it_and_read_back(box: Box, open_tab: OpenTab, script: bool) -> None:
    tab = open_tab(box.url, java_script_enabled=script)
    tab.page.goto(f"{box.url}/settings")
    expect(tab.page.locator("#lemond-log_level-hint")).to_contain_text("A change counts at once. Default of Lemonade.")
    seconds = 321 if script else 322
    tab.page.fill("#lemond-global_timeout", str(seconds))
    tab.page.click("section:has(#lemond-global_timeout) button")
    expect(tab.page.locator(".said")).to_have_text("Saved, and read back from Lemonade.")
    expect(tab.page.locator("#lemond-global_timeout-hint")).to_contain_text("Set in Lemonade.")
    assert requests.get(f"{box.engine.url}/internal/config", timeout=30).json()["global_timeout"] == seconds
    assert box.app.journal(kind="system.settings")[-1]["message"] == "Lemonade's settings were changed: global_timeout"


def test_what_lemonade_refuses_is_told_at_its_field(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url, allowed=("422",)).open("/settings")
    tab.page.fill("#lemond-max_loaded_models", "0")
    tab.page.check("#lemond-offline")
    tab.page.click("section:has(#lemond-max_loaded_models) button")
    expect(tab.page.get_by_role("alert").first).to_contain_text("must be -1 (unlimited) or a positive integer")
    expect(tab.page.locator("#lemond-max_loaded_models")).to_be_focused()
    expect(tab.page.locator("#lemond-max_loaded_models")).to_have_value("0")
    expect(tab.page.locator("#lemond-offline")).to_be_checked()


def test_while_lemonade_is_away_its_settings_are_as_last_read_and_not_saved(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/settings")
    expect(tab.page.locator("#lemond-log_level")).to_be_visible()
    box.engine.kill9()
    try:
        expect(tab.page.locator("#lemonade")).to_contain_text("not answering")
        tab.open("/settings")
        part = tab.page.locator("section:has(#part-lemond)")
        expect(part).to_contain_text("It is not answering; last read at")
        expect(part.locator("button")).to_have_attribute("aria-disabled", "true")
    finally:
        box.engine.start()
        expect(tab.page.locator("#lemonade")).not_to_contain_text("not answering")


@SCRIPT
def test_hal0_is_restarted_from_its_settings_and_open_pages_say_that_it_was_asked_for(
    box: Box, open_tab: OpenTab, saved: Path, script: bool
) -> None:
    known = box.app.journal(limit=1)[-1]["id"]
    other = open_tab(box.url, allowed=GONE).open("/models")
    saved.parent.mkdir(exist_ok=True)
    saved.write_text(f"[retention]\noperations = {2001 + script}\n")
    tab = open_tab(box.url, java_script_enabled=script)
    tab.page.goto(f"{box.url}/settings")
    expect(tab.page.locator("#pending")).to_have_text("1 saved setting waits for a restart of hal0.")
    tab.page.click("#restart")
    expect(tab.page.locator(".ask")).to_contain_text("No answer is running.")
    tab.page.click(".ask button:text-is('Restart hal0')")
    expect(other.page.locator("#link")).to_have_text(re.compile("^Restarting, as you asked\\."))
    expect(tab.page.locator(".said")).to_have_text("hal0 was restarted.")
    expect(tab.page.locator("#pending")).to_have_count(0)
    other.link("live")
    assert not other.reloaded
    assert box.app.journal(since=known, kind="system.worker") == []


def test_diagnostics_are_copied_or_ready_to_be(box: Box, open_tab: OpenTab) -> None:
    tab = open_tab(box.url).open("/settings")
    tab.page.click("#diagnostics > summary")
    tab.page.click("#diagnostics button")
    expect(tab.page.locator("#diagnostics [role=status]")).to_have_text(re.compile(r"^(Copied|Press Ctrl\+C)\.$"))
    assert "\nslot primary: " in tab.page.input_value("#diagnostics-text")
    assert tab.axe() == []
