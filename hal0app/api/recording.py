"""Every inference request under `/v1` gets a record, and every answer of the API an id.

In Flask `g.request` is the record under way. An answer that is relayed ends its record by itself; every other one is
ended here.
"""

from __future__ import annotations

from flask import Flask, Response, g, request

from hal0app.api import incoming
from hal0app.api.context import hal0
from hal0app.api.incoming import Incoming, of_its_head
from hal0app.core import routing
from hal0app.core.endpoints import within
from hal0app.core.headers import Headers
from hal0app.core.request_record import endpoint_name, is_request_id
from hal0app.core.slot_config import SlotConfig
from hal0app.errors import CODES
from hal0app.services.answer import Answer
from hal0app.services.hal0 import Hal0
from hal0app.services.request import Request, new_id

ID = "X-Request-Id"
ANSWERED_WITH_ID = ("/v1/", "/api/")
RECORDED = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def id_of(asked: Incoming) -> str:
    """The id that the client gave its request, else a new one."""
    given = asked.headers.get(ID)
    return given if given and is_request_id(given) else new_id()


def begin(hal0: Hal0, asked: Incoming, id_: str) -> Request | None:
    """The record of a request, where it gets one."""
    place = _place(asked)
    if place is None:
        return None
    return hal0.requests.begin(place, asked.remote_addr or "", incoming.agent(asked), id_)


@of_its_head
def _place(asked: Incoming) -> str | None:
    """The endpoint of a request that gets a record."""
    inside = within(asked.path)
    return None if inside is None or asked.method not in RECORDED else endpoint_name(inside)


def asked_for(hal0: Hal0, record: Request | None, model: object, port_slot: str | None) -> None:
    """The record is of a request that named this model, or slot, and went nowhere; on a slot's port it was for that."""
    if record is None or record.went:
        return
    named = model if isinstance(model, str) else ""
    slot = routing.claimant(named, hal0.observer.snapshot.slots, hal0.settings.alias, port_slot)
    if slot is None:
        record.asks_for(named)
    else:
        record.asks_for((isinstance(slot, SlotConfig) and slot.model) or "", slot.name)


def explained(record: Request | None) -> Headers:
    """The headers that explain an answer of hal0's own."""
    return record.explain if record is not None and not record.begun else []


def followed(answer: Answer, record: Request | None) -> Answer:
    """The answer, which the record sees pass and ends with."""
    try:
        if record is not None:
            record.follow(answer)
    except BaseException:
        answer.close()
        raise
    return answer


def refuse(record: Request | None, status: int, code: str | None) -> None:
    """hal0's own answer ends the record, unless an upstream's has begun, whose relay does."""
    if record is not None and not record.begun:
        record.refused(CODES[code].status if code else status, code)


def abandon(record: Request | None) -> None:
    """Whatever went wrong on the way, nothing stays open; a record that has ended takes no second end."""
    refuse(record, 500, "system.internal")


def init_app(app: Flask) -> None:
    """Put it before everything else that looks at requests, so that what they refuse is recorded, too."""
    app.before_request(_begin)
    app.after_request(_answered)
    app.teardown_request(_over)


def _begin() -> None:
    if request.path.startswith(ANSWERED_WITH_ID):
        g.request_id = id_of(request)
        g.request = begin(hal0(), request, g.request_id)


def under_way() -> Request | None:
    """The record of Flask's request, where it has one."""
    found: Request | None = g.get("request")
    return found


def _answered(response: Response) -> Response:
    if "request_id" in g:
        response.headers[ID] = g.request_id
    for name, value in explained(under_way()):
        response.headers.setdefault(name, value)
    refuse(under_way(), response.status_code, g.get("error_code"))
    return response


def _over(problem: BaseException | None) -> None:
    abandon(under_way())
