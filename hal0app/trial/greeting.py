"""What a trial run says once it is ready."""

from __future__ import annotations

from hal0app.trial.home import Home
from hal0app.trial.seed import Seeded

READY = """
hal0 is ready at {address}

{slots}

{example}

Settings and slots are in {home}/etc, logs in {home}/var/log. Ctrl-C stops everything.
"""
EXAMPLE = """\
Try it:
  curl -N {address}/v1/chat/completions -H 'Content-Type: application/json' -d \
'{{"model":"{slot}","stream":true,"max_tokens":60,"messages":[{{"role":"user","content":"Tell me about lemons."}}]}}'"""
NO_CHAT = "No slot can chat yet: Lemonade has no chat model. Pull one, then define a slot for it."
NO_SLOTS = "  There is no slot yet."


def greeting(address: str, slots: list[Seeded], home: Home) -> str:
    """The address, the slots, and a request that works when pasted into a shell."""
    return READY.format(address=address, slots=_table(slots), example=_example(address, slots), home=home.root)


def _table(slots: list[Seeded]) -> str:
    rows = [("slot", "type", "model"), *((slot.name, slot.type, slot.model or "(none)") for slot in slots)]
    return "\n".join(f"  {name:<12}  {kind:<13}  {model}" for name, kind, model in rows) if slots else NO_SLOTS


def _example(address: str, slots: list[Seeded]) -> str:
    chat = [slot.name for slot in slots if slot.type == "llm" and slot.model]
    if not chat:
        return NO_CHAT
    return EXAMPLE.format(address=address, slot="primary" if "primary" in chat else chat[0])
