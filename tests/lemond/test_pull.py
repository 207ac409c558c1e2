"""Downloads by the real lemond over HTTPS, from a registry of the test's own: on the way, stopped, resumed, refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.browser import WATCH, Tab, chromium
from tests.support import cache, models
from tests.support.app import App, hal0
from tests.support.engines import Engine
from tests.support.registry import Registry, certificate, registry

TAIL = 6_000_000  # bytes of nothing behind the model, so that it takes its time
SLOTS = {"primary": {"type": "llm", "model": "chat-a"}}
REGISTERED = {"wanted": {"checkpoint": "hal0/wanted-GGUF:Q4_0", "recipe": "llamacpp", "labels": [], "suggested": True}}


@pytest.fixture(scope="module")
def large() -> Path:
    """A sound chat model that is larger than it need be."""
    file = cache.shared() / "gguf" / "large.gguf"
    file.write_bytes(models.chat().read_bytes() + bytes(TAIL))
    return file


@pytest.fixture(scope="module")
def far(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Path]]:
    """The registry, and the certificate to trust."""
    secret = certificate(tmp_path_factory.mktemp("registry"))
    files = {
        "hal0/large-GGUF": {"large-Q4_0.gguf": large},
        "hal0/wanted-GGUF": {"wanted-Q4_0.gguf": large},
        "hal0/huge-GGUF": {"huge-Q4_0.gguf": models.chat()},
    }
    with registry(files, secret) as found:
        found.claimed["huge-Q4_0.gguf"] = 9_000_000_000_000
        yield found, secret.with_suffix(".pem.crt")


@pytest.fixture(scope="module")
def app(
    start_engine: Callable[..., AbstractContextManager[Engine]],
    far: tuple[Registry, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[App]:
    """hal0 over a lemond that downloads from there, also what a request names."""
    home = tmp_path_factory.mktemp("home")
    (home / "etc").mkdir()
    (home / "etc" / "hal0.toml").write_text("[dispatch]\nallow_implicit_pull = true\n")
    trust = {"HF_ENDPOINT": far[0].url, "TRUSTED": str(far[1])}
    files = {"chat-a": models.chat()}
    with (
        start_engine(1, models=files, user_models=REGISTERED, environment=trust, offline=False) as engine,
        hal0(engine.url, SLOTS, home) as app,
    ):
        yield app


@pytest.fixture
def tab(app: App) -> Iterator[Tab]:
    """The models page, silent to the end."""
    with chromium() as browser:
        context = browser.new_context()
        context.add_init_script(WATCH)
        tab = Tab(context.new_page(), app.url, context)
        tab.listen()
        yield tab.open("/models")
        assert tab.complaints == []
        assert tab.violations == []


def pull(tab: Tab, name: str, checkpoint: str) -> Locator:
    """Ask for a model on the page; its line among the downloads."""
    if not tab.page.locator("#checkpoint").is_visible():
        tab.page.click("#pull-own > summary")
    for key, text in {"model_name": name, "checkpoint": checkpoint, "recipe": "llamacpp"}.items():
        tab.page.fill(f"#{key}", text)
    tab.page.click("form.form button.main")
    expect(tab.page.locator(".said")).to_have_text("The download began.")
    return tab.page.locator(".download", has_text=name)


def test_a_model_is_downloaded_with_a_stop_between_and_answers_in_a_slot(
    tab: Tab, app: App, far: tuple[Registry, Path], large: Path
) -> None:
    size, there = large.stat().st_size, far[0]
    there.rate = 300_000  # 25 seconds for all of it
    line = pull(tab, "user.large", "hal0/large-GGUF:Q4_0")
    expect(line).to_contain_text("of 7 MB")
    expect(line).to_contain_text("kB/s")
    line.get_by_text("Pause").click()
    expect(line).to_contain_text("Stopped at")
    expect(tab.page.locator("tr[data-model='large']")).to_contain_text("Partial")
    there.rate = None
    line.get_by_text("Resume").click()
    expect(tab.page.locator("tr[data-model='large']")).to_contain_text("On disk")
    began = there.ranges("large-Q4_0.gguf")
    assert began[0] == 0
    assert 0 < began[-1] < size
    app.post("/api/slots", {"name": "fresh", "type": "llm", "model": "large"}).raise_for_status()
    assert app.chat("fresh").ok
    tab.page.goto(f"{app.url}/models/delete?model=large")
    expect(tab.page.locator(".ask")).to_contain_text("Unload it first.")
    tab.page.click("button:text-is('Unload it')")
    app.slot_is("fresh", "offline")
    tab.page.goto(f"{app.url}/models/delete?model=large")
    expect(tab.page.locator(".ask")).to_contain_text("Slot fresh uses it and will fail until you choose another model.")
    tab.page.click("button.danger")
    expect(tab.page.locator(".said")).to_have_text("The model was deleted from disk.")
    expect(tab.page.locator("tr[data-model='large']")).to_contain_text("Not on disk")


def test_a_model_that_a_request_names_is_downloaded_and_loaded_before_it_is_answered(
    app: App, far: tuple[Registry, Path]
) -> None:
    assert app.chat("chat-a").ok
    far[0].rate = 3_000_000
    with ThreadPoolExecutor() as pool:
        answers = [asked.result() for asked in [pool.submit(app.chat, "wanted") for _ in range(2)]]
    far[0].rate = None
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert (answers[0].json()["model"], answers[0].headers["X-Hal0-Route"]) == ("wanted", "fallback")
    messages = [one["message"] for one in app.journal(kind="model.pull") if one["model"] == "wanted"]
    assert messages == ["the download of wanted started", "wanted was downloaded"]
    assert app.slot("primary")["reason"] == "displaced", "hal0 chose who leaves"


@pytest.mark.parametrize(
    ("name", "checkpoint", "why"),
    [
        ("user.huge", "hal0/huge-GGUF:Q4_0", "Insufficient disk space: download requires"),
        ("user.none", "hal0/none-GGUF:Q4_0", "repository not found or not accessible: hal0/none-GGUF"),
    ],
)
def test_what_lemond_cannot_download_is_told_in_its_own_words(tab: Tab, name: str, checkpoint: str, why: str) -> None:
    line = pull(tab, name, checkpoint)
    expect(line).to_contain_text("Download failed:")
    expect(line).to_contain_text(why)
    line.get_by_text("Delete part").click()
    expect(line).to_have_count(0)


def test_a_connection_that_breaks_off_is_gone_on_with_by_lemond_and_a_part_can_be_deleted(
    tab: Tab, app: App, far: tuple[Registry, Path]
) -> None:
    there = far[0]
    there.rate, there.cut_at = None, 2_000_000
    line = pull(tab, "user.torn", "hal0/large-GGUF:Q4_0")
    app.wait_for(lambda: there.ranges("large-Q4_0.gguf")[-1] >= 2_000_000, "lemond asks for the rest")
    expect(line).to_contain_text("2 of 7 MB")
    line.get_by_text("Cancel").click()
    expect(line).to_contain_text("Cancelled. The 2 MB part is kept.")
    there.cut_at = None
    line.get_by_text("Delete part").click()
    expect(line).to_have_count(0)
    assert app.journal(kind="model.pull")[-1]["message"] == "the part of user.torn that was downloaded was deleted"


def test_offline_mode_is_told_and_lemonds_refusal_too(tab: Tab, app: App) -> None:
    tab.open("/settings")
    tab.page.check("#lemond-offline")
    tab.page.click("section:has(#part-lemond) button")
    expect(tab.page.locator(".said")).to_have_text("Saved, and read back from Lemonade.")
    tab.open("/models")
    expect(tab.page.locator("#downloads-off")).to_contain_text("Downloads are off (offline mode).")
    refused = app.post("/api/models/pull", {"model_name": "user.x", "checkpoint": "a/b:Q4_0", "recipe": "llamacpp"})
    assert refused.json()["error"]["code"] == "model.pull_failed"
    assert "offline mode" in refused.json()["error"]["message"]
