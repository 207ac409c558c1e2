"""gunicorn's gevent worker, with bounds on what one client can take from the others.

gunicorn loads this module before the worker patches anything, so that the rest of hal0 is imported when
it is needed.
"""

from __future__ import annotations

import time
from typing import Any

from gunicorn.http.message import Request
from gunicorn.workers.ggevent import GeventWorker

from hal0app.api import unread


class Bounded(Request):  # type: ignore[misc]
    """A request of gunicorn's, which ends its connection when much of its body is left unread, and when it says so."""

    def should_close(self) -> bool:
        """Whether the connection ends with it; the answer depends on how much has been read by now."""
        return super().should_close() or unread.ends_connection(self.body) or self._says_close()

    def _says_close(self) -> bool:
        told = ",".join(value for name, value in self.headers if name == "CONNECTION")
        return "close" in (wish.strip() for wish in told.lower().split(","))


class BoundedWorker(GeventWorker):  # type: ignore[misc]
    """Everybody gets a turn between two requests of one connection; who takes nothing of an answer is cut off; a body
    that nobody reads ends its connection, and what follows on the wire is thrown away within bounds."""

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request. StopIteration makes gunicorn close the connection."""
        self.give_turn()
        req.__class__ = Bounded
        sock.settimeout(self._stall_s())
        try:
            super().handle_request(listener_name, req, sock, addr)
        except TimeoutError:
            unread.reset(sock)
            self.log.debug("a client took nothing of its answer for too long")
            raise StopIteration from None
        finally:
            if unread.ends_connection(req.body):
                unread.let_it_read(sock)
            sock.settimeout(None)

    @staticmethod
    def give_turn() -> None:
        """Let everybody else go on; requests that are there already would be served one after the other without."""
        time.sleep(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Tell the client, and the log, what is wrong with its request, or with hal0."""
        from hal0app.api import bad_head

        error = bad_head.refuse(client, exc)
        if error.code == "system.internal":
            self.log.error("a request failed unexpectedly", exc_info=exc)
        else:
            self.log.warning("%s sent no request: %s", addr[0] if addr else "somebody", error.message)

    def _stall_s(self) -> float:
        """How long a client may take nothing of what is sent to it, in seconds."""
        seconds: float = self.wsgi.extensions["hal0"].settings.dispatch.stall_s
        return seconds
