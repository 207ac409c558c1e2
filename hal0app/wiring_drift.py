"""The composition root of `hal0 drift`: the few parts it needs, and no web framework."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hal0app.adapters import clock, generations, host, paths, privilege
from hal0app.adapters.keys import lemonade_key
from hal0app.adapters.probe import Probe
from hal0app.adapters.settings_file import load_settings
from hal0app.adapters.slot_files import SlotFiles
from hal0app.adapters.store import Store
from hal0app.adapters.systemd import Systemd
from hal0app.adapters.watch_table import WatchTable
from hal0app.core.settings import Settings
from hal0app.services.drift import Report, check
from hal0app.services.watchdog import Watchdog


def run_drift(environment: Mapping[str, str] = os.environ) -> Report:
    """One run of the drift checker. Raises SchemaError, sqlite3.OperationalError, OSError."""
    where = paths.from_environment(environment)
    privilege.become_owner_of(where.database)
    settings = load_settings(where, environment)
    store = Store(where.database, settings.retention)
    try:
        key = lemonade_key(environment)
        probe = Probe(settings.lemonade.url, clock.now, settings.observer.timeout_s, key, host.lemond_boot)
        watchdog = _watchdog(where.database, store, settings)
        return check(probe, SlotFiles(where.slots), store, clock.now, settings.lemonade.want, watchdog)
    finally:
        store.close()


def _watchdog(database: Path, store: Store, settings: Settings) -> Watchdog | None:
    if not settings.watchdog.enabled:
        return None
    memory, url = WatchTable(database), settings.lemonade.url
    return Watchdog(memory, Systemd(), generations.running, store, settings.watchdog, url)
