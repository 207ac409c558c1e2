"""The machine, looked at while somebody looks."""

from __future__ import annotations

import threading

from hal0app.core.hardware import Hardware
from hal0app.core.memory import HostMemory
from hal0app.core.memory_map import Part
from hal0app.core.residency import Resident
from hal0app.services.machine import Machine
from tests.support.waiting import eventually
from tests.unit.fakes import House, slot


class Files:
    """A machine whose CPU works half of the time."""

    def __init__(self) -> None:
        self.looks = 0

    def look(self) -> Hardware:
        self.looks += 1
        return Hardware(cpu_ticks=(self.looks * 50, self.looks * 100), memory=HostMemory(600, total=1000))


def machine(held: object = None) -> tuple[Machine, Files]:
    files, house = Files(), House(slot())
    house.lemond.put("m")
    house.observer.step()
    tell = held or (lambda resident: Part(resident.model, 100, True))
    return Machine(files, house.observer, tell, house.clock), files  # type: ignore[arg-type]


def test_a_look_tells_the_parts_and_how_busy_it_was() -> None:
    it, _ = machine()
    it.look()
    seen = it.look()
    assert seen.cpu_percent == 50
    assert seen.memory is not None
    assert (seen.memory.parts, seen.memory.other) == ((Part("m", 100, True),), 300)


def test_a_part_that_cannot_be_read_is_not_known() -> None:
    def fails(resident: Resident) -> Part:
        raise OSError("no")

    it, _ = machine(fails)
    seen = it.look()
    assert seen.memory is not None
    assert seen.memory.parts == (Part("m", None),)


def test_it_looks_only_while_somebody_does() -> None:
    it, files = machine()
    heard: list[int] = []
    it.subscribe(lambda: heard.append(1))
    worker = threading.Thread(target=it.watch.run, daemon=True)
    worker.start()
    assert (it.gauges(), files.looks) in {(None, 0), (None, 1)}
    eventually(lambda: it.gauges(), "it looked")
    assert heard
    it.watch.stop()
    worker.join(10)
    assert not worker.is_alive()


def test_the_api_is_told_at_once() -> None:
    told = machine()[0].as_json()
    assert told["memory"] == {"total": 1000, "available": 600}
    assert told["cpu"]["busy_percent"] is None
