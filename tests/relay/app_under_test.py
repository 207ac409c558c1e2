"""hal0 as a WSGI application that can be looked into, and, as a program, served by a server without a socket to take.

`/relay-test/counts` tells what a request leaves behind, `/relay-test/ends/<script>` how its relay ended and how many of
its pieces were `spared` the framing,
`/relay-test/ways/<script>` in which lane requests for inference came. A request with `X-Beats: n` gets n signs of life
before its lease; `X-Then: error` refuses it after them.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections import defaultdict
from typing import Any

import gevent
from flask import Flask, Response, jsonify, request
from greenlet import greenlet
from werkzeug.serving import WSGIRequestHandler, make_server

from hal0app import errors, wiring
from hal0app.api import inference, v1
from hal0app.api.incoming import Incoming
from hal0app.api.plain_request import PlainRequest
from hal0app.core.ending import Ending
from hal0app.core.fair_queue import Caller
from hal0app.services.answer import Answer
from hal0app.services.control import Control, Want
from hal0app.services.lease import Lease
from hal0app.services.ports import Client

KEPT = 4096  # bytes of an answer
CURRENT = threading.local()  # `headers` of the request that this greenlet or thread serves


def create_app() -> Flask:
    app = wiring.create_app()
    hal0 = app.extensions["hal0"]
    with_ends(app)
    app.add_url_rule("/relay-test/counts", "counts", lambda: counts(hal0))
    with_heartbeats(hal0.control)
    return app


def counts(hal0: Any) -> Response:
    gc.collect()
    greenlets = sum(isinstance(one, greenlet) and not one.dead for one in gc.get_objects())
    watchers = gevent.get_hub().loop.activecnt
    return jsonify(greenlets=greenlets, files=len(os.listdir("/proc/self/fd")), watchers=watchers)


def with_ends(app: Flask) -> None:
    """Keep, besides the record, how an answer ended and what its tap was given, under the name of its script."""
    ends: dict[str, list[dict[str, Any]]] = defaultdict(list)
    ways: dict[str, list[str]] = defaultdict(list)

    def noted(answer: Answer, name: str) -> Answer:
        raw, tap, repeats, on_end = bytearray(), answer.tap, answer.repeats, answer.on_end
        spared = 0

        def seen(piece: bytes) -> None:
            raw.extend(piece[: KEPT - len(raw)])
            if tap is not None:
                tap(piece)

        def repeated(piece: bytes) -> int:
            nonlocal spared
            size = repeats(piece)
            spared += size > 0
            raw.extend(piece[: min(size, KEPT - len(raw))])
            return size

        def ended(ending: Ending, sent: int) -> None:
            ends[name].append({"ending": ending, "sent": sent, "raw": raw.decode("latin-1"), "spared": spared})
            if on_end is not None:
                on_end(ending, sent)

        answer.tap, answer.repeats, answer.on_end = seen, repeated, ended
        return answer

    serve, followed = inference.serve, v1.followed

    def served(hal0: Any, endpoint: Any, asked: Incoming, *more: Any) -> Answer:
        CURRENT.headers = asked.headers
        ways[asked.headers.get("X-Script", "")].append("fast" if isinstance(asked, PlainRequest) else "flask")
        return noted(serve(hal0, endpoint, asked, *more), asked.headers.get("X-Script", ""))

    def forwarded(answer: Answer, *more: Any) -> Answer:
        return noted(followed(answer, *more), request.headers.get("X-Script", ""))

    inference.serve, v1.followed = served, forwarded
    app.add_url_rule("/relay-test/ends/<name>", "ends", lambda name: jsonify(ends[name]))
    app.add_url_rule("/relay-test/ways/<name>", "ways", lambda name: jsonify(ways[name]))


def with_heartbeats(control: Control) -> None:
    lease = control.lease

    def slow_lease(want: Want, wait_s: float, client: Client, caller: Caller, *more: Any) -> Lease:
        for second in range(int(CURRENT.headers.get("X-Beats", 0))):
            client.heartbeat(f"hal0 loading primary {second}s")
            gevent.sleep(float(CURRENT.headers.get("X-Beat-S", 0)))
        if CURRENT.headers.get("X-Then") == "error":
            raise errors.error("slot.loading", "not ready yet", retry_after=5)
        return lease(want, wait_s, client, caller, *more)

    control.lease = slow_lease  # type: ignore[method-assign]


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"


def main() -> None:
    app = create_app()
    app.extensions["hal0"].start()
    make_server("127.0.0.1", int(os.environ["HAL0_PORT"]), app, threaded=True, request_handler=Handler).serve_forever()


if __name__ == "__main__":
    sys.exit(main())
