"""Every inference request under `/v1` gets a record, and every answer of the API an id.

`g.request` is the record under way. Who relays an answer hands it to `follow`; every other answer ends its record here.
"""

from __future__ import annotations

from flask import Flask, Response, g, request

from hal0app.api.context import agent, hal0
from hal0app.core.request_record import endpoint_name, is_request_id
from hal0app.errors import CODES
from hal0app.services.answer import Answer
from hal0app.services.requests import Request, new_id

ID = "X-Request-Id"
PREFIXES = ("/v1/", "/api/v1/")
ANSWERED_WITH_ID = ("/v1/", "/api/")
RECORDED = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def init_app(app: Flask) -> None:
    """Put it before everything else that looks at requests, so that what they refuse is recorded, too."""
    app.before_request(_begin)
    app.after_request(_answered)
    app.teardown_request(_over)


def _begin() -> None:
    if not request.path.startswith(ANSWERED_WITH_ID):
        return
    given = request.headers.get(ID, "")
    g.request_id = given if is_request_id(given) else new_id()
    prefix = next((one for one in PREFIXES if request.path.startswith(one)), None)
    if prefix is not None and request.method in RECORDED:
        endpoint = endpoint_name(request.path.removeprefix(prefix))
        g.request = hal0().requests.begin(endpoint, request.remote_addr or "", agent(), g.request_id)


def _current() -> Request | None:
    found: Request | None = g.get("request")
    return found


def asks_for(model: object) -> None:
    """The record under way is of a request that names this model, or slot."""
    under_way = _current()
    if under_way is not None and isinstance(model, str):
        name = model.removeprefix("hal0/")
        known = hal0().observer.snapshot.slot(name) is not None
        under_way.asks_for(model, name if known else "")


def follow(answer: Answer) -> None:
    """Let the record under way see the answer pass, and end with it."""
    answer.headers = [
        *((name, value) for name, value in answer.headers if name.lower() != ID.lower()),
        (ID, g.request_id),
    ]
    under_way = _current()
    if under_way is not None:
        answer.tap = under_way.answered(answer.status, answer.streams, answer.trip)
        answer.on_end = under_way.ended


def _answered(response: Response) -> Response:
    if "request_id" in g:
        response.headers[ID] = g.request_id
    under_way = _current()
    if under_way is not None and not under_way.begun:
        code = g.get("error_code")
        under_way.refused(CODES[code].status if code else response.status_code, code)
    return response


def _over(problem: BaseException | None) -> None:
    """Whatever went wrong on the way, nothing stays open; a record that has ended takes no second end."""
    under_way = _current()
    if under_way is not None and not under_way.begun:
        under_way.refused(500, "system.internal")
