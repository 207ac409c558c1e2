"""What may be told of a secret: that there is one, and how it ends where that gives nothing away."""

from __future__ import annotations

SHOWN, LONG = 4, 16  # characters


def told(secret: str | None) -> str:
    """`set, ends …4f2a`, `set` for a short one, `not set`."""
    if not secret:
        return "not set"
    return f"set, ends …{secret[-SHOWN:]}" if len(secret) >= LONG else "set"
