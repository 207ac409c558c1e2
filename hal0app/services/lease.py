"""The right to send one request to a resident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hal0app.core.residency import Resident
from hal0app.errors import SlotError

if TYPE_CHECKING:
    from hal0app.services.leases import Leases


class Moved(SlotError):
    """What the request waited for was replaced meanwhile: ask again where it goes."""


class Lease:
    """`begun` is a tick; `queue_s` and `load_s` tell how long the request waited for a place and for a load."""

    __slots__ = ("_leases", "begun", "load_s", "over", "queue_s", "resident")

    def __init__(self, leases: Leases, resident: Resident, begun: float) -> None:
        self._leases, self.resident, self.begun = leases, resident, begun
        self.queue_s = self.load_s = 0.0
        self.over = False

    def release(self) -> None:
        """Give the place to the next who waits; once or often."""
        self._leases.end(self)

    def lose(self, returns: bool = False) -> None:
        """Give it back to nobody: what it was a place on may be gone.

        `returns`: a place is kept on the model until the request is sent again, or `Leases.unreserve`.
        """
        self._leases.end(self, hand_over=False, returns=returns)
