"""`/api`: operations, residency and drift as JSON, and whether this process works."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from hal0app import errors
from hal0app.api.context import hal0
from hal0app.core import npu, standing

bp = Blueprint("state", __name__)


@bp.get("/api/operations/<id_>")
def operation(id_: str) -> Response:
    """One operation: what, why, how far, how it ended."""
    found = standing.joined(hal0().control.standing(id_), hal0().store.operation(id_))
    if found is None:
        raise errors.error("request.not_found", f"there is no operation '{id_[:64]}'")
    return jsonify(found.as_json())


@bp.get("/api/residency")
def residency() -> Response:
    """What lemond holds, as last seen, and how old and how good that knowledge is."""
    snapshot = hal0().observer.snapshot
    known = snapshot.residency
    return jsonify(
        link=snapshot.seen.link,
        taken_at=known.taken.wall or None,
        stale=not snapshot.seen.fresh,
        version=known.version,
        engine=known.engine,
        capacity=dict(known.capacity),
        residents=[
            {
                "model": one.model,
                "type": one.type,
                "backend_url": one.backend_url,
                "pid": one.pid,
                "pinned": one.pinned,
                "busy": one.busy,
                "recipe": one.recipe,
                "device": one.device,
                "ctx_size": one.ctx_size,
            }
            for one in known.residents
        ],
    )


@bp.get("/api/npu/swap-status")
def swap_status() -> Response:
    """Whether the NPU is on its way from one chat model to another."""
    snapshot = hal0().observer.snapshot
    return jsonify(npu.swap_status(snapshot.configs, snapshot.seen))


@bp.get("/api/system")
def system() -> Response:
    """The machine: CPU, GPUs, NPU, memory."""
    return jsonify(hal0().machine.as_json())


@bp.get("/api/drift")
def drift() -> Response:
    """What the drift checker found and is not mended yet."""
    return jsonify(hal0().store.findings())


@bp.get("/healthz")
def healthz() -> Response:
    """This process answers."""
    return jsonify(status="ok")


@bp.get("/readyz")
def readyz() -> Response:
    """Whether all is in order to serve requests: 503 with the reason while lemond or the slot files are away."""
    snapshot = hal0().observer.snapshot
    if snapshot.problem is not None:
        raise errors.error("system.slots_unreadable", snapshot.problem)
    if not snapshot.seen.link.answers:
        raise errors.error("lemonade.unavailable", "Lemonade does not answer", retry_after=5)
    if snapshot.seen.locked_out:
        raise errors.error("lemonade.unavailable", "Lemonade refuses hal0's key; set HAL0_LEMONADE_KEY_FILE to its own")
    return jsonify(status="ready", lemonade=snapshot.residency.version, engine=snapshot.residency.engine)
