"""Memory of the host and of its processes, from /proc and from amdgpu's files in /sys."""

from __future__ import annotations

from pathlib import Path

from hal0app.core.memory import Card, HostMemory, ProcessMemory

KIB = 1024
CARD_FILES = ("mem_info_vram_total", "mem_info_vram_used", "mem_info_gtt_total", "mem_info_gtt_used")  # bytes


class MemoryFiles:
    """Reads below `root`. What cannot be read is not known; nothing is raised."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def host(self) -> HostMemory:
        """What the host has now."""
        known = _fields(self._root / "proc/meminfo")
        folders = sorted((self._root / "sys/class/drm").glob("card*/device"))
        cards = tuple(card for folder in folders if (card := _card(folder)) is not None)
        return HostMemory(known.get("MemAvailable"), cards, known.get("MemTotal"))

    def process(self, pid: int) -> ProcessMemory | None:
        """What a process of this host holds."""
        fields = _fields(self._root / "proc" / str(pid) / "status")
        if "VmRSS" not in fields:
            return None
        return ProcessMemory(fields["VmRSS"], fields.get("RssAnon", 0) + fields.get("RssShmem", 0))


def _fields(path: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file in /proc, in bytes; none when it cannot be read."""
    found: dict[str, int] = {}
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            found[name] = int(words[0]) * KIB
    return found


def _card(folder: Path) -> Card | None:
    """An amdgpu's numbers; None for another card, or when one of its files cannot be read."""
    texts = [_text(folder / name).strip() for name in CARD_FILES]
    return Card(*map(int, texts)) if all(text.isdigit() for text in texts) else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
