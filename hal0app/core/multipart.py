"""Finding one field of a form while it is uploaded, and whether it has a file (RFC 7578), without parsing the rest."""

from __future__ import annotations

import re

HEADER_BYTES = 16 << 10  # of one part; more is no form that a program wrote

_DISPOSITION = re.compile(rb"(?im)^content-disposition:[ \t]*form-data[ \t]*(;.*)$")
_PARAMETER = re.compile(rb';\s*([\w*-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')
_PADDING = re.compile(rb"[ \t]*")


class FieldSearch:
    """Looks for the first text field called `name`, and for a file called `file`, or any without that.

    Feed it the same growing buffer until it is done. Of several files of one kind each may be called `file[]`.
    """

    def __init__(self, boundary: bytes, name: str, file: str = "") -> None:
        self._mark, self._name = b"\r\n--" + boundary, name.encode()
        self._file = re.compile(rb"%s(?:\[[0-9]*\])?" % re.escape(file.encode()) if file else rb"(?s:.*)")
        self._at, self._value = 0, -1
        self.span: tuple[int, int] | None = None  # where its value is
        self.has_file = False
        self.ended = False  # the whole form was seen

    def look(self, buffer: bytes | bytearray) -> bool:
        """Whether the buffer tells: `span` is set when the field is in it, and None when the form has none.

        With the field known, it goes on until there is a file or the form has ended.
        """
        if self._at == 0 and len(buffer) >= len(self._mark) and buffer.startswith(self._mark[2:]):
            self._at = -2  # the first boundary has no line end before it
        while (mark := self._boundary(buffer)) is not None:
            after = mark + len(self._mark)
            last = buffer[after : after + 2] == b"--"
            line_end = after if last else buffer.find(b"\r\n", after, after + HEADER_BYTES)
            if line_end < 0:
                return len(buffer) - after > HEADER_BYTES
            if not _PADDING.fullmatch(buffer, after, line_end):
                self._at = after  # another text that begins like the boundary
                continue
            if self._value >= 0:
                self.span, self._value = (self._value, mark), -1
                if self.has_file:
                    return True
            head_end = -1 if last else buffer.find(b"\r\n\r\n", line_end, line_end + HEADER_BYTES)
            if head_end < 0:
                self.ended = last
                return last or len(buffer) - line_end > HEADER_BYTES
            self._at = head_end + 4
            name, is_file = _part(bytes(buffer[line_end + 2 : head_end]))
            wanted = is_file and self._file.fullmatch(name) is not None
            self.has_file |= wanted
            if self.span is None and name == self._name and not is_file:
                self._value = self._at
            if self.span is not None and wanted:
                return True
        return False

    def _boundary(self, buffer: bytes | bytearray) -> int | None:
        """Where the next boundary begins, once the two bytes behind it are there, too."""
        if self._at < 0:
            return self._at if len(buffer) >= len(self._mark) else None
        mark = buffer.find(self._mark, self._at)
        if mark < 0:
            self._at = max(self._at, len(buffer) - len(self._mark) + 1)
            return None
        self._at = mark
        return mark if len(buffer) >= mark + len(self._mark) + 2 else None


def _part(headers: bytes) -> tuple[bytes, bool]:
    """The name of a part, and whether it is a file: to lemond, too, one without a name of its own is none."""
    disposition = _DISPOSITION.search(headers.replace(b"\r\n", b"\n"))
    if disposition is None:
        return b"", False
    told: dict[bytes, bytes] = {name.lower(): value for name, value in _PARAMETER.findall(disposition[1])}
    return told.get(b"name", b"").strip(b'"'), told.get(b"filename") not in (None, b"", b'""') or b"filename*" in told
