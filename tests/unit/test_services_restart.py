"""The restart that a person asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from hal0app.adapters.paths import Paths
from hal0app.adapters.settings_file import SettingsFiles
from hal0app.core.settings import Settings
from hal0app.errors import Hal0Error
from hal0app.services.restart import KIND, Restart
from hal0app.services.settings import SettingsDesk
from tests.unit.fakes import HandClock, MemoryStates


class Place:
    """A folder of settings, and a process that can end."""

    def __init__(self, folder: Path) -> None:
        (folder / "etc").mkdir()
        self.file, self.store, self.ended = folder / "etc" / "hal0.toml", MemoryStates(), list[str]()
        files = SettingsFiles(Paths(folder / "etc", folder / "var", folder / "run"), {})
        self.desk = SettingsDesk(files, Settings(), self.store, HandClock())
        self.restart = Restart(lambda: self.ended.append("ended"), self.desk, self.store, HandClock())
        self.restart.subscribe(lambda: self.ended.append("told"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_restart_is_told_before_the_process_ends(place: Place) -> None:
    place.restart.begin("you")
    assert place.ended == ["told", "ended"]
    assert [one.message for one in place.store.told(KIND)] == ["hal0 is being restarted by you"]


def test_files_with_which_hal0_could_not_start_keep_it_running(place: Place) -> None:
    place.file.write_text("[server]\nport = 'many'\n")
    with pytest.raises(Hal0Error) as caught:
        place.restart.begin("you")
    assert (caught.value.code, place.ended) == ("settings.invalid", [])


def test_where_hal0_listens_is_what_its_program_read_and_waits_for_the_service(place: Place) -> None:
    place.file.write_text("[server]\nport = 8090\nmax_body_mb = 7\n")
    ours = {one.key: one for one in place.desk.all() if one.pending}
    assert {key: one.by_service for key, one in ours.items()} == {"server.port": True, "server.max_body_mb": False}
    program = structs.replace(Settings(), server=structs.replace(Settings().server, port=8090))
    place.desk.listens_by(program)
    assert [one.key for one in place.desk.all() if one.pending] == ["server.max_body_mb"]
