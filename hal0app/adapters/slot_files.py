"""The slots as files: `etc/slots/<name>.toml`, read strictly, written atomically, comments kept."""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hal0app.adapters.files import sync_folder, write_atomically
from hal0app.core.schema import SchemaError
from hal0app.core.slot import Broken
from hal0app.core.slot_config import NAME, SlotConfig, read_slot

Stamp = tuple[int, int, int]
NO_STAMP: Stamp = (0, 0, 0)
UNREADABLE = (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError)
LARGEST = 1 << 20  # bytes; no slot file is near that


class SlotFiles:
    """The folder of slot files. A file is read again only when its stamp changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[Stamp, SlotConfig | Broken]] = {}

    def all(self) -> list[SlotConfig | Broken]:
        """Every slot by name; one whose file breaks the schema is `Broken` and harms no other.

        Raises OSError when the folder is not there or cannot be listed: that is not the same as no slots.
        """
        names = [name.removesuffix(".toml") for name in os.listdir(self._folder) if name.endswith(".toml")]
        files = {name: self._folder / f"{name}.toml" for name in names if NAME.fullmatch(name)}
        self._read = {name: self._current(name, file) for name, file in sorted(files.items())}
        return [slot for _, slot in self._read.values()]

    def _current(self, name: str, file: Path) -> tuple[Stamp, SlotConfig | Broken]:
        try:
            status = file.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if not stat.S_ISREG(status.st_mode):
                return NO_STAMP, Broken(name, "this is no regular file")
            if status.st_size > LARGEST:
                return stamp, Broken(name, f"the file is larger than {LARGEST >> 20} MiB")
            known = self._read.get(name)
            return known if known and known[0] == stamp else (stamp, _slot(name, file))
        except OSError as problem:
            return NO_STAMP, Broken(name, problem.strerror or str(problem))

    def etag(self, name: str) -> str | None:
        """What changes with every change of the slot's file; None when there is none."""
        import hashlib

        try:
            return hashlib.sha256(self._file(name).read_bytes()).hexdigest()[:16]
        except OSError:
            return None

    def definition(self, name: str) -> dict[str, Any] | None:
        """The keys as the file has them, without defaults; None when there is no such slot."""
        try:
            return tomllib.loads(self._file(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except UNREADABLE:
            return {}

    def write(self, name: str, definition: Mapping[str, Any]) -> None:
        """Make the slot's file say `definition` (checked by the caller); comments and order of kept keys stay."""
        import tomlkit

        definition = {key: value for key, value in definition.items() if value is not None}

        file = self._file(name)
        try:
            document = tomlkit.parse(file.read_text(encoding="utf-8"))
        except (*UNREADABLE, ValueError):
            document = tomlkit.document()
        for key in [key for key in document if key not in definition]:
            del document[key]
        current = document.unwrap()
        for key, value in definition.items():
            if key not in current or current[key] != value:
                document[key] = value
        write_atomically(file, tomlkit.dumps(document))

    def remove(self, name: str) -> None:
        """Delete the slot's file; no such file is no error."""
        self._file(name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError(f"'{name}' is not a slot name")
        return self._folder / f"{name}.toml"


def _slot(name: str, file: Path) -> SlotConfig | Broken:
    try:
        return read_slot(name, tomllib.loads(file.read_text(encoding="utf-8")))
    except RecursionError:
        return Broken(name, "it is nested too deeply")
    except (SchemaError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        return Broken(name, str(problem))
