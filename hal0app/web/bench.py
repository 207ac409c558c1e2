"""The slots that can chat, as the test bench shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hal0app.core.slot_type import SlotType
from hal0app.services.observer import Snapshot
from hal0app.services.slot_view import SlotView
from hal0app.web.cards import Card, cards
from hal0app.web.vocabulary import Tone, duration

UNFIT = frozenset({"Off", "Empty"})
SOONEST = (Tone.GOOD, Tone.BUSY, Tone.CALM, Tone.WARN, Tone.BAD)


@dataclass(frozen=True)
class Bench:
    """One slot, without its history. `last_load`: how long its last load took, in words."""

    card: Card
    last_load: str = ""


def benches(views: Sequence[SlotView], snapshot: Snapshot) -> tuple[Bench, ...]:
    """Those that take a message, what answers soonest first, then the usual one: a browser chooses the first."""
    chats = [view for view in views if view.config is not None and view.config.type is SlotType.LLM]
    took = {view.slot.name: view.last_load_ms for view in chats}
    shown = [card for card in cards(chats, snapshot) if card.word not in UNFIT]
    usual = {view.slot.name for view in chats if view.config is not None and view.config.default}
    shown.sort(key=lambda card: (SOONEST.index(card.tone), card.name not in usual))
    return tuple(Bench(card, duration(ms) if (ms := took[card.name]) is not None else "") for card in shown)
