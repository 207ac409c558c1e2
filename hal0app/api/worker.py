"""gunicorn's gevent worker with a fast lane: on each connection plain requests go past WSGI, all others through it.

gunicorn loads this module before the worker patches anything, so that of hal0 it imports only what does the same.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any

from gevent import GreenletExit, get_hub
from gunicorn import util
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request

from hal0app.api import unread
from hal0app.api.bounded_worker import BoundedWorker
from hal0app.api.client_socket_watch import bare

EXTENSION = "hal0.fast_lane"
READABLE = 1
LEFT = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})


class Idle:
    """Ends the reading of a connection once it took `limit_s` seconds: for a request that is as if its client left.

    `readable` is the hub's watcher for what comes; who serves a request has it until he is through.
    """

    def __init__(self, client: Any, limit_s: float) -> None:
        self._client = client
        loop = get_hub().loop
        self._timer, self.readable = loop.timer(limit_s, limit_s), loop.io(client.fileno(), READABLE)

    def begin(self) -> None:
        """From now on."""
        self._timer.again(self._end)

    def dismiss(self) -> None:
        """hal0 is about to end; who is being served is told elsewhere."""
        if self._timer.active:
            self._end()

    def wait(self) -> None:
        """Until there is something to read, which cannot be there yet; everybody else has a turn."""
        get_hub().wait(self.readable)

    def stop(self) -> None:
        """What there was to read is there."""
        self._timer.stop()

    def close(self) -> None:
        for watcher in (self._timer, self.readable):
            watcher.stop()
            watcher.close()

    def _end(self) -> None:
        self._timer.stop()
        with suppress(OSError):
            bare(self._client).shutdown(socket.SHUT_RD)  # gevent's own would be an error for who reads


class Worker(BoundedWorker):
    """Time limits, keep-alive, the number of connections and the end of the worker are gunicorn's in both lanes."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end."""
        lane = self.wsgi.extensions.get(EXTENSION)
        if lane is None or not isinstance(addr, tuple) or not self._is_plain():
            super().handle(listener, client, addr)
            return
        client.setblocking(True)
        request, idle = None, Idle(client, self.cfg.keepalive)
        try:
            address, parser = listener.getsockname(), lane.parser(self.cfg, client, addr)
            lane.company.add(idle)
            stays = True
            while stays and (request := _next(parser, idle)) is not None:
                stays = self._served(lane, request, address, client, addr, idle.readable) and self.alive
        except NoMoreData:
            self.log.debug("a client left in the middle of a head")
        except OSError as problem:
            if problem.errno not in LEFT:
                self.log.exception("a connection failed")
        except (GreenletExit, SystemExit):
            self.log.debug("a connection was ended with its worker")
        except Exception as problem:  # noqa: BLE001 - gunicorn tells the log and the client
            self.handle_error(request if isinstance(request, Request) else None, client, addr, problem)
        finally:
            lane.company.discard(idle)
            idle.close()
            util.close(client)

    def _is_plain(self) -> bool:
        """Whether connections are HTTP/1.1 over TCP, one request after the other, and nothing else."""
        cfg = self.cfg
        odd = cfg.is_ssl or cfg.proxy_protocol != "off" or cfg.protocol != "http" or cfg.http2_cleartext != "off"
        return bool(cfg.keepalive) and not odd

    def _served(self, lane: Any, request: Any, address: Any, client: Any, addr: Any, readable: Any) -> bool:
        """Answer a request; whether the connection can be used again."""
        if isinstance(request, Request):
            request.proxy_protocol_info = {}
            try:
                self.handle_request(address, request, client, addr)
            except StopIteration:
                return False
            return True
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        stays: bool = lane.serve(request, client, readable, stopping=not self.alive)
        if unread.ends_connection(request.body):
            unread.let_it_read(client)
        return stays


def _next(parser: Any, idle: Idle) -> Any:
    """The next request, whose head may take as long as a connection may be idle; None at the end."""
    idle.begin()
    try:
        if parser.has_to_wait:
            idle.wait()
        else:
            Worker.give_turn()
        return next(parser, None)
    finally:
        idle.stop()
