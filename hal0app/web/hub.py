"""The hub of the live pages: looks when something changed, renders each region once, and tells every open page.

One thread does the work. It is gevent's in the worker, which patched `threading` and `queue` before this was loaded.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from markupsafe import Markup

from hal0app.core import sse
from hal0app.core.clock import Clock
from hal0app.web.painting import Painter, Painting, Patch, patches
from hal0app.web.regions import VIEWS, Region, Sight, regions_of

log = logging.getLogger(__name__)

PLACES = 64
PLACES_PER_ADDRESS = 8
QUEUE = 64  # frames that a page may lie behind before it is let go
BEAT_S = 2.0
END = None
RESTARTING = sse.frame("now", "restarting")
# The padding gets the first bytes through proxies that collect.
OPENING = sse.comment(" " * 1024) + b"retry: 1000\n"


class Place:
    """One open page: its view and the frames it has not read yet. Closing it twice is fine."""

    def __init__(self, view: str, leave: Callable[[Place], None], address: str = "") -> None:
        self.view, self.address = view, address
        self._leave = leave
        self._frames: queue.Queue[bytes | None] = queue.Queue(QUEUE)

    def put(self, frame: bytes | None) -> bool:
        """Whether there was room for it."""
        with suppress(queue.Full):
            self._frames.put_nowait(frame)
            return True
        return False

    def end(self) -> None:
        """Let the reader end; what it has not read yet is dropped if there is no room to say so."""
        while not self.put(END):
            with suppress(queue.Empty):
                self._frames.get_nowait()

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._frames.get, END)

    def close(self) -> None:
        """The page is gone."""
        self._leave(self)


class Hub:
    """Keeps every open page true."""

    def __init__(self, look: Callable[[], Sight], painter: Painter, build: str, clock: Clock) -> None:
        self._look, self._painter, self._build, self._clock = look, painter, build, clock
        self._places: set[Place] = set()
        self._painted: dict[Region, Painting] = {}
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._next_beat = 0.0
        self._closed = self._restarting = False

    # -- for requests

    def join(self, view: str, address: str = "") -> Place | None:
        """A place on the stream of `view`, its first frame the whole page; None when all places are taken.

        One `address` gets `PLACES_PER_ADDRESS` of them; an empty one is not counted.
        """
        with self._lock:
            if self._closed or len(self._places) >= PLACES or self._has_enough(address):
                return None
            self._refresh(view)
            place = Place(view, self._leave, address)
            place.put(OPENING + sse.frame(self._whole(view)))
            place.put(self._beat())
            self._places.add(place)
            return place

    def _has_enough(self, address: str) -> bool:
        return bool(address) and sum(place.address == address for place in self._places) >= PLACES_PER_ADDRESS

    def _leave(self, place: Place) -> None:
        self._places.discard(place)

    def picture(self, view: str) -> dict[str, Markup]:
        """Every region of `view` as it looks now, by id."""
        with self._lock:
            self._refresh(view)
            return {region.id: self._painted[region].html for region in VIEWS[view].regions}

    def whole(self, view: str) -> str:
        """The same as one message: what a page without a place asks for every few seconds."""
        with self._lock:
            self._refresh(view)
            return self._whole(view)

    def pulse(self) -> dict[str, object]:
        """What a page knows itself by: the build that is served, and the time in Unix milliseconds."""
        return {"t": round(self._clock().wall * 1000), "boot": self._build}

    def say(self, html: str) -> None:
        """Send a message to every open page."""
        with self._lock:
            self._send(self._places, sse.frame(html))

    def restarts(self) -> None:
        """Tell every open page that hal0 is restarted, as somebody asked; none is told any more that it is live."""
        with self._lock:
            self._restarting = True
            self._send(self._places, RESTARTING)

    # -- the thread

    def start(self) -> None:
        """Begin to work."""
        threading.Thread(target=self.run, name="hal0-hub", daemon=True).start()

    def wake(self, _: object = None) -> None:
        """Something may have changed."""
        self._woken.set()

    @property
    def closed(self) -> bool:
        """Whether it gives no more places."""
        return self._closed

    def close(self) -> None:
        """End every stream, and give no more places."""
        with self._lock:
            self._closed = True
            for place in list(self._places):
                place.end()
            self._places.clear()
        self.wake()

    def run(self) -> None:
        """Tell the news until closed; a fault is logged, and the next look tries again."""
        while not self._closed:
            self._woken.wait(BEAT_S)
            self._woken.clear()
            try:
                self._tell()
            except Exception:
                log.exception("the pages could not be brought up to date")

    def _tell(self) -> None:
        with self._lock:
            if self._places:
                self._refresh()
                if self._clock().tick >= self._next_beat and not self._restarting:
                    self._send(self._places, self._beat())
                    self._next_beat = self._clock().tick + BEAT_S

    # -- under the lock

    def _refresh(self, wanted: str | None = None) -> None:
        """Look once, paint the regions that anybody sees or wants, and tell the open pages what changed."""
        seen = {place.view for place in self._places}
        views = seen | ({wanted} if wanted else set())
        sight = self._look()
        changed: dict[Region, list[Patch]] = {}
        for region in regions_of(views):
            before = self._painted.get(region)
            now = self._painted[region] = self._painter.paint(region, sight, before)
            changed[region] = patches(region, before, now)
        for view in seen:
            news = [patch for region in VIEWS[view].regions for patch in changed[region]]
            if news:
                self._send([place for place in self._places if place.view == view], sse.frame(message(news)))

    def _whole(self, view: str) -> str:
        return message(
            patch for region in VIEWS[view].regions for patch in patches(region, None, self._painted[region])
        )

    def _beat(self) -> bytes:
        return sse.frame(json.dumps(self.pulse()), "beat")

    def _send(self, places: Iterable[Place], frame: bytes) -> None:
        """A page that has not read what it got before is let go: its next connection begins with the whole."""
        for place in list(places):
            if not place.put(frame):
                self._places.discard(place)
                place.end()


def message(news: Iterable[Patch]) -> str:
    """What makes htmx change these elements."""
    return "".join(f'<hx-partial hx-target="#{id_}" hx-swap="{swap}">{html}</hx-partial>' for id_, html, swap in news)
