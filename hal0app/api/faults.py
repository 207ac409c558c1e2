"""What nobody foresaw."""

from __future__ import annotations

import logging

from hal0app import errors
from hal0app.errors import Hal0Error

log = logging.getLogger(__name__)


def unexpected(method: str, path: str, problem: BaseException) -> Hal0Error:
    """What a client is told of a fault of ours, which is logged."""
    log.error("%s %s failed unexpectedly", method, path, exc_info=problem)
    return errors.error("system.internal", "an unexpected fault in hal0; its log has the trace")
