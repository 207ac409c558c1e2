"""adapters/slot_files, settings_file, files, worker_lock, paths, keys, host: what lies on the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hal0app.adapters import host, paths
from hal0app.adapters.files import write_atomically
from hal0app.adapters.keys import lemonade_key
from hal0app.adapters.settings_file import load_settings
from hal0app.adapters.slot_files import SlotFiles
from hal0app.adapters.worker_lock import WorkerLock
from hal0app.core.lost_worker import LostWorker
from hal0app.core.schema import SchemaError
from hal0app.core.slot import Broken
from hal0app.core.slot_config import SlotConfig

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "slots"
    made.mkdir()
    return made


@pytest.fixture
def files(folder: Path) -> SlotFiles:
    return SlotFiles(folder)


# -- slots


def test_slots_come_sorted_by_name(files: SlotFiles, folder: Path) -> None:
    for name in ("b", "a", "c"):
        (folder / f"{name}.toml").write_text('type = "llm"')
    assert [one.name for one in files.all()] == ["a", "b", "c"]


def test_no_folder_is_not_the_same_as_no_slots(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        SlotFiles(tmp_path / "none").all()
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        SlotFiles(tmp_path / "file").all()


@pytest.mark.parametrize("name", ["A.toml", ".a.toml", "a.toml.bak", "a.json", ".toml", "a b.toml", "a.b.toml"])
def test_files_of_other_names_are_no_slots(files: SlotFiles, folder: Path, name: str) -> None:
    (folder / name).write_text('type = "llm"')
    assert files.all() == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"type = ", "Invalid value"),
        (b"", "'type' is required"),
        (b'type = "llm"\ntypo = 1', "unknown key 'typo'"),
        (b'type = "llm"\ntype = "llm"', "Cannot overwrite"),
        (b'type = "\xff"', "decode"),
        (b'\xef\xbb\xbftype = "llm"', ""),
        (b'type = "llm"\nname = "other"', "'name' says 'other'"),
        (b'type = "llm"\nllamacpp_args = "--port 1"', "--port is set by hal0"),
        (b"\x00", "Invalid"),
        (b"x = " + b"[" * 5000 + b"]" * 5000, "nested too deeply"),
    ],
    ids=["cut-off", "empty", "unknown-key", "twice", "not-utf8", "bom", "other-name", "reserved", "nul", "deep"],
)
def test_a_broken_file_breaks_only_its_own_slot_and_says_why(
    files: SlotFiles, folder: Path, text: bytes, problem: str
) -> None:
    (folder / "bad.toml").write_bytes(text)
    (folder / "good.toml").write_text('type = "llm"')
    bad, good = files.all()
    assert isinstance(good, SlotConfig)
    assert isinstance(bad, Broken)
    assert problem in bad.problem


def test_a_file_that_cannot_be_read_breaks_only_its_own_slot(files: SlotFiles, folder: Path) -> None:
    (folder / "dir.toml").mkdir()
    (folder / "lost.toml").symlink_to(folder / "nowhere")
    (folder / "good.toml").write_text('type = "llm"')
    assert [type(one) for one in files.all()] == [Broken, SlotConfig, Broken]
    assert files.definition("dir") == {}
    assert files.etag("dir") is None


@contextmanager
def locked_away(file: Path) -> Iterator[None]:
    """Nobody may read the file meanwhile, not even root, who is somebody else for so long."""
    was_root = os.geteuid() == 0
    file.chmod(0)
    if was_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)
        file.chmod(0o644)


def test_a_file_that_may_be_read_again_is_a_slot_again_though_its_content_stayed() -> None:
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there)
        folder.chmod(0o755)
        (folder / "a.toml").write_text('type = "llm"')
        files = SlotFiles(folder)
        with locked_away(folder / "a.toml"):
            assert isinstance(files.all()[0], Broken)
        assert isinstance(files.all()[0], SlotConfig)


def test_a_mended_file_is_a_slot_again(files: SlotFiles, folder: Path) -> None:
    (folder / "a.toml").write_text("x")
    assert isinstance(files.all()[0], Broken)
    (folder / "a.toml").write_text('type = "llm"')
    assert isinstance(files.all()[0], SlotConfig)


def test_an_unchanged_file_is_not_read_again(files: SlotFiles, folder: Path) -> None:
    (folder / "a.toml").write_text('type = "llm"')
    assert files.all()[0] is files.all()[0]


def test_an_edit_is_seen_also_when_the_size_stays(files: SlotFiles, folder: Path) -> None:
    for priority in range(10, 60):
        files.write("a", {"type": "llm", "priority": priority})
        (one,) = files.all()
        assert isinstance(one, SlotConfig)
        assert one.priority == priority


def test_a_removed_file_is_a_removed_slot(files: SlotFiles, folder: Path) -> None:
    files.write("a", {"type": "llm"})
    files.all()
    files.remove("a")
    files.remove("a")
    assert (files.all(), files.etag("a"), files.definition("a")) == ([], None, None)


COMMENTED = """\
# what this box is for
type = "llm"  # chat

model = "old"   # from the shop
enabled = true
max_in_flight = 2
labels = ["a"]  # one

# the end
"""


def test_comments_and_order_are_kept_when_keys_change(files: SlotFiles, folder: Path) -> None:
    (folder / "a.toml").write_text(COMMENTED)
    files.write("a", {"type": "llm", "model": "new", "enabled": False, "max_in_flight": 2, "labels": ["a", "b"]})
    text = (folder / "a.toml").read_text()
    assert (
        text.replace('"new"', '"old"').replace("enabled = false", "enabled = true").replace('["a", "b"]', '["a"]')
        == COMMENTED
    )


def test_a_key_that_is_taken_out_is_gone_and_a_new_one_is_added(files: SlotFiles, folder: Path) -> None:
    (folder / "a.toml").write_text(COMMENTED)
    files.write("a", {"type": "llm", "priority": 7})
    assert files.definition("a") == {"type": "llm", "priority": 7}
    assert "# what this box is for" in (folder / "a.toml").read_text()


def test_writing_what_is_there_changes_no_byte(files: SlotFiles, folder: Path) -> None:
    (folder / "a.toml").write_text(COMMENTED)
    files.write("a", files.definition("a") or {})
    assert (folder / "a.toml").read_text() == COMMENTED


@pytest.mark.parametrize("text", ["not toml at all [", 'type = "llm"\ntype = "llm"', "\x00"])
def test_a_broken_file_can_be_written_over(files: SlotFiles, folder: Path, text: str) -> None:
    (folder / "a.toml").write_text(text)
    files.write("a", {"type": "llm"})
    assert isinstance(files.all()[0], SlotConfig)


@pytest.mark.parametrize(
    "value", ['a "quoted" one', "line\nbreak", "back\\slash", "tab\t", "ünïcode 🦙", "# no comment", "'"], ids=ascii
)
def test_every_text_survives_being_written(files: SlotFiles, value: str) -> None:
    files.write("a", {"type": "llm", "system_prompt": value})
    assert files.definition("a") == {"type": "llm", "system_prompt": value}


def test_a_key_that_is_nothing_is_not_written(files: SlotFiles) -> None:
    files.write("a", {"type": "llm", "ctx_size": 5})
    files.write("a", {"type": "llm", "ctx_size": None})
    assert files.definition("a") == {"type": "llm"}


@pytest.mark.parametrize("name", ["../a", "a/b", "", "A", "a\n", "..", "a.b"], ids=ascii)
def test_no_file_outside_the_folder_can_be_named(files: SlotFiles, name: str) -> None:
    for act in (files.etag, files.definition, files.remove, lambda one: files.write(one, {})):
        with pytest.raises(ValueError, match="is not a slot name"):
            act(name)


def test_the_etag_changes_with_the_file_and_only_with_it(files: SlotFiles) -> None:
    files.write("a", {"type": "llm"})
    first = files.etag("a")
    assert files.etag("a") == first
    files.write("a", {"type": "llm", "priority": 1})
    assert files.etag("a") != first
    files.write("a", {"type": "llm"})
    files.write("b", {"type": "llm", "priority": 1})
    assert files.etag("none") is None


# -- atomic writes


def test_a_file_is_written_whole_and_no_other_is_left(tmp_path: Path) -> None:
    file = tmp_path / "new" / "f.toml"
    write_atomically(file, "ü")
    write_atomically(file, "second")
    assert [one.name for one in file.parent.iterdir()] == ["f.toml"]
    assert file.read_text() == "second"
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("text", ["\ud800", 5], ids=["unwritable", "no-text"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, text: Any) -> None:
    file = tmp_path / "f.toml"
    write_atomically(file, "old")
    with pytest.raises((UnicodeEncodeError, TypeError)):
        write_atomically(file, text)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("f.toml", "old")]


def test_a_target_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "f.toml").mkdir()
    with pytest.raises(OSError, match=r"f\.toml"):
        write_atomically(tmp_path / "f.toml", "x")
    assert [one.name for one in tmp_path.iterdir()] == ["f.toml"]


# -- settings


@pytest.fixture
def home(tmp_path: Path) -> paths.Paths:
    made = paths.from_environment({"HAL0_HOME": str(tmp_path)})
    (made.etc / "conf.d").mkdir(parents=True)
    return made


def test_no_files_are_the_defaults(tmp_path: Path) -> None:
    settings = load_settings(paths.from_environment({"HAL0_HOME": str(tmp_path)}), {})
    assert settings.server.port == 8080


def test_conf_d_wins_over_hal0_toml_in_name_order_and_the_environment_over_all(home: paths.Paths) -> None:
    (home.etc / "hal0.toml").write_text('[server]\nport = 1\nhost = "a"\n[dispatch]\nwait_s = 5\n')
    (home.etc / "conf.d" / "50-dashboard.toml").write_text('[server]\nport = 3\nhost = "c"\n')
    (home.etc / "conf.d" / "10-first.toml").write_text("[server]\nport = 2\nmax_body_mb = 2\n")
    (home.etc / "conf.d" / "50-dashboard.toml.bak").write_text("broken [")
    settings = load_settings(home, {"HAL0_HOST": "env"})
    server = settings.server
    assert (server.port, server.host, server.max_body_mb, settings.dispatch.wait_s) == (3, "env", 2, 5)


@pytest.mark.parametrize("where", ["hal0.toml", "conf.d/x.toml"])
@pytest.mark.parametrize(
    "text", [b"[server", b"[server]\nprot = 1", b"server = 5", b"\xff", b"[server]\nport = 0"], ids=ascii
)
def test_a_broken_settings_file_is_an_error_that_names_it(home: paths.Paths, where: str, text: bytes) -> None:
    (home.etc / "conf.d" / "a.toml").write_text("")
    (home.etc / where).write_bytes(text)
    with pytest.raises(SchemaError, match=where.replace(".", r"\.")):
        load_settings(home, {})


def test_a_settings_file_that_cannot_be_read_is_an_error_that_names_it(home: paths.Paths) -> None:
    (home.etc / "hal0.toml").mkdir()
    with pytest.raises(SchemaError, match=r"hal0\.toml"):
        load_settings(home, {})


def test_home_gives_all_three_folders() -> None:
    told = paths.from_environment({"HAL0_HOME": "/x"})
    assert (told.slots, told.database, told.lock) == (
        Path("/x/etc/slots"),
        Path("/x/var/hal0.db"),
        Path("/x/run/worker.lock"),
    )
    assert paths.from_environment({}) == paths.from_environment({"HAL0_HOME": ""}) == paths.SYSTEM


def test_a_relative_home_is_made_absolute() -> None:
    assert paths.from_environment({"HAL0_HOME": "x"}).etc == Path.cwd() / "x" / "etc"


def test_the_key_of_lemond_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" secret\n")
    assert lemonade_key({"HAL0_LEMONADE_KEY_FILE": str(tmp_path / "key")}) == "secret"
    assert lemonade_key({"HAL0_LEMONADE_KEY": "k", "HAL0_LEMONADE_KEY_FILE": "/nowhere"}) == "k"
    assert lemonade_key({"HAL0_HOME": str(tmp_path)}) is None


def test_the_key_of_lemond_that_the_installer_made_is_found(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "lemonade.key").write_text("made\n")
    assert lemonade_key({"HAL0_HOME": str(tmp_path)}) == "made"
    assert lemonade_key({"HAL0_HOME": str(tmp_path), "HAL0_LEMONADE_KEY": "k"}) == "k"


def test_the_end_of_a_line_is_no_part_of_the_key() -> None:
    assert lemonade_key({"HAL0_LEMONADE_KEY": "k\n"}) == "k"


def test_a_start_of_lemond_is_told_by_the_link_systemd_keeps(tmp_path: Path) -> None:
    assert host.lemond_boot(tmp_path) is None
    (tmp_path / "invocation:lemonade-server.service").symlink_to("old")
    assert host.lemond_boot(tmp_path) == "old"
    (tmp_path / "invocation:lemond.service").symlink_to("new")
    assert host.lemond_boot(tmp_path) == "new"


# -- one worker

HOLD = """
import sys
from pathlib import Path
from hal0app.adapters.worker_lock import WorkerLock
WorkerLock(Path(sys.argv[1])).take()
print("taken", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_told_who_has_the_home(tmp_path: Path) -> None:
    lock = tmp_path / "run" / "worker.lock"
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == "taken\n"
        with pytest.raises(RuntimeError, match=f"held by pid {first.pid}"):
            WorkerLock(lock).take()
        first.communicate(timeout=20)
    WorkerLock(lock).take()
    assert lock.read_text().startswith("pid ")


def test_a_lock_left_by_a_dead_process_is_taken(tmp_path: Path) -> None:
    lock = tmp_path / "worker.lock"
    lock.write_text("pid 999999999 and a much longer text than ours")
    WorkerLock(lock).take()
    assert "999999999" not in lock.read_text()


def test_who_ends_in_good_order_leaves_no_word_and_who_is_killed_does(tmp_path: Path) -> None:
    lock, kills = tmp_path / "worker.lock", iter([2, 2, 3, 3])

    def life(orderly: bool) -> LostWorker | None:
        worker = WorkerLock(lock, lambda: next(kills))
        lost = worker.take()
        if orderly:
            worker.give_back()
        os.close(worker._handle or 0)  # what the end of its process does
        return lost

    assert life(orderly=True) is None
    assert life(orderly=False) is None
    assert life(orderly=False) == LostWorker(os.getpid(), starved=True)
    assert life(orderly=True) == LostWorker(os.getpid(), starved=False)


@pytest.mark.parametrize(
    ("group", "file"),
    [
        ("9:x:/\n4:memory:/a.service\n0::/a.service", "memory/a.service/memory.oom_control"),
        ("0::/a.service", "a.service/memory.events"),
    ],
)
def test_who_was_killed_for_want_of_memory_is_counted_by_the_kernel(tmp_path: Path, group: str, file: str) -> None:
    (tmp_path / "cgroup").write_text(group)
    assert host.starved(tmp_path / "cgroup", tmp_path) == 0
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text("under_oom 0\noom_kill 2\n")
    assert host.starved(tmp_path / "cgroup", tmp_path) == 2


def test_a_pipe_in_the_folder_of_slots_is_told_and_stops_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "good.toml").write_text('type = "llm"\n')
    broken, good = sorted(SlotFiles(tmp_path).all(), key=lambda one: one.name, reverse=True)
    assert isinstance(broken, Broken)
    assert "no regular file" in broken.problem
    assert good.name == "good"
