"""Who is served next: replays, then interactive before batch, clients in turn, each client's in the order they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T", bound=Hashable)


class Priority(StrEnum):
    """How urgent a request is, most urgent first."""

    INTERACTIVE = "interactive"
    BATCH = "batch"


class Caller(msgspec.Struct, frozen=True):
    """Who asks: `client` is whom to be fair to, `streams` whether he can be told that he waits.

    `agent` is the name that he gives himself, `request` the id of his request. `lost` stands for the place that it was
    given before, when its model was lost and it is sent again.
    """

    client: str = ""
    priority: Priority = Priority.INTERACTIVE
    streams: bool = False
    lost: Hashable | None = None
    agent: str = ""
    request: str = ""

    @property
    def replays(self) -> bool:
        """Whether the request is sent again."""
        return self.lost is not None


ANYONE = Caller()


class FairQueue(Generic[T]):
    """A queue of things, each put in by a caller. Adding and taking cost the same however long it is."""

    def __init__(self) -> None:
        self._replays: deque[T] = deque()
        self._clients: dict[Priority, dict[str, deque[T]]] = {priority: {} for priority in Priority}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, item: T, caller: Caller) -> None:
        """Add an item."""
        self._length += 1
        if caller.replays:
            self._replays.append(item)
        else:
            self._clients[caller.priority].setdefault(caller.client, deque()).append(item)

    def take(self) -> T:
        """Remove the next item and return it; its client goes behind the others. IndexError when there is none."""
        if self._replays:
            self._length -= 1
            return self._replays.popleft()
        for clients in self._clients.values():
            if clients:
                self._length -= 1
                return _turn(clients)
        raise IndexError("the queue is empty")

    def remove(self, item: T, caller: Caller) -> bool:
        """Take out an item that its caller gives up; whether it was there."""
        clients = self._clients[caller.priority]
        line = self._replays if caller.replays else clients.get(caller.client, ())
        if item not in line:
            return False
        line.remove(item)  # type: ignore[union-attr]
        if not line and not caller.replays:
            del clients[caller.client]
        self._length -= 1
        return True

    def __iter__(self) -> Iterator[T]:
        """The items in the order in which they will be taken, if no more come."""
        yield from self._replays
        for clients in self._clients.values():
            lines = [iter(line) for line in clients.values()]
            while lines:
                still = []
                for line in lines:
                    for item in line:
                        yield item
                        still.append(line)
                        break
                lines = still


def _turn(clients: dict[str, deque[T]]) -> T:
    client = next(iter(clients))
    line = clients.pop(client)
    item = line.popleft()
    if line:
        clients[client] = line
    return item
