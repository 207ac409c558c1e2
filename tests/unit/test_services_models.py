"""Deleting, pulling and installing: what is asked of Lemonade, in which order, and what the journal keeps of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import pytest

from hal0app import errors
from hal0app.core.journal import Entry
from hal0app.core.residency import Link
from hal0app.errors import Hal0Error
from hal0app.services.backends import Backends
from tests.support.waiting import eventually
from tests.unit.fakes import House, slot

REFUSED = errors.error("lemonade.refused", "no such host", upstream_status=500)


class Shelf:
    """A house with backends over its disk."""

    def __init__(self, *slots: Any) -> None:
        self.house = House(*slots)
        self.disk, self.downloads, self.models = self.house.disk, self.house.downloads, self.house.models
        self.backends = Backends(self.disk, self.downloads, self.house.store, self.house.clock)

    @contextmanager
    def running(self) -> Iterator[Shelf]:
        with self.house.running():
            yield self

    def on_disk(self) -> list[str]:
        """The ids of the downloaded models as they are shown."""
        return [one.model.id for one in self.models.all() if one.model.downloaded]

    def told(self, *kinds: str, count: int = 1) -> list[Entry]:
        """The entries of these kinds, once there are `count`."""
        return eventually(lambda: (found := self.house.store.told(*kinds))[count - 1 :] and found, within=20)


@contextmanager
def refusal(code: str) -> Iterator[pytest.ExceptionInfo[Hal0Error]]:
    with pytest.raises(Hal0Error) as caught:
        yield caught
    assert caught.value.code == code, caught.value.message


# --- delete


def test_a_forced_delete_unloads_first_and_is_journalled() -> None:
    with Shelf(slot("primary", "m")).running() as shelf:
        shelf.house.lemond.put("m")
        shelf.house.look()
        assert "m" in shelf.on_disk()
        shelf.models.delete("m", force=True, agent="ansible")
        assert shelf.house.lemond.calls == [("unload", "m"), ("delete", "m")]
        assert [(one.model, one.agent) for one in shelf.told("model.delete")] == [("m", "ansible")]
        assert shelf.on_disk() == ["n", "o"]


def test_a_model_that_nobody_uses_is_deleted_without_force() -> None:
    with Shelf(slot("off", "m", enabled=False)).running() as shelf:
        shelf.models.delete("m", force=False)
        assert shelf.house.lemond.calls == [("delete", "m")]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_model_in_use_is_left_alone(loaded: bool) -> None:
    with Shelf(*([] if loaded else [slot("primary", "m")])).running() as shelf:
        if loaded:
            shelf.house.lemond.put("m")
            shelf.house.look()
        with refusal("model.in_use") as caught:
            shelf.models.delete("m", force=False)
        assert caught.value.details == {"slots": [] if loaded else ["primary"], "loaded": loaded}
        assert shelf.house.lemond.calls == []


@pytest.mark.parametrize("source", ["extra_models_dir", "local_path"])
def test_a_persons_own_file_is_neither_unloaded_nor_deleted(source: str) -> None:
    with Shelf().running() as shelf:
        shelf.house.lemond.rows["m"] |= {"source": source, "checkpoint": "/models/m.gguf"}
        shelf.house.lemond.put("m")
        shelf.house.look()
        with refusal("model.local_file") as caught:
            shelf.models.delete("m", force=True)
        assert caught.value.details == {"file": "/models/m.gguf"}
        assert shelf.house.lemond.calls == []


def test_what_lemonade_does_not_delete_is_told_with_its_reason() -> None:
    with Shelf().running() as shelf:
        shelf.disk.refusal = REFUSED
        with refusal("model.delete_failed") as caught:
            shelf.models.delete("m", force=False)
        assert "no such host" in caught.value.message
        assert shelf.house.store.told("model.delete") == []


def test_without_lemonade_its_last_known_models_are_shown_and_nothing_known_is_an_error() -> None:
    with Shelf().running() as shelf:
        shelf.house.lemond.link = Link.DOWN
        shelf.house.look()
        with refusal("lemonade.unavailable"):
            shelf.models.all()
        with refusal("lemonade.unavailable"):
            shelf.models.delete("m", force=True)


# --- pull, and following it


def test_a_pull_is_journalled_at_its_start_and_at_its_end() -> None:
    with Shelf().running() as shelf:
        wanted = {"model_name": "user.new", "checkpoint": "org/repo:Q4", "recipe": "llamacpp"}
        assert "user.new" not in shelf.on_disk()
        begun = shelf.models.pull(wanted, "cli").latest
        assert (begun.id, begun.running) == ("model:user.new", True)
        assert shelf.disk.asked == [wanted]
        shelf.house.lemond.rows["user.new"] = {"id": "user.new"}
        shelf.disk.put("model:user.new", running=False, status="completed")
        start, end = shelf.told("model.pull", count=2)
        assert (start.message, start.agent) == ("the download of user.new started", "cli")
        assert (end.message, end.level, end.model) == ("user.new was downloaded", "info", "user.new")
        assert "user.new" in shelf.on_disk()


def test_a_download_that_fails_later_is_told_with_its_reason() -> None:
    with Shelf().running() as shelf:
        shelf.models.pull({"model_name": "m"})
        shelf.disk.put("model:m", running=False, status="error", error="disk full")
        end = shelf.told("model.pull", count=2)[-1]
        assert (end.level, end.message) == ("error", "the download of m failed: disk full")


def test_a_slot_is_pulling_while_its_model_is_downloaded() -> None:
    with Shelf(slot("primary", "m"), slot("other", "n")).running() as shelf:
        house = shelf.house
        eventually(lambda: house.state() == "offline")
        shelf.models.pull({"model_name": "m"}, "ann")
        eventually(lambda: house.state() == "pulling")
        assert house.observer.snapshot.record("primary").message == "downloading m"
        assert house.state("other") == "offline"
        (pull,) = house.store.operations.values()
        assert (pull.kind, pull.cause.who, pull.slot) == ("pull", "ann", None)
        shelf.disk.put("model:m", running=False, status="completed")
        eventually(lambda: (house.state(), house.reason()) == ("offline", "never_loaded"))


def test_a_slot_says_that_the_download_of_its_model_failed_until_one_succeeds() -> None:
    with Shelf(slot("primary", "m")).running() as shelf:
        house = shelf.house
        shelf.models.pull({"model_name": "m"})
        eventually(lambda: house.state() == "pulling")
        shelf.disk.put("model:m", running=False, status="error", error="disk full")
        eventually(lambda: (house.state(), house.reason()) == ("offline", "not_downloaded"))
        assert house.observer.snapshot.record("primary").message == "the download of m failed: disk full"
        shelf.models.pull({"model_name": "m"})
        eventually(lambda: house.state() == "pulling")
        shelf.disk.put("model:m", running=False, status="completed")
        eventually(lambda: house.reason() == "never_loaded")


def test_a_download_of_before_our_start_makes_its_slot_pull() -> None:
    shelf = Shelf(slot("primary", "m"))
    shelf.disk.put("model:m")
    with shelf.running():
        eventually(lambda: shelf.house.state() == "pulling")


def test_a_download_that_vanishes_with_lemonade_is_told() -> None:
    with Shelf().running() as shelf:
        shelf.models.pull({"model_name": "m"})
        shelf.disk.rows.clear()
        end = shelf.told("model.pull", count=2)[-1]
        assert end.level == "warning"
        assert "not listed any more" in end.message


def test_a_download_of_before_our_start_is_followed_too() -> None:
    shelf = Shelf()
    shelf.disk.put("model:m")
    with shelf.running():
        assert shelf.disk.listed.wait(20)
        shelf.disk.put("model:m", running=False, status="completed")
        assert [one.message for one in shelf.told("model.pull")] == ["m was downloaded"]


def test_a_download_that_begins_while_the_list_is_read_has_not_vanished() -> None:
    shelf = Shelf()
    listing, read = shelf.disk.downloads, Event()

    def slow() -> list[dict[str, Any]]:
        rows = listing()
        assert read.wait(20)
        return rows

    shelf.disk.downloads = slow  # type: ignore[method-assign]
    with shelf.running():
        assert shelf.disk.listed.wait(20)
        shelf.models.pull({"model_name": "m"})
        read.set()
        shelf.disk.put("model:m", running=False, status="completed")
        assert shelf.told("model.pull", count=2)[-1].message == "m was downloaded"


def test_who_waits_for_a_download_goes_on_waiting_when_it_is_begun_again() -> None:
    with Shelf().running() as shelf:
        begun = shelf.models.pull({"model_name": "m"})
        assert shelf.models.pull({"model_name": "m"}) is begun
        shelf.disk.put("model:m", running=False, status="completed")
        assert begun.over.wait(20)
        assert begun.told == "m was downloaded"


def test_a_paused_download_goes_on_with_what_it_was_started_with() -> None:
    with Shelf().running() as shelf:
        wanted = {"model_name": "user.new", "checkpoint": "org/repo:Q4", "recipe": "llamacpp"}
        shelf.models.pull(wanted)
        shelf.downloads.pause("model:user.new", None)
        assert "was paused" in shelf.told("model.pull", count=2)[-1].message
        shelf.downloads.resume("model:user.new", None)
        assert shelf.disk.asked == [wanted, wanted]
        shelf.downloads.cancel("model:user.new", None)
        assert "was cancelled" in shelf.told("model.pull", count=4)[-1].message


def test_a_download_of_a_backend_goes_on_by_installing_it_again() -> None:
    with Shelf().running() as shelf:
        shelf.disk.put("backend:llamacpp:vulkan", running=False, status="paused")
        shelf.downloads.resume("backend:llamacpp:vulkan", None)
        assert shelf.disk.asked == [{"recipe": "llamacpp", "backend": "vulkan"}]


@pytest.mark.parametrize("act", ["pause", "cancel", "resume"])
def test_what_is_not_listed_cannot_be_controlled(act: str) -> None:
    with refusal("download.not_found"):
        getattr(Shelf().downloads, act)("model:m", None)


def test_a_pull_that_is_refused_is_typed_and_journalled() -> None:
    shelf = Shelf()
    shelf.disk.refusal = REFUSED
    with refusal("model.pull_failed"):
        shelf.models.pull({"model_name": "m"}, "cli")
    told = shelf.house.store.told("model.pull")
    assert [(one.level, one.message) for one in told] == [("error", "'m' cannot be pulled: no such host")]


# --- backends


def test_a_backend_is_installed_as_a_download() -> None:
    with Shelf().running() as shelf:
        begun = shelf.backends.install("llamacpp", "vulkan", "cli")
        assert begun is not None
        assert begun.as_json()["type"] == "backend"
        shelf.disk.put("backend:llamacpp:vulkan", running=False, status="completed")
        messages = [one.message for one in shelf.told("backend.install", count=2)]
        assert messages == ["the download of llamacpp:vulkan started", "llamacpp:vulkan was downloaded"]


def test_a_backend_that_is_there_is_not_installed_again() -> None:
    shelf = Shelf()
    assert shelf.backends.install("llamacpp", "cpu") is None
    assert shelf.disk.asked == []


@pytest.mark.parametrize(
    ("backend", "code", "says"),
    [("nope", "backend.unknown", "llamacpp:nope"), ("rocm", "backend.unsupported", "Unsupported GPU")],
)
def test_a_backend_that_cannot_be_had_is_never_asked_for(backend: str, code: str, says: str) -> None:
    shelf = Shelf()
    with refusal(code) as caught:
        shelf.backends.install("llamacpp", backend)
    assert says in caught.value.message
    assert shelf.disk.asked == []


def test_a_backend_that_needs_work_on_the_host_is_told_with_the_page_to_read() -> None:
    shelf = Shelf()
    shelf.disk.action = "https://lemonade-server.ai/flm_npu_linux.html"
    with refusal("backend.manual") as caught:
        shelf.backends.install("llamacpp", "vulkan")
    assert caught.value.details == {"action": shelf.disk.action}
    assert [one.level for one in shelf.house.store.told("backend.install")] == ["error"]
    assert shelf.downloads.all() == []


def test_a_backend_that_lemonade_does_not_install_is_told_with_its_reason() -> None:
    shelf = Shelf()
    shelf.disk.refusal = REFUSED
    with refusal("backend.install_failed") as caught:
        shelf.backends.install("llamacpp", "vulkan")
    assert "no such host" in caught.value.message


def test_backends_are_listed_by_recipe_with_the_default() -> None:
    rows = {one["id"]: one for one in Shelf().backends.all()}
    assert list(rows) == ["llamacpp:cpu", "llamacpp:rocm", "llamacpp:vulkan"]
    assert (rows["llamacpp:vulkan"]["default"], rows["llamacpp:vulkan"]["message"]) == (True, "not installed")
