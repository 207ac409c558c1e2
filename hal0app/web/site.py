"""What the pages stand on, in one value, found through the Flask application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import current_app

from hal0app.services.hal0 import Hal0
from hal0app.services.ports import Client
from hal0app.services.recall import Recall
from hal0app.services.tries import Tries
from hal0app.web.access import Rights
from hal0app.web.assets import Assets
from hal0app.web.hub import Hub
from hal0app.web.outcomes import Outcomes
from hal0app.web.painting import Painter

EXTENSION = "hal0-web"
Line = Callable[[dict[str, Any]], Client]  # the connection of a request, from its WSGI environment


@dataclass(frozen=True)
class Site:
    """hal0 itself, and the parts that show it."""

    hal0: Hal0
    assets: Assets
    painter: Painter
    hub: Hub
    outcomes: Outcomes
    recall: Recall
    line: Line
    rights: Rights
    tries: Tries


def site() -> Site:
    """The site behind this request."""
    found: Site = current_app.extensions[EXTENSION]
    return found
