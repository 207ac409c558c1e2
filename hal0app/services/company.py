"""Who is being served, so that all can be told when hal0 is about to end."""

from __future__ import annotations

from typing import Protocol


class Guest(Protocol):
    """Somebody who is served."""

    def dismiss(self) -> None: ...


class Company:
    """All who are served now. `over`: they have been dismissed, and so is whoever comes later.

    For greenlets of one thread.
    """

    def __init__(self) -> None:
        self._guests: set[Guest] = set()
        self.over = False

    def add(self, guest: Guest) -> None:
        """It is served from now on."""
        self._guests.add(guest)

    def discard(self, guest: Guest) -> None:
        """It is served no more; twice is fine."""
        self._guests.discard(guest)

    def dismiss(self) -> None:
        """Tell everybody that this is the end. Waits for nobody."""
        self.over = True
        for guest in list(self._guests):
            guest.dismiss()
