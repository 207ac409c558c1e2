"""What the services need from the outside world; `hal0app.adapters` has the real ones, `wiring` joins them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hal0app.core.clock import Moment
from hal0app.core.journal import Entry
from hal0app.core.operation import Evidence, Operation
from hal0app.core.reconcile import Past
from hal0app.core.residency import Observation
from hal0app.core.settlement import Outcome
from hal0app.core.slot import Broken
from hal0app.core.slot_config import SlotConfig


class Looks(Protocol):
    """Looks at lemond once."""

    def look(self) -> Observation: ...


class SlotFolder(Protocol):
    """The slot definitions."""

    def all(self) -> list[SlotConfig | Broken]: ...
    def etag(self, name: str) -> str | None: ...
    def definition(self, name: str) -> dict[str, Any] | None: ...
    def write(self, name: str, definition: Mapping[str, Any]) -> None: ...
    def remove(self, name: str) -> None: ...


class States(Protocol):
    """States, operations, evidence and the journal."""

    def settle(self, decide: Callable[[Past], Outcome], now: Moment) -> Outcome: ...
    def past(self, now: Moment) -> Past: ...
    def save_operation(self, operation: Operation, entries: Sequence[Entry] = ()) -> None: ...
    def heartbeat(self, operation_id: str, now: Moment) -> None: ...
    def operation(self, operation_id: str) -> Operation | None: ...
    def save_evidence(self, evidence: Evidence) -> None: ...
    def write_journal(self, entries: Sequence[Entry]) -> None: ...
    def journal(self, since: int = 0, limit: int = 200, newest: bool = False, **equals: str | None) -> list[Entry]: ...


class Lemonade(Protocol):
    """lemond's control plane. Every call raises LemonadeError: `lemonade.unavailable` or `lemonade.refused`."""

    def load(self, body: Mapping[str, Any]) -> None: ...
    def unload(self, model: str) -> bool: ...
    def models(self) -> list[dict[str, Any]]: ...
    def model(self, model: str) -> dict[str, Any] | None: ...
    def installed_backends(self, recipe: str) -> frozenset[str]: ...


class Reply(Protocol):
    """The head of an upstream's answer and its body, read as it comes."""

    status: int
    headers: list[tuple[str, str]]

    def chunks(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Call(Protocol):
    """A request under way to an upstream. `abort` may come from another thread and ends it at once."""

    def reply(self) -> Reply: ...
    def abort(self) -> None: ...


class Upstream(Protocol):
    """Sends requests to a base URL. `Unreached` and `Broken` of `hal0app.core.upstream` tell what went wrong."""

    def call(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
    ) -> Call: ...


class Client(Protocol):
    """The one who asked. `on_gone` calls back once, at once when the connection is closed already."""

    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]: ...
