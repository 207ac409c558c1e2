"""How gunicorn runs hal0: one gevent worker, which patches itself before it loads the app; so never preload.

Module-level names are gunicorn's settings; times are in seconds.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from typing import Any

import gevent
from gunicorn.sock import TCP6Socket, TCPSocket

from hal0app.adapters import fd_store, systemd_notify
from hal0app.adapters.paths import from_environment
from hal0app.adapters.settings_file import load_settings
from hal0app.adapters.tcp_ports import is_free
from hal0app.core.schema import SchemaError
from hal0app.core.settings import Settings

DRAIN_POLL_S = 0.25
LEAVE_S = 1.5  # what is under way when hal0 is to stop may take so long to end by itself
# Collecting garbage stops every stream. What is there after the start stays, and is looked at no more; of what comes
# later most goes by itself, so that looking seldom is enough.
GARBAGE = (10_000, 10, 10)
SOCKET_UNIT = "hal0.socket"
SLOT_SOCKETS = "slot"  # what the slots' listening sockets are called in systemd's store
SWITCH_S = 0.001  # how long a thread that works in Python keeps the event loop waiting at a time


def _settings() -> Settings:
    """The settings; a broken hal0.toml ends the process with its error, not with a trace."""
    try:
        return load_settings(from_environment(os.environ))
    except SchemaError as problem:
        sys.exit(f"hal0: {problem}")


def _log_level() -> int:
    name = os.environ.get("HAL0_LOG_LEVEL", "warning").upper()
    levels = logging.getLevelNamesMapping()
    if name not in levels:
        sys.exit(f"hal0: HAL0_LOG_LEVEL is '{name[:40]}', but must be one of {', '.join(levels).lower()}")
    return levels[name]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


_all = _settings()
_slots = [port for port in _all.slot_ports.ports if port != _all.server.port]
# Open still, from before a restart.
_left = set(fd_store.handed_over(SLOT_SOCKETS, os.environ))
_held = next(iter(fd_store.handed_over(SOCKET_UNIT, os.environ)), None)
_own = {port for _, port in _left}
_busy = [port for port in _slots if port not in _own and not is_free(_all.slot_ports.host, port)]

# A slot port that another program has is done without; hal0's own address is not.
bind = [
    _address(_all.server.host, _all.server.port),
    *(_address(_all.slot_ports.host, port) for port in _slots if port not in _busy),
]
log_level = _log_level()
proc_name = "hal0"
worker_class = "hal0app.api.worker.Worker"
workers = 1
worker_connections = 4000
backlog = 4096
timeout = 30  # a hub that stalls this long is dead; a request may take as long as it likes
graceful_timeout = 4  # it looks once a second whether all have left, which they have by then
keepalive = 20  # longer than clients keep an idle connection (aiohttp 15), so that no request meets its end
forwarder_headers = ""  # or a client of a proxy on this machine could move its path about with a header SCRIPT_NAME
control_socket_disable = True  # it would want a writable home


def on_starting(server: Any) -> None:
    """Tell which slot ports another program has."""
    if _busy:
        ports = ", ".join(map(str, _busy))
        server.log.warning(
            "in use by another program, so no slot answers there: %s port %s", _all.slot_ports.host, ports
        )


def when_ready(server: Any) -> None:
    """Open the slots' ports beside a socket that systemd handed over, for then gunicorn opens none by itself.

    systemd keeps them while hal0 restarts, so that new connections wait there, too. Those of before that the settings
    do not want now are closed: what comes in on them is not for hal0's own address.
    """
    if not server.systemd:
        return
    host, kind = _all.slot_ports.host, TCP6Socket if ":" in _all.slot_ports.host else TCPSocket
    wanted = [(host, port) for port in _slots if port not in _busy]
    for listener in [one for one in server.LISTENERS if fd_store.address(one) in _left.difference(wanted)]:
        server.LISTENERS.remove(listener)
        fd_store.end(listener)
    for address in wanted:
        if address not in _left:
            server.LISTENERS.append(kind(address, server.cfg, server.log))
    fd_store.leave(SLOT_SOCKETS, [one for one in server.LISTENERS if fd_store.address(one) in wanted], os.environ)


def post_worker_init(worker: Any) -> None:
    """Start hal0's background services in the worker, and end them with it."""
    logging.basicConfig(level=log_level, format="%(levelname)s %(name)s: %(message)s")
    hal0 = worker.wsgi.extensions["hal0"]
    hal0.desk.listens_by(_all, SOCKET_UNIT, _held)
    hal0.start()
    gevent.spawn(_drain_at_end, worker, hal0)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    sys.setswitchinterval(SWITCH_S)
    if period_s := systemd_notify.watchdog_period_s(os.environ):
        gevent.spawn(_feed_the_watchdog, worker, period_s)


def worker_abort(worker: Any) -> None:
    """It stalled for `timeout` seconds: that is no end in good order."""
    worker.stalled = True


def worker_exit(server: Any, worker: Any) -> None:
    """Write the records of requests that ended while everything else stopped, and that it is the end."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        hal0 = app.extensions["hal0"]
        if not getattr(worker, "stalled", False):
            hal0.give_back()
        hal0.requests.flush()


def _drain_at_end(worker: Any, hal0: Any) -> None:
    """Let open streams end once the worker stops, with a word about it, instead of holding it for the grace period.

    The end is in good order from here on, though gunicorn kills a worker that still streams after that period.
    """
    while worker.alive:
        gevent.sleep(DRAIN_POLL_S)
    if not getattr(worker, "stalled", False):
        hal0.give_back()
    hal0.drain()
    gevent.sleep(LEAVE_S)
    hal0.company.dismiss()


def _feed_the_watchdog(worker: Any, period_s: float) -> None:
    """Tell systemd that this event loop turns, for as long as it does."""
    while worker.alive:
        systemd_notify.send("WATCHDOG=1", os.environ)
        gevent.sleep(period_s)
