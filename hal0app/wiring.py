"""The composition root: the only place where adapters and services meet."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from flask import Flask
from gevent import Greenlet
from gevent.threadpool import ThreadPool

from hal0app.adapters import clock, host, log_tail, own_process, paths
from hal0app.adapters.gguf_files import GgufFiles
from hal0app.adapters.hardware import HardwareFiles
from hal0app.adapters.keys import admin_key, lemonade_key
from hal0app.adapters.lemonade_library import LemonadeLibrary
from hal0app.adapters.lemond_log import LogStream
from hal0app.adapters.llama_gauges import LlamaGauges
from hal0app.adapters.llama_help import LlamaHelp
from hal0app.adapters.memory import MemoryFiles
from hal0app.adapters.memory_use import MemoryUseTable
from hal0app.adapters.meters import Meters
from hal0app.adapters.probe import Probe
from hal0app.adapters.request_table import RequestTable
from hal0app.adapters.settings_file import SettingsFiles, load_settings
from hal0app.adapters.slot_files import SlotFiles
from hal0app.adapters.store import Store
from hal0app.adapters.systemd import Systemd
from hal0app.adapters.upstream import HttpUpstream
from hal0app.adapters.worker_lock import WorkerLock
from hal0app.api import errors as api_errors
from hal0app.api import journal as journal_api
from hal0app.api import models as models_api
from hal0app.api import recording, relay_stream, security, slot_ports, state, v1
from hal0app.api import requests as requests_api
from hal0app.api import settings as settings_api
from hal0app.api import slots as slots_api
from hal0app.api.admin import Admin
from hal0app.api.client_socket import ClientSocket
from hal0app.api.fast_lane import FastLane
from hal0app.api.proxies import behind
from hal0app.api.relay_receiving import receive
from hal0app.api.worker import EXTENSION
from hal0app.core import secret
from hal0app.core.lost_worker import told
from hal0app.services.acts import Acts
from hal0app.services.backends import Backends
from hal0app.services.catalogue import Catalogue
from hal0app.services.control import Control
from hal0app.services.crashes import Crashes
from hal0app.services.dispatch import Dispatch
from hal0app.services.downloads import Downloads
from hal0app.services.feed import Feed
from hal0app.services.hal0 import Hal0
from hal0app.services.heard import Heard
from hal0app.services.keeper import Keeper
from hal0app.services.leases import Leases
from hal0app.services.lemond_config import LemondConfig
from hal0app.services.machine import Machine
from hal0app.services.metering import Metering, gauges, scraped
from hal0app.services.models import Models
from hal0app.services.observer import Observer
from hal0app.services.ports import Recipes
from hal0app.services.preflight import Preflight, Sources
from hal0app.services.pulls import Pulls
from hal0app.services.quarantines import Quarantines
from hal0app.services.requests import Requests
from hal0app.services.restart import Restart
from hal0app.services.room import Room
from hal0app.services.routes import Routes
from hal0app.services.sampling import Sampling
from hal0app.services.settings import SettingsDesk
from hal0app.services.slots import Slots
from hal0app.services.starter import Starter
from hal0app.services.stats import Stats
from hal0app.services.stock import Stock
from hal0app.services.traffic import Traffic
from hal0app.services.vitals import Checkup
from hal0app.services.wanted import Wanted
from hal0app.services.witness import Witness
from hal0app.web import mount

log = logging.getLogger(__name__)


def off_the_hub() -> Callable[[Callable[[], Any]], Any]:
    """Runs blocking calls one at a time on one thread of its own, so that no stream waits for a disk."""
    pool = ThreadPool(1)

    def run(work: Callable[[], Any]) -> Any:
        return pool.apply(work)

    return run


def living_greenlets() -> Callable[[], int]:
    """Counts the greenlets that were started from now on and have not ended."""
    started: WeakSet[Greenlet] = WeakSet()
    Greenlet.add_spawn_callback(started.add)
    return lambda: sum(not one.dead for one in started)


def _sources(lemonade: Recipes, database: Path) -> Sources:
    """Where the preflight's facts come from, with disks read off the hub."""
    offload = off_the_hub()
    return Sources(GgufFiles(offload), MemoryFiles(), LlamaHelp(), MemoryUseTable(database, offload), lemonade)


def build(environment: Mapping[str, str] = os.environ) -> Hal0:
    """Every service, over the real adapters."""
    where = paths.from_environment(environment)
    settings = load_settings(where, environment)
    key, url = lemonade_key(environment), settings.lemonade.url
    alive = living_greenlets()
    store = Store(where.database, settings.retention, off_the_hub())
    if not store.past(clock.now()).recorded.records:  # a first start; later a folder that is gone is a fault
        with suppress(OSError):
            where.slots.mkdir(parents=True, exist_ok=True)
    lock = WorkerLock(where.lock, host.starved)
    files = SlotFiles(where.slots)
    probe = Probe(url, clock.now, settings.observer.timeout_s, key, host.lemond_boot)
    observer = Observer(probe, files, store, clock.now, settings.observer.period_s)
    lemonade = LemonadeLibrary(url, key)
    catalogue = Catalogue(lemonade, clock.now)
    leases = Leases(clock.now)
    wait_s = settings.dispatch.wait_s
    quarantines = Quarantines(store, clock.now)
    preflight = Preflight(catalogue, _sources(lemonade, where.database), quarantines)
    acts = Acts(lemonade, catalogue, leases, observer, store, clock.now, f"api {os.getpid()}", wait_s, preflight)
    control = Control(acts, leases, observer, clock.now, settings.dispatch.heartbeat_s)
    upstream = HttpUpstream(url.rstrip("/"), key, receive)
    witness = Witness(LogStream(url, key), store, clock.now)
    crashes = Crashes(store, clock.now, settings.crash_loop, witness.last_words)
    routes = Routes(observer, catalogue, settings.alias, settings.dispatch.allow_implicit_pull)
    wanted = Wanted(lemonade, store, clock.now, settings.lemonade.want)
    keeper = Keeper(observer, control, leases, lemonade, store, clock.now, witness, wanted, quarantines)
    acts.on_wipe = keeper.wiped
    witness.on_wipe(keeper.heard)
    slots = Slots(files, observer, control, leases, store, clock.now, quarantines, settings.slot_ports.ports)
    downloads = Downloads(lemonade, catalogue, store, clock.now)
    history = RequestTable(where.database, settings.retention.requests, off_the_hub())
    meters = Meters(lambda: gauges(observer, requests, slots.all, clock.now, alive))
    requests = Requests(history, meters, clock.now, clock.tick, pause=lambda: time.sleep(0))
    stats = Stats(history, clock.now, requests.flush)
    sampling = Sampling(observer, MemoryFiles(), LlamaGauges(), clock.now)
    Metering(observer, meters)
    slots.views.vitals = Checkup(requests, stats, sampling).vitals
    models = Models(lemonade, catalogue, observer, control, downloads, store, clock.now, quarantines)
    dispatch = Dispatch(
        observer,
        control,
        leases,
        routes,
        catalogue,
        upstream,
        crashes,
        Pulls(models, downloads, observer),
        clock.now,
        url,
        wait_s,
        settings.dispatch.heartbeat_s,
    )
    backends = Backends(lemonade, downloads, store, clock.now)
    desk = SettingsDesk(SettingsFiles(where, environment), settings, store, clock.now)
    lemond_config = LemondConfig(lemonade, desk, store, clock.now, wanted.learn)
    stock = Stock(models, downloads, backends, clock.now, history.uses)
    observer.subscribe(stock.observed)
    machine = Machine(HardwareFiles(), observer, preflight.held, clock.now)
    traffic = Traffic(requests.select, clock.now)
    heard = Heard(clock.now, lambda: witness.present)
    witness.on_line(heard.hear)
    own_log = Heard(clock.now, lambda: True)
    log_tail.listen(own_log.hear)
    return Hal0(
        settings=settings,
        clock=clock.now,
        observer=observer,
        control=control,
        catalogue=catalogue,
        slots=slots,
        dispatch=dispatch,
        store=store,
        feed=Feed(store, observer),
        models=models,
        downloads=downloads,
        requests=requests,
        room=Room(max(settings.server.max_held_mb, settings.server.max_body_mb) << 20),
        stats=stats,
        metrics=lambda accept: scraped(requests, meters, accept),
        backends=backends,
        stock=stock,
        machine=machine,
        desk=desk,
        lemond_config=lemond_config,
        traffic=traffic,
        heard=heard,
        own_log=own_log,
        starter=Starter(Systemd(), store, clock.now, url),
        restart=Restart(own_process.end, desk, store, clock.now),
        lemonade_key=secret.told(key),
        lemonade_there=host.lemond_installed,
        give_back=lock.give_back,
        workers=[
            requests,
            witness,
            keeper,
            downloads,
            stock.watch,
            lemond_config.watch,
            machine.watch,
            traffic.watch,
            sampling,
            stats,
            upstream,
        ],
        on_start=[lambda: _take(lock, store)],
    )


def _take(lock: WorkerLock, store: Store) -> None:
    """Become the one worker, and tell of the one before when it was killed."""
    lost = lock.take()
    if lost:
        entry = told(lost, clock.now().wall)
        log.error(entry.message)
        with suppress(sqlite3.Error):  # a full disk keeps nothing from serving
            store.write_journal([entry])


def create_app(environment: Mapping[str, str] = os.environ) -> Flask:
    """The Flask application; `app.extensions["hal0"].start()` sets it to work."""
    hal0 = build(environment)
    app = Flask("hal0app", static_folder=None)
    app.extensions["hal0"] = hal0
    app.url_map.merge_slashes = False  # such an address is none of ours, and a redirect no answer for a program
    relay_stream.init_app(app, hal0.settings.dispatch.stall_s)
    api_errors.init_app(app)
    recording.init_app(app)
    admin = Admin(hal0.settings.auth.mode == "open", admin_key(environment))
    rules = security.rules(hal0.settings.server.allowed_hosts, admin)
    security.init_app(app, rules)
    if hal0.settings.server.fast_lane:
        app.extensions[EXTENSION] = FastLane(hal0, rules)
    slot_ports.init_app(app)
    app.wsgi_app = behind(app.wsgi_app, hal0.settings.server.trusted_proxies)  # type: ignore[method-assign, assignment]
    apis = (v1, slots_api, state, journal_api, models_api, requests_api, settings_api)
    for blueprint in (one.bp for one in apis):
        app.register_blueprint(blueprint)
    mount.init_app(app, hal0, lambda environ: ClientSocket(environ.get("gunicorn.socket"), company=hal0.company), admin)
    return app
