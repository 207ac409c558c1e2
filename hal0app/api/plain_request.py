"""Plain requests for inference on a connection of gunicorn's, read without it; all others are its parser's, unread."""

from __future__ import annotations

from typing import Any, Literal

from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from hal0app.core.plain_head import Heads, PlainHead


class Fields:
    """The header fields of a plain request: each is there once."""

    __slots__ = ("_fields", "_names")

    def __init__(self, head: PlainHead) -> None:
        self._fields, self._names = head.fields, head.names

    def get(self, name: str, default: str | None = None) -> str | None:
        return self._fields.get(name.lower(), default)

    def items(self) -> list[tuple[str, str]]:
        """Names as they came, with their values, in the order in which they came."""
        return list(zip(self._names, self._fields.values(), strict=True))

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._fields


class Held:
    """A body that came with its head."""

    __slots__ = ("_data", "failed")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.failed = False

    def read(self, size: int, /) -> bytes:
        if size >= len(self._data):
            piece, self._data = self._data, b""
        else:
            piece, self._data = self._data[:size], self._data[size:]
        return piece


class PlainRequest:
    """One `Incoming`; gunicorn's parser sees to its end as to that of a request of its own."""

    __slots__ = ("_closes", "content_length", "endpoint", "headers", "known", "path", "remote_addr", "stream")
    method: Literal["POST"] = "POST"
    scheme: Literal["http"] = "http"

    def __init__(self, head: PlainHead, remote_addr: str, stream: Held | Body) -> None:
        self.path, self.endpoint, self.headers = head.path, head.endpoint, Fields(head)
        self.content_length, self.remote_addr, self.stream = head.content_length, remote_addr, stream
        self._closes, self.known = head.closes, head.known

    @property
    def mimetype(self) -> str:
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()

    @property
    def mimetype_params(self) -> dict[str, str]:
        return {}

    @property
    def body(self) -> Held | Body:
        return self.stream

    def should_close(self) -> bool:
        """Whether the connection ends with it."""
        return self._closes


class PlainParser(RequestParser):  # type: ignore[misc]
    """gunicorn's parser, which gives a PlainRequest where that is one."""

    mesg: PlainRequest | Request | None

    def __init__(self, *source: Any) -> None:
        super().__init__(*source)
        self._heads = Heads()

    @property
    def has_to_wait(self) -> bool:
        """Whether the next request cannot be there yet: the last was answered just now, and nothing is left over."""
        last = self.mesg
        return isinstance(last, PlainRequest) and isinstance(last.body, Held) and not self.unreader.buf.tell()

    def __next__(self) -> PlainRequest | Request:
        last = self.mesg
        if last is not None and (last.should_close() or not self._is_through(last.body)):
            raise StopIteration
        data = self.unreader.read()
        if not data:
            raise StopIteration
        head = self._heads.read(data)
        if head is None:
            self.unreader.unread(data)
            self.mesg = None
            return super().__next__()
        self.req_count += 1
        self.mesg = PlainRequest(head, self.source_addr[0], self._body(head, data))
        return self.mesg

    def _is_through(self, body: Held | Body) -> bool:
        """Read what is left of a body; whether that could be done."""
        if isinstance(body, Held):
            return not body.failed
        there: bool = self.finish_body()
        return there

    def _body(self, head: PlainHead, data: bytes) -> Held | Body:
        end = head.end + head.content_length
        if len(data) >= end:
            if len(data) > end:
                self.unreader.unread(data[end:])
            return Held(data[head.end : end])
        self.unreader.unread(data[head.end :])
        return Body(LengthReader(self.unreader, head.content_length))
