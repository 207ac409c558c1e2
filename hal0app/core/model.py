"""A model as Lemonade's catalogue lists it, and the options a slot loads it with."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import Device, ModelType, SlotType, type_of_labels

# lemonade-contract.md section 5: the backends that serve a device, best first; "system" is Debian's build.
BACKENDS: dict[Device | None, tuple[str, ...]] = {
    Device.GPU_ROCM: ("rocm", "system"),
    Device.GPU_VULKAN: ("vulkan", "system"),
    Device.CPU: ("cpu", "system"),
    Device.NPU: (),
    None: (),
}

# The load option that names the backend, by recipe, as `/v1/system-info` lists them; other recipes have no choice.
BACKEND_OPTION = {"llamacpp": "llamacpp_backend", "whispercpp": "whispercpp_backend", "sd-cpp": "sd-cpp_backend"}

LOCAL_SOURCES = frozenset({"extra_models_dir", "local_path"})


@dataclass(frozen=True)
class Model:
    """One entry of `/v1/models`. `size_gb` is the size on disk in GB as Lemonade rounds it."""

    id: str
    type: ModelType = SlotType.LLM
    recipe: str = "llamacpp"
    downloaded: bool = True
    labels: tuple[str, ...] = ()
    checkpoint: str = ""
    size_gb: float | None = None
    context: int | None = None
    source: str = ""
    suggested: bool = False  # Lemonade recommends it
    ctx_size: int | None = None  # what a load that states no context asks for: the preflight's choice

    @property
    def local(self) -> bool:
        """Whether it is a file that a person put there, which Lemonade refuses to delete (after unloading it)."""
        return self.source in LOCAL_SOURCES


def read_model(row: Mapping[str, Any]) -> Model:
    """The model in one row of `/v1/models` (lemonade-contract.md section 5)."""
    labels = tuple(row.get("labels") or ())
    return Model(
        id=row["id"],
        type=type_of_labels(labels),
        recipe=row.get("recipe") or "llamacpp",
        downloaded=bool(row.get("downloaded", True)),
        labels=labels,
        checkpoint=row.get("checkpoint") or "",
        size_gb=row.get("size"),
        context=row.get("max_context_window") or row.get("context_length"),
        source=row.get("source") or "",
        suggested=bool(row.get("suggested")),
    )


def load_request(model: Model, slot: SlotConfig | None, installed: Collection[str]) -> dict[str, Any]:
    """The body of `POST /v1/load`: only what is wanted, never a null, and a backend only from the installed ones.

    `--alias` makes llama.cpp put the model's id into every answer and chunk, so that nothing is rewritten on the way.
    """
    body: dict[str, Any] = {"model_name": model.id}
    ctx_size = slot.ctx_size if slot is not None and slot.ctx_size is not None else model.ctx_size
    if ctx_size is not None:
        body["ctx_size"] = ctx_size
    if slot is not None:
        body["pinned"] = slot.pinned
    if model.recipe == "llamacpp":
        parallel = slot.max_in_flight if slot else 1
        own = slot.llamacpp_args if slot else ""
        body["llamacpp_args"] = f"--parallel {parallel} --alias {shlex.quote(model.id)} {own}".strip()
    backend = next((one for one in BACKENDS[slot.device if slot else None] if one in installed), None)
    if backend and model.recipe in BACKEND_OPTION:
        body[BACKEND_OPTION[model.recipe]] = backend
    return body
