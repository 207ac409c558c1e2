"""lemond's paths: most of them are behind any of four prefixes."""

from __future__ import annotations

PREFIXES = ("/v1/", "/v0/", "/api/v1/", "/api/v0/")


def route(path: str) -> str:
    """The path behind any of the four prefixes, else empty."""
    prefix = next((prefix for prefix in PREFIXES if path.startswith(prefix)), None)
    return path.removeprefix(prefix) if prefix else ""
