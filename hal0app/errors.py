"""Every error hal0 can answer with: one tree by whose fault it is, one table of stable codes.

    Hal0Error
    ├── CallerError      the request is wrong; the same request will fail again
    ├── SlotError        the slot cannot serve it as it is configured or as it stands
    ├── LemonadeError    the daemon below us refused, failed or is away
    └── SystemError_     hal0 itself

A code is `<noun>.<reason>` and never changes its meaning; `docs/errors.md` lists every one (held by a test).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Hal0Error(Exception):
    """Something a caller is told about: a code of `CODES`, a message that says what to do, and perhaps when to retry.

    `param` names the offending field, `retry_after` is in seconds, `details` holds JSON-ready facts for `/api`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after: int | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.details = dict(details or {})

    @property
    def status(self) -> int:
        """The HTTP status of this error."""
        return CODES[self.code].status


class CallerError(Hal0Error):
    """The request is at fault."""


class SlotError(Hal0Error):
    """The slot, as configured or as it stands, is at fault."""


class LemonadeError(Hal0Error):
    """lemond refused, failed or cannot be reached."""


class SystemError_(Hal0Error):  # noqa: N801 - the builtin has the better name
    """hal0 itself is at fault."""


@dataclass(frozen=True)
class Code:
    """What a code means: its HTTP status, its branch of the tree and one line for the reader of the docs."""

    status: int
    kind: type[Hal0Error]
    meaning: str


CODES: dict[str, Code] = {
    "request.invalid_json": Code(400, CallerError, "The body is not valid JSON, or not a JSON object."),
    "request.missing_field": Code(400, CallerError, "A field that the endpoint requires is absent or empty."),
    "request.invalid_field": Code(400, CallerError, "A field has the wrong type or an impossible value."),
    "request.timeout": Code(408, CallerError, "Nothing more of the request's body came for too long."),
    "request.too_large": Code(413, CallerError, "The body is larger than hal0 takes."),
    "request.forbidden_origin": Code(403, CallerError, "A web page of another site tried to change something."),
    "request.malformed": Code(400, CallerError, "What came is not valid HTTP."),
    "request.expectation_failed": Code(
        417, CallerError, "The header Expect asks for something other than 100-continue."
    ),
    "request.unsupported_transfer_coding": Code(
        501, CallerError, "The body is sent in a transfer coding other than chunked."
    ),
    "request.uri_too_long": Code(414, CallerError, "The address of the request is longer than hal0 takes."),
    "request.head_too_large": Code(431, CallerError, "A header of the request is larger than hal0 takes."),
    "request.not_found": Code(404, CallerError, "No such address."),
    "request.method_not_allowed": Code(405, CallerError, "The address exists, but not with this method."),
    "request.unsupported_media_type": Code(
        415, CallerError, "A change sent to the API is not application/json, or a body is compressed."
    ),
    "request.conflict": Code(412, CallerError, "The thing changed since it was read (If-Match did not match)."),
    "client.gone": Code(499, CallerError, "The client closed its connection before the answer."),
    "auth.key_required": Code(
        401, CallerError, "A change, or a look at who asked what, came from another machine without the admin key."
    ),
    "auth.admin_required": Code(403, CallerError, "A control path of Lemonade was asked for without the admin key."),
    "host.not_allowed": Code(421, CallerError, "The Host header names a machine hal0 does not answer for."),
    "model.type_mismatch": Code(400, CallerError, "The endpoint cannot be served by this slot's or model's type."),
    "dispatch.no_route": Code(404, CallerError, "Neither a slot nor Lemonade knows this model."),
    "settings.invalid": Code(400, CallerError, "A setting breaks the schema; the message names the key."),
    "settings.fixed": Code(
        409, CallerError, "A setting that the environment or systemd's socket decides, so no file can."
    ),
    "slot.not_found": Code(404, CallerError, "There is no slot of this name."),
    "slot.exists": Code(409, CallerError, "A slot of this name exists already."),
    "slot.invalid": Code(400, CallerError, "The definition of a slot breaks the schema; the message names the key."),
    "slot.no_slot_on_port": Code(404, CallerError, "A request came in on a slot port that no slot has."),
    "slot.no_free_port": Code(400, CallerError, "Every port of the slot ports' range is taken by a slot."),
    "slot.port_taken": Code(409, CallerError, "Another slot has this port."),
    "slot.seeded": Code(400, CallerError, "A slot that hal0 seeded cannot be deleted, only turned off."),
    "slot.model_conflict": Code(409, CallerError, "Two slots name one model with different load options."),
    "slot.npu_exclusivity_violation": Code(
        409, CallerError, "Another enabled slot of type llm has the NPU; details: conflicting_slots."
    ),
    "slot.disabled": Code(409, SlotError, "The slot is turned off."),
    "slot.no_model": Code(409, SlotError, "The slot has no model."),
    "slot.error": Code(503, SlotError, "The slot's model failed to load; a person must act."),
    "slot.loading": Code(503, SlotError, "The wait for the slot's model ran out; it is still loading or queued."),
    "slot.load_cancelled": Code(503, SlotError, "A person cancelled the load that the request waited for."),
    "slot.not_waiting": Code(409, SlotError, "The slot's load cannot be cancelled: it does not wait for another one."),
    "slot.busy": Code(429, SlotError, "The slot's queue is full."),
    "pool.all_pinned": Code(409, SlotError, "Every resident model of this type is pinned, so nothing can make room."),
    "model.not_downloaded": Code(409, SlotError, "Lemonade knows the model, but its files are not on this machine."),
    "model.unknown": Code(404, SlotError, "Lemonade does not know the slot's model."),
    "model.other_name": Code(
        409, SlotError, "Lemonade lists the slot's model by another name, which the message has; name that."
    ),
    "model.corrupt": Code(409, SlotError, "The model's file is damaged or incomplete; pull it again."),
    "model.context_exceeded": Code(409, SlotError, "The slot's ctx_size is more than the model takes."),
    "model.quarantined": Code(
        409, SlotError, "The model failed to load and is kept out until its slot changes or a person clears it."
    ),
    "backend.not_installed": Code(
        409, SlotError, "No backend that the slot's device needs is installed; the message says how."
    ),
    "args.reserved": Code(409, SlotError, "The slot's llamacpp_args hold a flag that hal0 or Lemonade sets itself."),
    "args.unknown": Code(409, SlotError, "The slot's llamacpp_args hold a flag that this llama-server does not have."),
    "memory.insufficient": Code(
        409, SlotError, "The model would not fit into the free memory; details: needs, free, would_free."
    ),
    "npu.busy": Code(409, SlotError, "Another model holds the NPU."),
    "npu.trio_unavailable": Code(503, SlotError, "No chat model on the NPU can serve this slot."),
    "model.load_failed": Code(502, LemonadeError, "Lemonade could not load the model."),
    "model.gone": Code(503, LemonadeError, "The model vanished twice while serving one request."),
    "model.in_use": Code(
        409, SlotError, "The model is loaded, or an enabled slot names it; `?force=true` deletes it all the same."
    ),
    "model.local_file": Code(
        409, SlotError, "The model is a file that a person put there; Lemonade does not delete it."
    ),
    "model.pull_failed": Code(
        502, LemonadeError, "Lemonade refused to download the model, or failed at it; the message has its reason."
    ),
    "model.delete_failed": Code(502, LemonadeError, "Lemonade could not delete the model; the message has its reason."),
    "download.not_found": Code(404, CallerError, "Lemonade lists no download of this id."),
    "download.not_stopped": Code(409, CallerError, "The download runs or is complete, so there is no part to delete."),
    "backend.unknown": Code(404, CallerError, "Lemonade has no backend of this name."),
    "backend.unsupported": Code(
        409, SlotError, "The backend cannot be installed on this machine; the message has Lemonade's reason."
    ),
    "backend.manual": Code(
        409, SlotError, "Installing the backend needs work on the host; details: action, the page that says what."
    ),
    "backend.install_failed": Code(
        502, LemonadeError, "Lemonade refused to install the backend; the message has its reason."
    ),
    "lemonade.unavailable": Code(503, LemonadeError, "Lemonade does not answer."),
    "lemonade.refused": Code(502, LemonadeError, "Lemonade answered a control call with an error."),
    "lemonade.not_started": Code(
        409, LemonadeError, "hal0 cannot start Lemonade, or may not; the message says what to type."
    ),
    "upstream.timeout": Code(
        504, LemonadeError, "The backend accepted the request and then sent nothing for too long."
    ),
    "upstream.unreachable": Code(
        503, LemonadeError, "No connection to the backend could be made, though it is not known to have gone."
    ),
    "upstream.protocol": Code(502, LemonadeError, "The backend broke the HTTP protocol or closed mid-answer."),
    "upstream.refused": Code(
        502, LemonadeError, "The backend answered with an error that has no better code; its own status is kept."
    ),
    "system.internal": Code(500, SystemError_, "An unexpected fault in hal0; the log has the trace."),
    "system.storage": Code(507, SystemError_, "hal0's files cannot be written: the disk is full or read-only."),
    "system.slots_unreadable": Code(
        503, SystemError_, "The folder of slot files is gone or cannot be read; the last known slots stay in force."
    ),
    "system.interrupted": Code(503, SystemError_, "An operation ended because the machine or hal0 was restarted."),
    "system.overloaded": Code(
        503, SystemError_, "The bodies of requests under way fill the memory set aside for them (`server.max_held_mb`)."
    ),
    "system.stopping": Code(
        503, SystemError_, "hal0 is being stopped or restarted; what waits, and a stream that is open, ends with this."
    ),
}


def error(
    code: str,
    message: str,
    *,
    param: str | None = None,
    retry_after: int | None = None,
    **details: Any,
) -> Hal0Error:
    """Make the error of `code` in its branch of the tree, to be raised by the caller."""
    return CODES[code].kind(code, message, param=param, retry_after=retry_after, details=details)
