"""Templates, regions and the frames that keep an open page true."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.reasons import Reason
from hal0app.core.residency import Link, Observation
from hal0app.core.slot import Record, State
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import SlotType
from hal0app.core.timeline import Lane, Loss, Phase, Span, Timeline
from hal0app.services.lemond_config import Reading
from hal0app.services.observer import Snapshot
from hal0app.services.recall import Told
from hal0app.services.slot_view import SlotView
from hal0app.services.stock import Shelves
from hal0app.web import assets
from hal0app.web.access import Access
from hal0app.web.events import _counted, _Stream
from hal0app.web.hub import PLACES, PLACES_PER_ADDRESS, QUEUE, Hub
from hal0app.web.log import SINCE, Filters
from hal0app.web.model_filter import Wanted
from hal0app.web.painting import APPEND, TEMPLATES, Painter, iso, patches
from hal0app.web.regions import ASKING, SHELL, VIEWS, Sight, regions_of

# A policy without 'unsafe-inline' or 'unsafe-eval' blocks these, and `|safe` would let a model's name be markup.
FORBIDDEN = re.compile(r"\sstyle\s*=|\son[a-z]+\s*=|hx-on|js:|<style|<script(?![^>]*\ssrc=)|\|\s*safe|autoescape", re.I)
PAINTER = Painter(assets.load().urls)
UP = Observation(Moment(5, 1005), Link.UP)
EVERY_TEMPLATE = sorted(TEMPLATES.rglob("*.html"))


def sight(*states: State, link: Link = Link.UP, message: str = "a is ready", model: str = "tiny") -> Sight:
    views = [
        SlotView(
            SlotConfig(name=name, type=SlotType.LLM, model=model),
            Record(name, state, Reason.EVICTED if state is State.OFFLINE else Reason.NONE, "gone", since=1000.0),
            state,
        )
        for name, state in zip("abcdef", states, strict=False)
    ]
    snapshot = Snapshot(seen=Observation(Moment(6, 1006), link), residency=UP)
    return Sight(snapshot, views, Told((Entry(1000.0, "slot.state", message, id=1),)), 1006.0)


# What the views of the pages add to their regions.
PAGE_FACTS: dict[str, object] = {
    "frame": "layout.html",
    "problem": "",
    "said": "",
    "reload": "",
    "chosen": "",
    "question": "",
    "answer": "",
    "facts": "",
    "failed": "",
    "given": {"system": "", "temperature": "", "max_tokens": ""},
    "aside": False,
    "parts": [],
    "wrong": "",
    "written": {},
    "about": [],
    "findings": [],
    "lemond": (),
    "reading": Reading(),
    "can_save": True,
    "answers": True,
    "pending": 0,
    "who_may": "",
    "diagnostics": "",
    "wanted": Wanted(),
    "rows": [],
    "hidden": 0,
    "orders": {},
    "places": {},
    "shelves": Shelves(),
    "offline": False,
    "nothing_here": False,
    "memory": None,
    "suggestions": [],
    "filters": Filters(),
    "lines": [],
    "theme": "",
    "access": Access(),
    "tab": "",
    "tabs": {"": "What changed, and why"},
    "since": SINCE,
    "after": None,
    "followed": True,
    "before": "",
    "earlier": False,
    "newest": 0,
    "rotated": False,
    "known": 0,
    "slots": [],
    "kinds": [],
}


class Stage:
    """A hub over a sight that the test sets."""

    def __init__(self) -> None:
        self.now = sight(State.READY, State.READY)
        self.looks = 0
        self.hub = Hub(self.look, PAINTER, "build", lambda: Moment(1.0, 1001.0))

    def look(self) -> Sight:
        self.looks += 1
        return self.now


def read(place: object) -> list[str]:
    """The frames that wait for a page whose stream was ended."""
    return [frame.decode() for frame in place]  # type: ignore[attr-defined]


@pytest.mark.parametrize("template", EVERY_TEMPLATE, ids=lambda path: path.name)
def test_a_template_needs_nothing_that_the_policy_forbids(template: Path) -> None:
    assert FORBIDDEN.findall(template.read_text()) == []


@pytest.mark.parametrize(
    "planted",
    ['<p style="x">', '<p onclick="x">', '<p hx-on:click="x">', "<script>x</script>", "<style>", "{{ x | safe }}"],
)
def test_the_check_of_templates_finds_what_is_planted(planted: str) -> None:
    assert FORBIDDEN.search(planted)


def test_the_script_needs_no_eval() -> None:
    for file in assets.FOLDER.glob("*.js"):
        said = file.read_text()
        assert not re.search(r"\beval\b|new Function|innerHTML|insertAdjacentHTML", said)


@pytest.mark.parametrize("region", regions_of(set(VIEWS)), ids=lambda region: region.id)
def test_a_region_is_one_element_with_its_id(region: object) -> None:
    html = PAINTER.paint(region, sight(State.READY), None).html  # type: ignore[arg-type]
    opening = re.match(r"\s*<([a-z]+) id=\"([^\"]+)\"", html)
    assert opening is not None, html
    assert opening[2] == region.id  # type: ignore[attr-defined]
    assert html.rstrip().endswith(f"</{opening[1]}>")


@pytest.mark.parametrize("name", [name for name in VIEWS if name != ASKING])
def test_a_page_has_all_its_regions_and_asks_for_its_own_stream(name: str) -> None:
    stage = Stage()
    page = PAINTER.render(VIEWS[name].template, region=stage.hub.picture(name), view=name, current=name, **PAGE_FACTS)
    assert [region.id for region in VIEWS[name].regions if f'id="{region.id}"' not in page] == []
    assert f'hx-sse:connect="/events?view={name}"' in page
    assert len(re.findall(r'id="([^"]+)"', page)) == len(set(re.findall(r'id="([^"]+)"', page)))


def test_hostile_text_stays_text() -> None:
    now = sight(State.READY, model="<script>x</script><hx-partial>", message='"><img src=x>')
    for region in regions_of(set(VIEWS)):
        html = PAINTER.paint(region, now, None).html
        assert not re.search(r"<script|<img|<hx-partial", html)


def test_equal_facts_are_painted_once() -> None:
    region = VIEWS["slots"].own[1]
    before = PAINTER.paint(region, sight(State.READY), None)
    assert PAINTER.paint(region, sight(State.READY), before) is before


def test_only_the_card_that_changed_is_sent() -> None:
    region = VIEWS["slots"].own[1]
    before = PAINTER.paint(region, sight(State.READY, State.READY), None)
    now = PAINTER.paint(region, sight(State.READY, State.SERVING), before)
    assert [patch.id for patch in patches(region, before, now)] == ["slot-b"]


@pytest.mark.parametrize("states", [(State.READY,), (State.OFFLINE, State.READY), ()], ids=len)
def test_other_cards_or_another_order_send_the_grid(states: tuple[State, ...]) -> None:
    region = VIEWS["slots"].own[1]
    before = PAINTER.paint(region, sight(State.READY, State.READY), None)
    now = PAINTER.paint(region, sight(*states), before)
    assert [patch.id for patch in patches(region, before, now)] == ["slot-grid"]


def told(*ids: int) -> Sight:
    return replace(sight(), told=Told(tuple(Entry(1000.0, "slot.state", f"line {id_}", id=id_) for id_ in ids)))


def test_of_the_journal_only_new_lines_are_sent_and_put_at_its_end() -> None:
    region = VIEWS["journal"].own[0]
    before = PAINTER.paint(region, told(1, 2), None)
    now = PAINTER.paint(region, told(2, 3, 4), before)
    (patch,) = patches(region, before, now)
    assert (patch.id, patch.swap, re.findall(r"line \d", patch.html)) == ("log", APPEND, ["line 3", "line 4"])
    assert patches(region, now, PAINTER.paint(region, told(3, 4), now)) == []


def test_a_page_that_joins_gets_everything_and_then_only_news() -> None:
    stage = Stage()
    place = stage.hub.join("slots")
    stage.now = sight(State.READY, State.SERVING)
    other = stage.hub.join("slots")
    stage.hub.close()
    assert place is not None
    whole, beat, news = read(place)
    assert all(f"#{region.id}" in whole for region in VIEWS["slots"].regions)
    assert beat.startswith("event: beat\n")
    assert re.findall(r'hx-target="([^"]+)"', news) == ["#slot-b"]
    assert len(read(other)) == 2


def test_places_are_counted_and_given_back() -> None:
    hub = Stage().hub
    places = [hub.join("slots") for _ in range(PLACES)]
    assert all(places)
    assert hub.join("slots") is None
    assert places[0] is not None
    places[0].close()
    places[0].close()
    assert hub.join("slots") is not None


def test_one_address_does_not_take_all_places() -> None:
    hub = Stage().hub
    places = [hub.join("slots", "10.0.0.7") for _ in range(PLACES_PER_ADDRESS)]
    assert all(places)
    assert hub.join("slots", "10.0.0.7") is None
    assert hub.join("slots", "10.0.0.8") is not None
    assert places[0] is not None
    places[0].close()
    assert hub.join("slots", "10.0.0.7") is not None


@pytest.mark.parametrize(
    ("address", "counted"), [("10.0.0.7", "10.0.0.7"), ("127.0.0.1", ""), ("::1", ""), ("", ""), ("fe80::1", "fe80::1")]
)
def test_this_machine_itself_is_not_counted(address: str, counted: str) -> None:
    assert _counted(address) == counted


def test_a_page_that_does_not_read_is_let_go_and_its_place_is_free() -> None:
    hub = Stage().hub
    slow = hub.join("slots")
    for number in range(QUEUE):
        hub.say(f"message {number}")
    assert len(read(slow)) == QUEUE - 1
    assert all(hub.join("slots") for _ in range(PLACES))


@pytest.mark.parametrize("closing", [True, False])
def test_a_stream_that_ends_with_hal0_takes_no_further_request(closing: bool) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        place = Stage().hub.join("slots")
        assert place is not None
        place.end()
        assert list(_Stream(place, lambda: closing, ours))
        if not closing:
            theirs.sendall(b"GET")
        assert ours.recv(3) == (b"" if closing else b"GET")
        ours.sendall(b"0")
        assert theirs.recv(1) == b"0"


def test_a_closed_hub_gives_no_places_but_still_shows_the_page() -> None:
    hub = Stage().hub
    hub.close()
    assert hub.join("slots") is None
    assert "slot-grid" in hub.whole("slots")


@pytest.mark.parametrize(
    ("link", "words"), [(Link.UP, ""), (Link.BUSY, "Lemonade is busy"), (Link.DOWN, "Lemonade is not answering")]
)
def test_busy_and_down_are_told_apart(link: Link, words: str) -> None:
    line = next(region for region in SHELL if region.id == "lemonade")
    html = PAINTER.paint(line, sight(State.READY, link=link), None).html
    assert (words in html) if words else ("<p" not in html)


def lemonade(now: Sight) -> str:
    line = next(region for region in SHELL if region.id == "lemonade")
    return PAINTER.paint(line, now, None).html


def test_a_lemonade_that_was_never_seen_and_is_not_there_is_not_installed() -> None:
    now = sight(link=Link.DOWN)
    never = replace(now, snapshot=Snapshot(), lemonade_there=lambda: False)
    assert "Lemonade is not installed" in lemonade(never)
    assert "Lemonade is not answering" in lemonade(replace(never, lemonade_there=lambda: True))
    assert "Lemonade is not answering" in lemonade(replace(now, lemonade_there=lambda: False))


def test_a_refused_key_is_told_as_what_it_is() -> None:
    seen = Observation(Moment(6, 1006), Link.BUSY, locked_out=True)
    assert "refused our key" in lemonade(replace(sight(), snapshot=Snapshot(seen=seen, residency=UP)))


def test_what_a_failed_load_took_away_and_a_restart_are_told_until_they_are_mended() -> None:
    def with_slot(reason: Reason, *entries: Entry) -> str:
        record = Record("chat", State.OFFLINE, reason, "gone", since=1000.0)
        view = SlotView(SlotConfig(name="chat", type=SlotType.LLM, model="m"), record, State.OFFLINE)
        return lemonade(replace(sight(), slots=[view], told=Told(entries)))

    failed = Entry(1000.0, "slot.load", "", model="big", data={"code": "model.load_failed"})
    assert "Loading big failed and Lemonade unloaded everything" in with_slot(Reason.NUCLEAR, failed)
    back = Entry(1000.0, "lemond.restart", "")
    assert "Lemonade restarted at" in with_slot(Reason.LEMOND_RESTARTED, back)
    assert "<p" not in with_slot(Reason.EVICTED, back)
    assert "<p" not in with_slot(Reason.LEMOND_RESTARTED, Entry(100.0, "lemond.restart", ""))


def test_a_time_stands_nowhere_but_where_the_browser_puts_the_readers_own() -> None:
    assert [one.name for one in EVERY_TEMPLATE if "| clock" in one.read_text()] == ["_parts.html"]
    lane = Lane("a", (Span(Phase.LOADED, 60.0, 120.0),), (Loss("a", "tiny", 120.0, Reason.EVICTED, "gone"),))
    picture = PAINTER.render("partials/_residency.html", it=Timeline(0.0, 3600.0, (lane,)))
    assert [re.findall(r'datetime="([^"]+)"', title) for title in re.findall("<title>.*</title>", picture)] == [
        ["1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z"],
        ["1970-01-01T00:02:00Z"],
    ]


def test_without_a_script_a_page_says_by_whose_clock_it_tells_the_time() -> None:
    page = PAINTER.render(
        "slots.html", region=Stage().hub.picture("slots"), view="slots", current="slots", **PAGE_FACTS
    )
    assert f"by this host's clock ({datetime.now().astimezone().tzname()})" in page


def test_times_for_machines_are_utc() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
