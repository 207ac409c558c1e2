"""How full the KV cache of a llama.cpp server is, asked of the server itself."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from hal0app.adapters import plain_http
from hal0app.core.vitals import KvUsage, kv_derived, kv_reported

TIMEOUT_S = 2.0
OK = 200


class LlamaGauges:
    """A server that reads a long prompt answers late; then it does not tell."""

    def kv_usage(self, base_url: str) -> KvUsage | None:
        """From its sequences, else from its gauge; None when neither tells. `base_url` may end in `/v1`."""
        parts = urlsplit(base_url)
        host, port = parts.hostname or "", parts.port or 80
        try:
            sequences = _get(host, port, "/slots")
            return kv_derived(json.loads(sequences or b"null")) or kv_reported(
                (_get(host, port, "/metrics") or b"").decode("utf-8", "replace")
            )
        except (OSError, ValueError, RecursionError):
            return None


def _get(host: str, port: int, path: str) -> bytes | None:
    status, body = plain_http.get(host, port, path, {}, TIMEOUT_S)
    return body if status == OK else None
