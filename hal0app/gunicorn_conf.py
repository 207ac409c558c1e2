"""How gunicorn runs hal0: one gevent worker, which patches itself before it loads the app; so never preload.

Module-level names are gunicorn's settings; times are in seconds.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import gevent

from hal0app.adapters import systemd_notify
from hal0app.adapters.paths import from_environment
from hal0app.adapters.settings_file import load_settings
from hal0app.core.schema import SchemaError

DRAIN_POLL_S = 0.1


def _bind() -> str:
    """`host:port` from the settings; a broken hal0.toml ends the process with its error, not with a trace."""
    try:
        server = load_settings(from_environment(os.environ)).server
    except SchemaError as problem:
        sys.exit(f"hal0: {problem}")
    return f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"


bind = _bind()
proc_name = "hal0"
worker_class = "gevent"
workers = 1
worker_connections = 4000
backlog = 4096
timeout = 30  # a hub that stalls this long is dead; a request may take as long as it likes
graceful_timeout = 3
keepalive = 15
control_socket_disable = True  # it would want a writable home


def post_worker_init(worker: Any) -> None:
    """Start hal0's background services in the worker, and end them with it."""
    hal0 = worker.wsgi.extensions["hal0"]
    hal0.start()
    gevent.spawn(_drain_at_end, worker, hal0)
    if period_s := systemd_notify.watchdog_period_s(os.environ):
        gevent.spawn(_feed_the_watchdog, worker, period_s)


def _drain_at_end(worker: Any, hal0: Any) -> None:
    """Let open streams end themselves once the worker stops, instead of holding it for the grace period."""
    while worker.alive:
        gevent.sleep(DRAIN_POLL_S)
    hal0.drain()


def _feed_the_watchdog(worker: Any, period_s: float) -> None:
    """Tell systemd that this event loop turns, for as long as it does."""
    while worker.alive:
        systemd_notify.send("WATCHDOG=1", os.environ)
        gevent.sleep(period_s)
