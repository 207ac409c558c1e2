"""The whole application in one value: its services, and how its background work starts and ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hal0app.core.clock import Clock
from hal0app.core.settings import Settings
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Control
from hal0app.services.dispatch import Dispatch
from hal0app.services.observer import Observer
from hal0app.services.ports import States
from hal0app.services.slots import Slots


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
    on_start: list[Callable[[], None]] = field(default_factory=list)
    on_drain: list[Callable[[], None]] = field(default_factory=list)

    def start(self) -> None:
        """Take the place of the one worker, look once, then keep looking and working."""
        for hook in self.on_start:
            hook()
        self.observer.step()
        for name, work in (("observer", self.observer.run), ("control", self.control.run)):
            threading.Thread(target=work, name=f"hal0-{name}", daemon=True).start()

    def drain(self) -> None:
        """End background work and open streams; requests under way finish by themselves."""
        for hook in self.on_drain:
            hook()
        self.control.stop()
        self.observer.stop()
