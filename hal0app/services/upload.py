"""A form on its way through: its head was read to learn the model, the rest goes on as it comes."""

from __future__ import annotations

from collections.abc import Iterator

KEPT_BYTES = 4 << 20  # of all bodies together that have gone out already, so that they can be sent once more


class Kept:
    """How much may be kept of all uploads together, in bytes: many slow ones must not fill the memory."""

    def __init__(self, most: int = KEPT_BYTES) -> None:
        self.left = most

    def take(self, size: int) -> bool:
        """Whether there is room for so many bytes; they count until they are given back."""
        if size > self.left:
            return False
        self.left -= size
        return True

    def give_back(self, size: int) -> None:
        """They are kept no more."""
        self.left += size


class Upload:
    """The body of a form. Iterate it to send it, again only while it is not `spent`.

    `head` is what was read of it, `span` where in it the value of the field `model` is (None: there is no such
    field), `rest` what follows, `length` the whole in bytes (None: the client did not say).
    """

    def __init__(
        self,
        boundary: bytes,
        head: bytes,
        span: tuple[int, int] | None,
        rest: Iterator[bytes] | None = None,
        length: int | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.length = length
        self._boundary, self._head, self._span = boundary, head, span
        self._flow = _Flow(rest or iter(()), kept or Kept())

    @property
    def model(self) -> str:
        """What the form's field `model` says; empty when there is none."""
        start, end = self._span or (0, 0)
        return self._head[start:end].decode("utf-8", "replace")

    def named(self, model: str) -> Upload:
        """The same form with this model; a form without the field gets it as its first."""
        value = model.encode()
        if self._span is None:
            start = self._first_part()
            if start < 0:
                return self
            part = b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\n' % self._boundary
            before, after = self._head[:start] + part, b"\r\n" + self._head[start:]
        else:
            before, after = self._head[: self._span[0]], self._head[self._span[1] :]
        head = before + value + after
        length = None if self.length is None else self.length + len(head) - len(self._head)
        other = Upload(self._boundary, head, (len(before), len(before) + len(value)), length=length)
        other._flow = self._flow
        return other

    def _first_part(self) -> int:
        """Where the first part begins, behind what some programs write before it; -1 when there is none."""
        mark = b"--" + self._boundary
        if self._head.startswith(mark):
            return 0
        line_end = self._head.find(b"\r\n" + mark)
        return line_end if line_end < 0 else line_end + 2

    @property
    def spent(self) -> bool:
        """Whether more of it has gone out than was kept, so that it cannot be sent again."""
        return self._flow.spent

    def forget(self) -> None:
        """It will not be sent once more."""
        self._flow.forget()

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from self._flow.pieces()


class _Flow:
    """What follows the head, from one source however often it is begun."""

    def __init__(self, rest: Iterator[bytes], budget: Kept) -> None:
        self._rest, self._budget = rest, budget
        self._kept: list[bytes] = []
        self._size = 0
        self.spent = False

    def pieces(self) -> Iterator[bytes]:
        yield from list(self._kept)
        for piece in self._rest:
            self._keep(piece)
            yield piece

    def _keep(self, piece: bytes) -> None:
        if not self.spent and self._budget.take(len(piece)):
            self._size += len(piece)
            self._kept.append(piece)
        else:
            self.forget()

    def forget(self) -> None:
        self.spent = True
        self._kept.clear()
        self._budget.give_back(self._size)
        self._size = 0
