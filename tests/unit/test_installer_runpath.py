"""hal0-runpath.py of the role lemonade: a whisper.cpp that cannot find its libraries is mended, and nothing else is."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "ansible/roles/lemonade/files/hal0-runpath.py"
BUILT_AT = b"/home/runner/work/build/bin"
ADDRESS, STRINGS_AT, DYNAMIC_AT = 0x400000, 0x200, 0x100
LOADED, DYNAMIC = 1, 2
NEEDED, STRINGS, RPATH, RUNPATH, END = 1, 5, 15, 29, 0


def elf(searched: bytes, tag: int = RUNPATH) -> bytes:
    """A program as the linker makes it, without code: what it needs, and where it looks for that."""
    texts = b"\0libwhisper.so.1\0" + searched + b"\0libc.so.6\0"
    entries = [(NEEDED, 1), (tag, texts.index(searched)), (STRINGS, ADDRESS + STRINGS_AT), (END, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    size = STRINGS_AT + len(texts)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", LOADED, 5, 0, ADDRESS, ADDRESS, size, size, 4096)
    at = ADDRESS + DYNAMIC_AT
    head += struct.pack("<IIQQQQQQ", DYNAMIC, 6, DYNAMIC_AT, at, at, len(dynamic), len(dynamic), 8)
    return (head.ljust(DYNAMIC_AT, b"\0") + dynamic).ljust(STRINGS_AT, b"\0") + texts


def put(folder: Path, content: bytes, name: str = "whispercpp/vulkan/whisper-server") -> Path:
    file = folder / "bin" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    file.chmod(0o755)
    return file


def mend(folder: Path) -> str:
    return subprocess.run([sys.executable, PROGRAM, folder], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("tag", [RUNPATH, RPATH])
def test_a_folder_of_the_machine_that_built_it_is_replaced_once(tmp_path: Path, tag: int) -> None:
    file = put(tmp_path, elf(BUILT_AT, tag))
    assert mend(tmp_path) == f"hal0: {file} looks for its libraries beside itself now\n"
    assert file.read_bytes() == elf(BUILT_AT, tag).replace(BUILT_AT, b"$ORIGIN".ljust(len(BUILT_AT), b"\0"))
    assert file.stat().st_mode & 0o777 == 0o755
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert mend(tmp_path) == ""


@pytest.mark.parametrize(
    "content",
    [
        elf(b"$ORIGIN/../lib"),
        elf(b"/home/gone:/usr/lib"),
        elf(b"/gone"),
        elf(BUILT_AT)[:0x120],
        elf(BUILT_AT)[:8],
        elf(BUILT_AT, NEEDED),
        b"#!/bin/sh\n" * 99,
        b"",
    ],
    ids=["beside", "there", "no room", "cut", "short", "none", "script", "empty"],
)
def test_what_is_sound_or_no_program_is_left_alone(tmp_path: Path, content: bytes) -> None:
    file = put(tmp_path, content)
    assert mend(tmp_path) == ""
    assert file.read_bytes() == content


def test_other_backends_and_links_are_left_alone(tmp_path: Path) -> None:
    other = put(tmp_path, elf(BUILT_AT), "llamacpp/llama-server")
    put(tmp_path, b"").with_name("link").symlink_to(other)
    assert mend(tmp_path) == ""
    assert mend(tmp_path / "nowhere") == ""
