"""Puts the pages into the application: assets, painter, hub and blueprints, joined to hal0's services."""

from __future__ import annotations

from functools import partial

from flask import Flask

from hal0app.errors import Hal0Error
from hal0app.services.hal0 import Hal0
from hal0app.web import assets, events, pages, regions
from hal0app.web.hub import Hub
from hal0app.web.outcomes import Outcomes
from hal0app.web.painting import Painter, build
from hal0app.web.site import EXTENSION, Site


def init_app(app: Flask, hal0: Hal0) -> None:
    """Register the pages; the hub begins and ends with hal0's background work."""
    loaded = assets.load()
    painter = Painter(loaded.urls)
    hub = Hub(partial(regions.look, hal0), painter, build(loaded.urls), hal0.clock)

    def tell(slot: str, error: Hal0Error) -> None:
        hub.say(pages.toast(painter, f"{slot}: {error.message}", failed=True))

    app.extensions[EXTENSION] = Site(hal0, loaded, painter, hub, Outcomes(tell))
    app.register_blueprint(pages.bp)
    app.register_blueprint(events.bp)
    hal0.observer.subscribe(hub.wake)
    hal0.on_start.append(hub.start)
    hal0.on_drain.append(hub.close)
