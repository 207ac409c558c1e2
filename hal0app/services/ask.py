"""One request as it came, and its body as it goes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from hal0app import errors
from hal0app.core import headers as http_headers
from hal0app.core.fair_queue import Priority
from hal0app.core.headers import Headers
from hal0app.core.json_body import JsonBody
from hal0app.core.request_head import Fields
from hal0app.services.answer import Trip
from hal0app.services.upload import Upload


def unheard(trip: Trip) -> None:
    """For a request that nobody keeps a record of."""


class Ask(msgspec.Struct, frozen=True):
    """One request as it came. `payload` is what was read of its JSON object where the endpoint is one of the table.

    Of `headers` that are no Fields yet not all go on.
    """

    method: str
    path: str  # after the host, with the query: what goes to lemond
    headers: Headers | Fields
    body: JsonBody | bytes | Iterable[bytes] | None = None
    payload: dict[str, Any] = {}
    length: int | None = None  # bytes of a body that is not in memory, None when the client did not say
    port_slot: str | None = None  # the slot whose port it came in on: that one serves it, whatever `model` says
    client: str = ""  # whom to be fair to in a queue
    priority: Priority = Priority.INTERACTIVE
    agent: str = ""
    id: str = ""
    told: Callable[[Trip], None] = unheard  # called with where the request goes, and again when more is known

    @property
    def streams(self) -> bool:
        """Whether a stream of events is asked for."""
        return self.payload.get("stream") is True


def onwards(ask: Ask) -> Headers | Fields:
    """The headers that go on with a request whose answer hal0 has to read."""
    return ask.headers if isinstance(ask.headers, Fields) else http_headers.plain(http_headers.upwards(ask.headers))


def body_for(ask: Ask, model: str) -> tuple[bytes | Iterable[bytes] | None, int | None]:
    """The request's body and its length, its `model` set to what the target calls it; untouched when it says so."""
    if isinstance(ask.body, Upload):
        if ask.body.spent:
            message = f"'{model}' vanished in the middle of the upload; send it again"
            raise errors.error("model.gone", message, retry_after=1)
        form = ask.body if ask.body.model == model else ask.body.named(model)
        return form, form.length
    if not isinstance(ask.body, JsonBody):
        return ask.body, ask.length
    return ask.body.sent_as(model, ask.payload.get("model")), None
