"""Puts the pages into the application: assets, painter, hub and blueprints, joined to hal0's services."""

from __future__ import annotations

from functools import partial

from flask import Flask

from hal0app.errors import Hal0Error
from hal0app.services.hal0 import Hal0
from hal0app.services.recall import Recall
from hal0app.services.tries import Tries
from hal0app.web import (
    assets,
    blueprint,
    chat_pages,
    events,
    journal_pages,
    lemonade_acts,
    login_pages,
    model_pages,
    pages,
    regions,
    restart_pages,
    settings_pages,
    slot_acts,
    slot_pages,
)
from hal0app.web.access import Rights
from hal0app.web.hub import Hub
from hal0app.web.outcomes import Outcomes
from hal0app.web.painting import Painter, build
from hal0app.web.site import EXTENSION, Line, Site

# Each of them puts its routes on the blueprint.
PAGES = (
    pages,
    chat_pages,
    settings_pages,
    restart_pages,
    journal_pages,
    model_pages,
    slot_acts,
    slot_pages,
    lemonade_acts,
    login_pages,
)


def init_app(app: Flask, hal0: Hal0, line: Line, rights: Rights) -> None:
    """Register the pages; the hub begins and ends with hal0's background work.

    `line`: a request's connection. `rights`: who may change something.
    """
    loaded = assets.load()
    painter = Painter(loaded.urls)
    recall = Recall(hal0.store)
    hub = Hub(partial(regions.look, hal0, recall), painter, build(loaded.urls), hal0.clock)

    def tell(slot: str, error: Hal0Error) -> None:
        hub.say(blueprint.toast(painter, f"{slot}: {error.message}", failed=True))

    parts = (hal0, loaded, painter, hub, Outcomes(tell), recall, line, rights, Tries(hal0.clock))
    app.extensions[EXTENSION] = Site(*parts)
    app.register_blueprint(blueprint.bp)
    app.register_blueprint(events.bp)
    hal0.observer.subscribe(hub.wake)
    hal0.stock.subscribe(hub.wake)
    hal0.machine.subscribe(hub.wake)
    hal0.restart.subscribe(hub.restarts)
    hal0.on_start.append(hub.start)
    hal0.on_drain.append(hub.close)
