"""The settings of `hal0.toml`: one strict schema, every section and key with its default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from hal0app.core import proxies, schema

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
TcpPort = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Alias = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Target = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]

OFF = "off"
PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)
MOST_SLOT_PORTS = 256


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of hal0.toml: unknown keys are errors."""


class Server(Section, frozen=True, kw_only=True):
    """Where hal0 listens. `max_body_mb` bounds a JSON body (MiB), `max_held_mb` all those that are held at once.

    Uploads are streamed and not bound by them. `fast_lane`: plain requests for inference go past Flask.
    `trusted_proxies`: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    host: str = "127.0.0.1"
    port: TcpPort = 8080
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_body_mb: Annotated[int, msgspec.Meta(ge=1)] = 64
    fast_lane: bool = True
    max_held_mb: Annotated[int, msgspec.Meta(ge=1)] = 256

    def __post_init__(self) -> None:
        for one in self.trusted_proxies:
            proxies.network(one)


class Lemonade(Section, frozen=True, kw_only=True):
    """How to reach lemond; `want` is the part of its configuration that drift compares (absent key: not compared)."""

    url: str = "http://127.0.0.1:13305"
    want: dict[str, Any] = {}

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            raise ValueError(f"'{self.url[:100]}' has no port that exists") from None
        if port == 0 or parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError(f"'{self.url[:100]}' is not an address like http://127.0.0.1:13305")


class DispatchSection(Section, frozen=True, kw_only=True):
    """`wait_s`: how long a request without a slot of its own waits for its model.

    `heartbeat_s`: after how long, and how often, a streaming client is told that it waits. `stall_s`: how long a client
    may take nothing of its answer; `upload_idle_s`: send nothing of its request's body.
    `allow_implicit_pull`: whether a request may make lemond download the model that it names.
    """

    wait_s: Seconds = 120.0
    heartbeat_s: Seconds = 5.0
    stall_s: Seconds = 120.0
    upload_idle_s: Seconds = 30.0
    allow_implicit_pull: bool = False


class SlotPorts(Section, frozen=True, kw_only=True):
    """The slots' own addresses: `range` is like 8081-8099, or off."""

    host: str = "127.0.0.1"
    range: str = "8081-8099"

    def __post_init__(self) -> None:
        first, last = _ports(self.range)
        if not 1 <= first <= last <= 65535 or last - first >= MOST_SLOT_PORTS:
            raise ValueError(
                f"'range' is '{self.range[:40]}', but must be like 8081-8099 ({MOST_SLOT_PORTS} at most) or off"
            )

    @property
    def ports(self) -> Sequence[int]:
        """The ports, none when they are off."""
        first, last = _ports(self.range)
        return range(first, last + 1) if self.range != OFF else ()


@lru_cache(maxsize=16)
def _ports(text: str) -> tuple[int, int]:
    """The first and the last port of `8081-8099`; impossible ones for what is no range."""
    if text == OFF:
        return 1, 1
    found = PORT_RANGE.fullmatch(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


class ObserverSection(Section, frozen=True, kw_only=True):
    """`period_s`: time between two looks at lemond. `timeout_s`: how long an answer may take before states go stale."""

    period_s: Seconds = 1.0
    timeout_s: Seconds = 2.0


class CrashLoop(Section, frozen=True, kw_only=True):
    """More than `crashes` within `window_s` before a first answer latch a slot in error."""

    crashes: Annotated[int, msgspec.Meta(ge=1)] = 3
    window_s: Seconds = 600.0


class WatchdogSection(Section, frozen=True, kw_only=True):
    """When `hal0 drift` restarts lemond: after so many failures of /live in a row, or a silence that nothing explains.

    `backoff_s`: the shortest time between two restarts; it doubles up to `longest_backoff_s`.
    """

    enabled: bool = True
    live_failures: Annotated[int, msgspec.Meta(ge=3)] = 3
    backoff_s: Seconds = 60.0
    longest_backoff_s: Seconds = 3600.0


class Retention(Section, frozen=True, kw_only=True):
    """How much history is kept, in rows."""

    journal: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    operations: Annotated[int, msgspec.Meta(ge=100)] = 2_000
    requests: Annotated[int, msgspec.Meta(ge=100)] = 100_000


class Auth(Section, frozen=True, kw_only=True):
    """Who may change something from other machines: whoever has the admin key, or (`open`) everybody."""

    mode: Literal["key", "open"] = "key"


class Settings(Section, frozen=True, kw_only=True):
    """All of hal0.toml. `alias`: further names for slots and models, each with the slot or model it means."""

    server: Server = Server()
    lemonade: Lemonade = Lemonade()
    dispatch: DispatchSection = DispatchSection()
    slot_ports: SlotPorts = SlotPorts()
    observer: ObserverSection = ObserverSection()
    crash_loop: CrashLoop = CrashLoop()
    watchdog: WatchdogSection = WatchdogSection()
    retention: Retention = Retention()
    auth: Auth = Auth()
    alias: dict[Alias, Target] = {}

    def __post_init__(self) -> None:
        for name, target in self.alias.items():
            if target in self.alias:
                raise ValueError(f"alias '{name}' names the alias '{target}'; name a slot or a model")


@dataclass(frozen=True)
class Layer:
    """Settings from one place, by the name that a person knows it by. `own`: the file that the dashboard saves to."""

    name: str
    table: Mapping[str, Any]
    own: bool = False
    environment: bool = False


LONGEST_PORT = 5

# Environment variable -> the key it overrides.
ENVIRONMENT: dict[str, tuple[str, str]] = {
    "HAL0_HOST": ("server", "host"),
    "HAL0_PORT": ("server", "port"),
    "HAL0_LEMONADE_URL": ("lemonade", "url"),
    "HAL0_SLOT_PORTS": ("slot_ports", "range"),
}


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on top, table by table."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(below, value) if both else value  # type: ignore[arg-type]
    return merged


def from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that environment variables give; SchemaError when a number is none."""
    found: dict[str, Any] = {}
    for variable, (section, key) in ENVIRONMENT.items():
        if text := environment.get(variable):
            found.setdefault(section, {})[key] = _number(variable, text) if key == "port" else text
    return found


def _number(variable: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > LONGEST_PORT:
        raise schema.SchemaError(f"{variable} is '{text}', but must be a port number", variable)
    return int(text)


def read_settings(*layers: Mapping[str, Any]) -> Settings:
    """The settings from layers, later ones on top; SchemaError names the key and the fix."""
    data: dict[str, Any] = {}
    for layer in layers:
        data = merge(data, layer)
    return schema.read(Settings, data)
