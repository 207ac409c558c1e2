"""Takes the framing of a chunked HTTP body away, for those who watch the bytes of a relay as they pass."""

from __future__ import annotations

from hal0app.core.framing import whole_chunks

LONGEST_LINE = 4096  # bytes of a chunk's size with its extensions


class Unchunked:
    """Gives the content of the pieces of a chunked body, however they are cut.

    After the last chunk, and after bytes that are no framing, nothing more comes out.
    """

    __slots__ = ("_left", "_line", "_over")

    def __init__(self) -> None:
        self._left = 0  # bytes of the chunk still to come, with the line end that closes it
        self._line = b""
        self._over = False

    def __call__(self, piece: bytes) -> bytes:
        """The content in the next piece."""
        spans, at = whole_chunks(piece) if self.between else ((), 0)
        found, size = [piece[start:end] for start, end in spans], len(piece)
        while at < size and not self._over:
            if self._left:
                took = min(self._left, size - at)
                content = min(took, self._left - 2)
                if content > 0:
                    found.append(piece[at : at + content])
                self._left -= took
                at += took
                continue
            end = piece.find(b"\n", at)
            self._line += piece[at : end + 1 or size]
            at = end + 1 or size
            if end >= 0:
                self._open()
            elif len(self._line) > LONGEST_LINE:
                self._over = True
        return found[0] if len(found) == 1 else b"".join(found)

    @property
    def between(self) -> bool:
        """Whether a chunk is to begin."""
        return not (self._left or self._line or self._over)

    def _open(self) -> None:
        """Begin the chunk whose size is in the line."""
        try:
            size = int(self._line.partition(b";")[0], 16)
        except ValueError:
            size = 0
        self._line = b""
        self._over = size <= 0
        self._left = size + 2
