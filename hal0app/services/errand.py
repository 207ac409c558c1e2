"""What an act is done for: why, how long it may wait for others, and whether anybody still wants it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hal0app.core.operation import Cause


def wanted() -> None:
    """The check of an errand that nothing ends."""


def never() -> bool:
    """For an errand that waits for no queue."""
    return False


@dataclass(frozen=True)
class Errand:
    """`wait_s` bounds each wait for a victim's requests or a silent lemond; `check` raises when it is to end.

    `gives_way`: whether models with a queue of their own are served before they have to leave.
    """

    cause: Cause
    wait_s: float
    check: Callable[[], None] = wanted
    gives_way: Callable[[], bool] = never
