"""The settings as people handle them: each with its value, where that comes from, and what saving it does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import Struct, structs

from hal0app import errors
from hal0app.core.clock import Clock
from hal0app.core.journal import Entry
from hal0app.core.schema import SchemaError
from hal0app.core.settings import ENVIRONMENT, Layer, Settings, merge, read_settings
from hal0app.errors import Hal0Error
from hal0app.services.ports import SettingsFolder, States

DEFAULT = "default"
LISTENING = frozenset({"server.host", "server.port", "slot_ports.host", "slot_ports.range"})
VARIABLES = {f"{section}.{key}": variable for variable, (section, key) in ENVIRONMENT.items()}


@dataclass(frozen=True)
class Setting:
    """One key of hal0.toml. `running`: what this process was started with; `source`: `default`, a file, a variable."""

    key: str
    value: Any
    default: Any
    source: str
    running: Any
    fixed: bool = False  # by the environment, so that no file can change it

    @property
    def pending(self) -> bool:
        """Whether it takes effect at the next start only."""
        return bool(self.value != self.running)

    @property
    def by_service(self) -> bool:
        """Whether a restart of the worker is not enough: gunicorn's own process listens."""
        return self.key in LISTENING

    def as_json(self) -> dict[str, Any]:
        """As `/api/settings` shows it."""
        return {
            "key": self.key,
            "value": self.value,
            "default": self.default,
            "source": self.source,
            "fixed": self.fixed,
            "pending": self.pending,
        }


class SettingsDesk:
    """Reads all files anew every time; writes only the dashboard's own, which wins over what people wrote before it."""

    def __init__(self, folder: SettingsFolder, running: Settings, store: States, clock: Clock) -> None:
        self._folder, self._running, self._store, self._clock = folder, running, store, clock
        self._writing = threading.Lock()
        self._held: dict[str, Any] = {}  # what the socket unit decides, whatever the files say
        self._holder = ""

    def listens_by(self, program: Settings, unit: str = "", held: tuple[str, int] | None = None) -> None:
        """Where hal0 listens, as the program read it that started this process.

        `held`: host and port of the socket of systemd's `unit`, where there is one; then no file says it.
        """
        host, port = held or (program.server.host, program.server.port)
        if held:
            self._holder, self._held = unit, {"server.host": host, "server.port": port}
        server = structs.replace(self._running.server, host=host, port=port)
        self._running = structs.replace(self._running, server=server, slot_ports=program.slot_ports)

    def all(self) -> list[Setting]:
        """Every setting, in the order of the schema. Raises `settings.invalid` when a file is broken."""
        layers = self._layers()
        merged = _checked(*(layer.table for layer in layers))
        return [self._setting(key, merged, layers) for key in keys()]

    def _setting(self, key: str, merged: Settings, layers: list[Layer]) -> Setting:
        if key in self._held:
            return Setting(key, self._held[key], _get(Settings(), key), self._holder, self._held[key], fixed=True)
        source = next((layer.name for layer in reversed(layers) if _has(layer.table, key)), DEFAULT)
        fixed = bool(layers and layers[-1].environment and _has(layers[-1].table, key))
        named = VARIABLES.get(key, source) if fixed else source
        return Setting(key, _get(merged, key), _get(Settings(), key), named, _get(self._running, key), fixed)

    def _layers(self) -> list[Layer]:
        try:
            return self._folder.layers()
        except SchemaError as problem:
            raise errors.error("settings.invalid", str(problem), param=problem.key) from None

    def change(self, changes: Mapping[str, Any], agent: str | None = None) -> list[Setting]:
        """Lay `changes` (a table of tables; null takes a key out) over what the dashboard saved before.

        Nothing is written when it would not be valid. Raises `settings.invalid`, `settings.fixed`, `system.storage`.
        Returns all settings as read back.
        """
        with self._writing:
            layers = self._layers()
            own = merge(self._folder.own(), changes)
            table = _without_nothing(own)
            self._refuse_fixed(changes, layers)
            others = [layer.table for layer in layers if not layer.own]
            _checked(table)
            _checked(*others, table)
            try:
                self._folder.write(table)
            except OSError as problem:
                raise errors.error("system.storage", f"the settings could not be written: {problem}") from problem
            self._tell(changes, agent)
            return self.all()

    def _refuse_fixed(self, changes: Mapping[str, Any], layers: list[Layer]) -> None:
        for key in _keys_of(changes):
            if key in self._held:
                message = f"'{key}' is what {self._holder} says; set hal0_bind or hal0_port with make install"
                raise errors.error("settings.fixed", message, param=key)
            if layers and layers[-1].environment and _has(layers[-1].table, key):
                message = f"'{key}' is set by {VARIABLES.get(key, 'the environment')}; change it there"
                raise errors.error("settings.fixed", message, param=key)

    def _tell(self, changes: Mapping[str, Any], agent: str | None) -> None:
        text = f"settings were changed: {', '.join(_keys_of(changes))}"
        self._store.write_journal([Entry(self._clock().wall, "system.settings", text, agent=agent)])


def keys() -> list[str]:
    """Every key as `section.name`; of a section whose keys are a person's own, its name alone."""
    found: list[str] = []
    for section in structs.fields(Settings):
        if isinstance(section.type, type) and issubclass(section.type, Struct):
            found += (f"{section.name}.{one.name}" for one in structs.fields(section.type))
        else:
            found.append(section.name)
    return found


def _checked(*tables: Mapping[str, Any]) -> Settings:
    try:
        return read_settings(*tables)
    except SchemaError as problem:
        raise _invalid(problem) from None


def _invalid(problem: SchemaError) -> Hal0Error:
    return errors.error("settings.invalid", str(problem), param=problem.key)


def _get(settings: Settings, key: str) -> Any:
    section, _, name = key.partition(".")
    value = getattr(settings, section)
    value = getattr(value, name) if name else value
    return list(value) if isinstance(value, tuple) else value


def _has(table: Mapping[str, Any], key: str) -> bool:
    section, _, name = key.partition(".")
    below = table.get(section)
    return isinstance(below, Mapping) and (name in below or not name)


def _keys_of(changes: Mapping[str, Any]) -> list[str]:
    return [
        f"{section}.{name}"
        for section, below in changes.items()
        for name in (below if isinstance(below, Mapping) else ())
    ]


def _without_nothing(table: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that were taken out, and without tables that are empty then."""
    kept: dict[str, Any] = {}
    for key, value in table.items():
        value = _without_nothing(value) if isinstance(value, Mapping) else value
        if value is not None and value != {}:
            kept[key] = value
    return kept
