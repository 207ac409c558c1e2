"""This process: how it ends by its own wish."""

from __future__ import annotations

import os
import signal


def end() -> None:
    """As if told from outside: gunicorn's worker takes no more, ends what it does, and is followed by another."""
    os.kill(os.getpid(), signal.SIGTERM)
