"""What the services need from the outside world; `hal0app.adapters` has the real ones, `wiring` joins them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hal0app.core.clock import Moment
from hal0app.core.framing import Framing
from hal0app.core.hardware import Hardware
from hal0app.core.headers import Header
from hal0app.core.journal import Entry
from hal0app.core.memory import HostMemory, ProcessMemory
from hal0app.core.model_file import ModelFile
from hal0app.core.operation import Evidence, Operation
from hal0app.core.reconcile import Past
from hal0app.core.request_record import Filters, RequestRecord, Summary, Use
from hal0app.core.residency import Link, Observation
from hal0app.core.settings import Layer
from hal0app.core.settlement import Outcome
from hal0app.core.slot import Broken
from hal0app.core.slot_config import SlotConfig
from hal0app.core.tap import Figures
from hal0app.core.vitals import KvUsage
from hal0app.core.watchdog import Unit, Watch


class Looks(Protocol):
    """Looks at lemond once; `ping` only asks whether it answers at all."""

    def look(self) -> Observation: ...
    def ping(self) -> Link: ...
    def config(self) -> dict[str, Any] | None: ...


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
    def proofs(self, kind: str) -> list[Evidence]: ...
    def forget_evidence(self, model: str, *kinds: str) -> None: ...
    def keep_findings(self, kind: str, found: Mapping[str, str], now: Moment, source: str) -> list[Entry]: ...
    def findings(self) -> list[dict[str, Any]]: ...
    @property
    def problem(self) -> str | None: ...
    def on_journal(self, listener: Callable[[], None]) -> None: ...
    def write_journal(self, entries: Sequence[Entry]) -> None: ...
    def journal(self, since: int = 0, limit: int = 200, newest: bool = False, **equals: str | None) -> list[Entry]: ...


class Lemonade(Protocol):
    """lemond's control plane. Every call raises LemonadeError: `lemonade.unavailable` or `lemonade.refused`."""

    def load(self, body: Mapping[str, Any]) -> None: ...
    def unload(self, model: str) -> bool: ...
    def pin(self, model: str, pinned: bool) -> None: ...
    def models(self) -> list[dict[str, Any]]: ...
    def model(self, model: str) -> dict[str, Any] | None: ...
    def installed_backends(self, recipe: str) -> frozenset[str]: ...


class Library(Protocol):
    """lemond's models and backends on disk. Every call raises LemonadeError."""

    def model(self, model: str) -> dict[str, Any] | None: ...
    def registry(self) -> list[dict[str, Any]]: ...
    def delete(self, model: str) -> None: ...
    def pull(self, wanted: Mapping[str, Any]) -> dict[str, Any]: ...
    def downloads(self) -> list[dict[str, Any]]: ...
    def control_download(self, id_: str, action: str) -> bool: ...
    def recipes(self) -> dict[str, Any]: ...
    def install(self, recipe: str, backend: str) -> dict[str, Any]: ...


class Log(Protocol):
    """lemond's log, line by line."""

    @property
    def connected(self) -> bool: ...
    def follow(self, tell: Callable[[str], None]) -> None: ...
    def close(self) -> None: ...


class Reply(Protocol):
    """The head of an upstream's answer and its body, read as it comes."""

    status: int

    @property
    def headers(self) -> Sequence[Header]: ...

    def chunks(self) -> Iterator[bytes]: ...
    def to_tap(self, tap: Callable[[bytes], None] | None) -> None: ...
    def close(self) -> None: ...


class RawReply(Reply, Protocol):
    """An answer whose connection can be taken over: what comes next on it is to be fed to `framing`.

    `passed` gives the raw bytes of the body that were read already, all of which the framing has passed; None when that
    is not so. `rewind` gives those bytes and sets the framing back before them. `aborted`: the connection was closed at
    this end.
    """

    connection: socket.socket
    aborted: bool
    framing: Framing

    def passed(self) -> bytes | None: ...
    def rewind(self) -> bytes: ...


class Call(Protocol):
    """A request under way to an upstream. `abort` may come from another thread and ends it at once."""

    def reply(self) -> Reply: ...
    def abort(self) -> None: ...


class Upstream(Protocol):
    """Sends requests to a base URL. The errors of `hal0app.core.upstream` tell what went wrong.

    `patient`: the head of the answer may take as long as it likes.
    """

    def call(
        self,
        base_url: str,
        method: str,
        path: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | Iterable[bytes] | None,
        patient: bool = False,
    ) -> Call: ...


class Client(Protocol):
    """The one who asked. `on_gone` calls back once, at once when the connection is closed already, and also when hal0
    is about to end: then the client is `dismissed`.

    `heartbeat` tells a client that waits for a stream that it is not forgotten; `begun` once it was told so: then the
    head of the answer is out, and an error can only be an event of the stream. `silent_s`: seconds since it was last
    told so, or else since it asked. `beating` says `words` so after `first_s` seconds and every `every_s` from then on,
    until what it returns is called. None of them blocks.
    """

    begun: bool
    dismissed: bool

    @property
    def silent_s(self) -> float: ...
    def heartbeat(self, text: str) -> None: ...
    def beating(self, words: Callable[[], str], first_s: float, every_s: float) -> Callable[[], None]: ...
    def on_gone(self, callback: Callable[[], None]) -> Callable[[], None]: ...


class ModelFiles(Protocol):
    """The files of models, as far as hal0 sees them; None for one it does not."""

    def file(self, checkpoint: str) -> ModelFile | None: ...


class MemorySource(Protocol):
    """Memory of the host, and of a process on it (None: not to be seen)."""

    def host(self) -> HostMemory: ...
    def process(self, pid: int) -> ProcessMemory | None: ...


class HardwareSource(Protocol):
    """The machine's facts; nothing is raised."""

    def look(self) -> Hardware: ...


class MemoryUse(Protocol):
    """What loads were measured to use, in bytes, by model and load options."""

    def get(self, model: str, options: str) -> int | None: ...
    def put(self, model: str, options: str, size: int) -> None: ...


class LlamaOptions(Protocol):
    """The options a llama-server knows (None: it cannot be asked); `installed` is the distribution's."""

    installed: str

    def options(self, program: str) -> frozenset[str] | None: ...


class Recipes(Protocol):
    """The recipes that lemond has, each with its backends. Raises LemonadeError."""

    def recipes(self) -> dict[str, Any]: ...


class SettingsFolder(Protocol):
    """hal0.toml and what lies over it, later ones on top. SchemaError says which file and key is wrong."""

    def layers(self) -> list[Layer]: ...
    def own(self) -> dict[str, Any]: ...
    def write(self, table: Mapping[str, Any]) -> None: ...


class Configuration(Protocol):
    """lemond's configuration. Every call raises LemonadeError."""

    def config(self) -> dict[str, Any]: ...
    def config_defaults(self) -> dict[str, Any]: ...
    def set_config(self, changes: Mapping[str, Any]) -> None: ...


class WatchMemory(Protocol):
    """What the watchdog's last run left."""

    def get(self) -> Watch: ...
    def put(self, watch: Watch) -> None: ...


class LemondUnit(Protocol):
    """lemond under systemd; `restart` returns what speaks against it, or nothing."""

    def unit(self) -> Unit: ...
    def restart(self, unit: Unit) -> str: ...


class RequestHistory(Protocol):
    """The records of requests. `append` tells whether it could write now; times are Unix seconds, `by` a field."""

    def append(self, records: Sequence[RequestRecord]) -> bool: ...
    def select(self, filters: Filters) -> list[RequestRecord]: ...
    def summaries(self, since: float, until: float, by: str) -> dict[str, Summary]: ...
    def uses(self, since: float, until: float) -> dict[str, Use]: ...
    def last_ttft(self) -> dict[str, int]: ...


class RequestMeters(Protocol):
    """Counts a request that ended; `size` bytes of its answer were relayed."""

    def ended(self, record: RequestRecord, figures: Figures, size: int) -> None: ...


class ResidencyMeters(Protocol):
    """Counts loads (seconds), loads that failed, and models that left unasked."""

    def loaded(self, slot: str, seconds: float) -> None: ...
    def load_failed(self, slot: str, code: str) -> None: ...
    def evicted(self, slot: str, reason: str) -> None: ...


class Exposition(Protocol):
    """What was counted, as text for who scrapes it, and its type; `accept` is an Accept header."""

    def text(self, accept: str) -> tuple[bytes, str]: ...


class KvGauge(Protocol):
    """Asks the llama.cpp server at a base URL for the use of its KV cache; None: it does not tell."""

    def kv_usage(self, base_url: str) -> KvUsage | None: ...
