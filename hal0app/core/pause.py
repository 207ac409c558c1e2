"""How long what failed is left alone before hal0 tries it again by itself."""

from __future__ import annotations

FIRST_S = 60.0
LONGEST_S = 3600.0
DOUBLINGS = 16  # more would change nothing


def pause_s(failures: int) -> float:
    """Seconds after the last of `failures` in a row: a minute, doubled by each but the first, an hour at most."""
    return min(FIRST_S * 2.0 ** min(max(failures - 1, 0), DOUBLINGS), LONGEST_S)
