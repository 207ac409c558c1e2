"""How an upstream can fail, seen from the one who asks."""

from __future__ import annotations

SILENCE_S = 900.0  # the longest gap between two bytes: a prefill of a long prompt sends nothing for minutes


class UpstreamError(Exception):
    """The upstream did not give a whole answer."""


class Unreached(UpstreamError):
    """Refused, reset or closed before the first byte of an answer: the backend is not there (any more)."""


class Unheard(UpstreamError):
    """No connection could be made, which does not prove that the backend has gone: it takes none for now, or there was
    none to be had at this end."""


class Broken(UpstreamError):
    """It ended or spoke nonsense in the middle of an answer."""


class Garbled(Broken):
    """What it said is not HTTP: whoever listens there is no backend as it should be, but it has not gone."""


class Silent(UpstreamError):
    """It took the request and then sent nothing for too long."""


class Aborted(UpstreamError):
    """We ended the call ourselves, because the client left."""
