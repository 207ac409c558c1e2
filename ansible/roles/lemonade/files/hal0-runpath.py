"""Before lemond starts: let the programs of Lemonade's whisper.cpp find the libraries beside them.

Some of its builds look for their libraries in a folder of the machine that built them, and end before they begin. What
looks beside itself ($ORIGIN), or anywhere else that is there, is left alone. Standard library only.

    hal0-runpath.py FOLDER...     prints what it has mended
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

MAGIC, HEADER, PROGRAM_HEADER = b"\x7fELF\x02\x01", 64, 56  # 64 bits, little-endian
LOADED, DYNAMIC = 1, 2
RPATH, RUNPATH, STRINGS = 15, 29, 5
BESIDE = b"$ORIGIN"


def segments(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Kind, place in the file, address and size of each segment."""
    (start,), (count,) = struct.unpack_from("<Q", content, 32), struct.unpack_from("<H", content, 56)
    for number in range(count):
        kind, _, place, address, _, size = struct.unpack_from("<IIQQQQ", content, start + number * PROGRAM_HEADER)
        yield kind, place, address, size


def searched(content: bytes) -> tuple[int, bytes] | None:
    """Where in the file the folders stand in which it looks for libraries, and which; None where it names none."""
    found = list(segments(content))
    entries = {
        tag: value
        for kind, place, _, size in found
        if kind == DYNAMIC
        for tag, value in struct.iter_unpack("<QQ", content[place : place + size])
    }
    offset = entries.get(RUNPATH, entries.get(RPATH))
    for kind, place, address, size in found:
        if offset is not None and kind == LOADED and address <= entries[STRINGS] < address + size:
            begin = entries[STRINGS] - address + place + offset
            return begin, content[begin : content.index(b"\0", begin)]
    return None


def mended(content: bytes) -> bytes | None:
    """The file as it should be; None where it is sound, is no program, or has no room for that."""
    if len(content) < HEADER or not content.startswith(MAGIC):
        return None
    now = searched(content)
    if now is None:
        return None
    begin, folders = now
    sound = any(one.startswith(BESIDE) or Path(one.decode(errors="replace")).is_dir() for one in folders.split(b":"))
    if sound or len(folders) < len(BESIDE):
        return None
    return content[:begin] + BESIDE.ljust(len(folders), b"\0") + content[begin + len(folders) :]


def mend(folder: Path) -> Iterator[Path]:
    """Mend what lies below a folder in one called whispercpp; the files that were."""
    for file in sorted(folder.rglob("whispercpp/**/*")):
        if file.is_symlink() or not file.is_file():
            continue
        try:
            better = mended(file.read_bytes())
        except (OSError, struct.error, ValueError, KeyError):
            continue
        if better is not None:
            scratch = file.with_name(f".{file.name}.hal0")
            scratch.write_bytes(better)
            scratch.chmod(file.stat().st_mode & 0o7777)
            scratch.rename(file)
            yield file


if __name__ == "__main__":
    for name in sys.argv[1:]:
        for one in mend(Path(name)):
            print(f"hal0: {one} looks for its libraries beside itself now", flush=True)
