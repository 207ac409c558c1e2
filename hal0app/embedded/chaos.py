"""The control port of `hal0 embedded --chaos PORT`: puts faults into a running engine and does harm at once.

    GET    /faults                              what is wrong now
    PUT    /faults/KIND    {facts}              make a fault of `FAULTS` strike until it is released
    DELETE /faults[/KIND]                       release all, or all of one kind
    POST   /evict | /kill | /wipe  {"model": }  see `ACTS`

It listens on 127.0.0.1 only.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from hal0app.embedded import errors
from hal0app.embedded.engine import Engine
from hal0app.embedded.faults import FAULTS, Faults
from hal0app.embedded.http import Answer, Application, Request, as_json

UNUSUAL_CONTEXT = 1111  # so that a loaded model is loaded again

Body = dict[str, Any]


def evict(engine: Engine, faults: Faults, body: Body) -> Body:
    """The model leaves at once, in the middle of whatever it does."""
    engine.router.drop(body["model"])
    return {}


def kill(engine: Engine, faults: Faults, body: Body) -> Body:
    """kill -9 of the model's backend."""
    pid = engine.router.pid(body["model"])
    os.kill(pid, signal.SIGKILL)
    return {"pid": pid}


def wipe(engine: Engine, faults: Faults, body: Body) -> Body:
    """A load of the model fails with `error`, so everything is unloaded, as after any failed load."""
    name = body["model"]
    refused = faults.put("refuse", {key: body[key] for key in ("model", "error") if key in body})
    try:
        engine.router.load(name, {"ctx_size": UNUSUAL_CONTEXT})
    except errors.EngineError as failure:
        return {"status": failure.status, "error": refused["error"]}
    finally:
        faults.release("refuse", name)
    return {}


ACTS: dict[str, Callable[[Engine, Faults, Body], Body]] = {"/evict": evict, "/kill": kill, "/wipe": wipe}


def _body(request: Request) -> Body:
    body = request.json() if request.body else {}
    if not isinstance(body, dict):
        raise errors.plain(400, "The body must be a JSON object")
    return body


def _put(faults: Faults, kind: str, facts: Body) -> Answer:
    if kind not in FAULTS:
        raise errors.plain(404, f"There is no fault '{kind}'. Faults: {', '.join(FAULTS)}")
    unknown = facts.keys() - FAULTS[kind].keys()
    if unknown:
        raise errors.plain(400, f"'{kind}' takes {', '.join(FAULTS[kind])}; not {', '.join(sorted(unknown))}")
    return as_json(faults.put(kind, facts))


def _act(engine: Engine, faults: Faults, path: str, body: Body) -> Answer:
    if path not in ACTS:
        raise errors.unknown_route(path)
    if not isinstance(body.get("model"), str):
        raise errors.plain(400, "'model' is required and must be a string")
    return as_json(ACTS[path](engine, faults, body))


def application(engine: Engine, faults: Faults) -> Application:
    """The control port as a function of a request."""

    def answer(request: Request) -> Answer:
        folder, _, kind = request.path.removeprefix("/").partition("/")
        match request.method, folder:
            case "GET", "faults":
                return as_json(faults.all())
            case "PUT", "faults":
                return _put(faults, kind, _body(request))
            case "DELETE", "faults":
                faults.release(kind or None)
                return as_json(faults.all())
        return _act(engine, faults, request.path, _body(request) if request.method == "POST" else {})

    return answer
