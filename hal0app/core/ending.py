"""How the relay of an answer ended."""

from __future__ import annotations

from enum import StrEnum


class Ending(StrEnum):
    """Told once for every answer that was begun."""

    COMPLETE = "complete"
    CLIENT_GONE = "client_gone"
    CLIENT_STALLED = "client_stalled"  # it was there, but took nothing for too long
    UPSTREAM_BROKEN = "upstream_broken"
    UPSTREAM_SILENT = "upstream_silent"
    STOPPED = "stopped"  # hal0 itself was, and did not wait any longer
