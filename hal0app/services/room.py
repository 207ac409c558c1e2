"""The memory set aside for bodies of requests that are held until they have been sent on."""

from __future__ import annotations

from types import TracebackType

from hal0app import errors

RETRY_S = 5


class Room:
    """`size` bytes for all together. What is held counts as it comes, not as it is announced.

    For greenlets of one thread.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0

    def hold(self) -> Hold:
        """One request's share, nothing yet; given back when its `with` ends."""
        return Hold(self)


class Hold:
    """What one request holds, in bytes."""

    __slots__ = ("_room", "held")

    def __init__(self, room: Room) -> None:
        self._room, self.held = room, 0

    def more(self, size: int) -> None:
        """Hold so many bytes more. Raises `system.overloaded` when they are not there."""
        if self._room.held + size > self._room.size:
            message = f"requests under way fill the {self._room.size >> 20} MiB set aside for their bodies, try again"
            raise errors.error("system.overloaded", message, retry_after=RETRY_S)
        self._room.held += size
        self.held += size

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.held -= self.held
        self.held = 0
