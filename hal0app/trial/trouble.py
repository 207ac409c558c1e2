"""The one error of a trial run: something the person at the terminal has to do."""

from __future__ import annotations


class CannotRun(Exception):
    """The trial cannot start or go on; the text says why and what to do."""
