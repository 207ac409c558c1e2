"""The whole application in one value: its services, and how its background work starts and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hal0app.core.clock import Clock
from hal0app.core.settings import Settings
from hal0app.services.backends import Backends
from hal0app.services.catalogue import Catalogue
from hal0app.services.company import Company
from hal0app.services.control import Control
from hal0app.services.dispatch import Dispatch
from hal0app.services.downloads import Downloads
from hal0app.services.feed import Feed
from hal0app.services.heard import Heard
from hal0app.services.lemond_config import LemondConfig
from hal0app.services.machine import Machine
from hal0app.services.models import Models
from hal0app.services.observer import Observer
from hal0app.services.ports import States
from hal0app.services.requests import Requests
from hal0app.services.restart import Restart
from hal0app.services.room import Room
from hal0app.services.settings import SettingsDesk
from hal0app.services.slots import Slots
from hal0app.services.starter import Starter
from hal0app.services.stats import Stats
from hal0app.services.stock import Stock
from hal0app.services.traffic import Traffic
from hal0app.services.upload import Kept


class Worker(Protocol):
    """Something that works in the background from `start` to `drain`."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


@dataclass
class Hal0:
    """What the API and the pages use. `start` runs in the worker, after gevent has patched it."""

    settings: Settings
    clock: Clock
    observer: Observer
    control: Control
    catalogue: Catalogue
    slots: Slots
    dispatch: Dispatch
    store: States
    feed: Feed
    models: Models
    downloads: Downloads
    backends: Backends
    requests: Requests
    room: Room
    stats: Stats
    metrics: Callable[[str], tuple[bytes, str]]  # the Accept header -> Prometheus' text and its type
    stock: Stock
    machine: Machine
    desk: SettingsDesk
    lemond_config: LemondConfig
    traffic: Traffic
    heard: Heard  # Lemonade's log
    own_log: Heard
    starter: Starter
    restart: Restart
    lemonade_key: str  # what may be told of it
    lemonade_there: Callable[[], bool]  # whether the host has one that could be started
    give_back: Callable[[], None]  # tells the next worker that this one ended in good order
    kept: Kept = field(default_factory=Kept)  # of uploads under way
    company: Company = field(default_factory=Company)  # clients that are being served
    workers: list[Worker] = field(default_factory=list)
    on_start: list[Callable[[], None]] = field(default_factory=list)
    on_drain: list[Callable[[], None]] = field(default_factory=list)

    def start(self) -> None:
        """Take the place of the one worker, look once, then keep looking and working."""
        for hook in self.on_start:
            hook()
        self.observer.step()
        workers: list[Worker] = [self.observer, self.control, *self.workers]
        for worker in workers:
            threading.Thread(target=worker.run, name=f"hal0-{type(worker).__name__.lower()}", daemon=True).start()

    def drain(self) -> None:
        """End background work and open streams; requests under way finish by themselves."""
        for hook in self.on_drain:
            hook()
        self.feed.close()
        workers: list[Worker] = [*self.workers, self.control, self.observer]
        for worker in workers:
            worker.stop()
