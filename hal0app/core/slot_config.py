"""The definition of a slot: what a person wants, as written in `etc/slots/<name>.toml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from hal0app.core import arguments, schema
from hal0app.core.slot_type import Device, SlotType

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
NAME_RULE = "use lower-case letters, digits, '-' and '_', at most 32, starting with a letter or digit"

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
AtLeastOne = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
ModelId = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class SlotConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One named serving position. An invalid one cannot be made: `read_slot` raises SchemaError.

    `ctx_size` is in tokens (absent: the model's own), `wait_s` and `idle_unload_s` in seconds, `max_in_flight` and
    `queue` in requests.
    """

    name: str
    type: SlotType
    device: Device | None = None
    model: ModelId | None = None
    enabled: bool = True
    default: bool = False
    ctx_size: AtLeastOne | None = None
    llamacpp_args: str = ""
    pinned: bool = False
    priority: int = 50
    on_evict: Literal["lazy", "restore"] = "lazy"
    idle_unload_s: Count = 0
    max_in_flight: AtLeastOne = 1
    queue: Count = 64
    wait_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 120.0
    path: Literal["direct", "lemond"] = "direct"
    port: Port = 0
    labels: tuple[str, ...] = ()
    system_prompt: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"'{self.name[:64]}' is not a slot name: {NAME_RULE}")
        if reserved := arguments.reserved(self.llamacpp_args):
            raise ValueError(f"llamacpp_args: {', '.join(reserved)} is set by hal0 or Lemonade; take it out")

    @property
    def load_options(self) -> tuple[object, ...]:
        """What a load depends on besides the model: two slots may share a model only when these are equal."""
        return (self.ctx_size, self.llamacpp_args, self.max_in_flight, self.device)


def read_slot(name: str, definition: Mapping[str, Any]) -> SlotConfig:
    """The slot `name` from its TOML or JSON mapping; SchemaError names the key and the fix.

    `model` is a string, or `{"default": ...}` as the first hal0 had it.
    """
    fields = dict(definition)
    stated = fields.pop("name", name)
    if stated != name:
        raise schema.SchemaError(f"'name' says '{stated}', but the slot is '{name}'", "name")
    model = fields.get("model")
    if isinstance(model, Mapping) and set(model) == {"default"}:
        fields["model"] = model["default"]
    if fields.get("model", "") is None:
        del fields["model"]
    return schema.read(SlotConfig, {"name": name, **fields})
