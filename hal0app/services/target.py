"""The address that serves a leased request: the backend's own, or lemond's."""

from __future__ import annotations

from typing import NamedTuple

from hal0app.core import npu, npu_route
from hal0app.core.endpoints import Endpoint
from hal0app.core.residency import Resident
from hal0app.services.control import Want


class Target(NamedTuple):
    """`base` and `path` make the URL, `model` is what it is called there; `direct`: lemond is not on the way."""

    base: str
    path: str
    model: str
    direct: bool


def target(want: Want, resident: Resident, endpoint: Endpoint, lemonade_url: str) -> Target:
    """Where the request goes. Raises `npu.trio_unavailable` when the NPU's process does not serve the shadow."""
    if want.shadow is not None:
        if resident.recipe != npu.FLM or not resident.backend_url:
            raise npu_route.unavailable(want.shadow)
        base = npu_route.base_url(resident.backend_url)
        return Target(base, f"/v1/{endpoint.path}", want.shadow.model or want.model, True)
    direct = endpoint.direct and resident.recipe == "llamacpp" and bool(resident.backend_url)
    if want.slot is None or want.slot.path == "lemond" or not direct:
        return Target(lemonade_url, f"/v1/{endpoint.path}", want.model, False)
    return Target(resident.backend_url, f"/{endpoint.path}", want.model, True)
