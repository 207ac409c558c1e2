"""What the slot page shows, as values: one card per slot, and the line that sums them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hal0app.core.journal import Entry
from hal0app.core.reasons import CATALOGUE
from hal0app.core.slot import State
from hal0app.core.slot_config import SlotConfig
from hal0app.core.vitals import Vitals
from hal0app.services.observer import Snapshot
from hal0app.services.slot_view import SlotView
from hal0app.web.buttons import CANCEL, KEEP, PIN, SWAP, Button, further
from hal0app.web.history import Line, history
from hal0app.web.vocabulary import COUNTED, LAST, Counted, Face, Shape, Tail, Tone, duration, face, gib, note, tokens

TYPE_WORDS = {
    "llm": "chat",
    "embedding": "embeddings",
    "reranking": "reranking",
    "transcription": "speech to text",
    "tts": "text to speech",
    "image": "images",
}


@dataclass(frozen=True)
class Card:
    """One slot as its card shows it. Times are Unix seconds; equal cards look equal."""

    name: str
    word: str
    shape: Shape
    tone: Tone
    sentence: str
    buttons: tuple[Button, ...] = ()
    more: tuple[Button, ...] = ()
    blocked: bool = False  # what needs Lemonade cannot be done now, for it does not answer
    model: str | None = None
    type: str = ""
    device: str = ""
    ctx_size: int | None = None
    since: int | None = None
    last_used: int | None = None
    as_of: int | None = None  # set while the state is only the last one known
    queued: int = 0
    note: str = ""
    policy: str = ""
    memory: str = ""
    speed: str = ""
    uses: str = ""
    lead: str = ""  # the sentence as far as its tail, and what is behind that
    after: str = ""
    tail: Tail | None = None
    tail_at: int = 0  # Unix seconds
    counted: Counted = Counted.REST
    trouble: str = ""
    history: tuple[Line, ...] = ()

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"slot-{self.name}"


@dataclass(frozen=True)
class Summary:
    """The page in one line."""

    slots: int
    ready: int
    needs_you: tuple[str, ...] = ()  # each slot with what is wrong
    lemonade_down: bool = False

    @property
    def title(self) -> str:
        """The worst of it, for the browser's tab; empty when nothing is wrong."""
        if self.lemonade_down:
            return "! Lemonade is down"
        return f"! {len(self.needs_you)} failed" if self.needs_you else ""


def cards(
    views: Sequence[SlotView], snapshot: Snapshot, told: Mapping[str, Sequence[Entry]] | None = None
) -> tuple[Card, ...]:
    """The cards in the order in which they stand; `told`: the journal's entries about each slot, newest first."""
    answers = snapshot.seen.link.answers
    faced = [(face(view, answers), view) for view in views]
    faced.sort(key=lambda pair: (pair[0].line, pair[1].slot.name))
    return tuple(_card(shown, view, snapshot, (told or {}).get(view.slot.name, ())) for shown, view in faced)


def _card(shown: Face, view: SlotView, snapshot: Snapshot, told: Sequence[Entry]) -> Card:
    record, config, resident = view.record, view.config, view.resident
    stale = record.stale_since is not None and not shown.by_file
    buttons = _buttons(shown, view)
    looked = snapshot.residency.taken.wall
    as_of = (round(looked) or None) if stale else None
    failed = record.state is State.ERROR
    return Card(
        name=view.slot.name,
        word=shown.word,
        shape=shown.shape,
        tone=shown.tone,
        sentence=shown.sentence(view) + shown.after(view),
        lead=shown.sentence(view),
        after=shown.after(view),
        buttons=buttons,
        more=tuple(further(config, view.slot.name, buttons, resident is not None, failed)),
        blocked=not snapshot.seen.link.answers,
        model=config.model if config else None,
        type=TYPE_WORDS[config.type] if config else "",
        device=(config and config.device) or (resident and resident.device) or "",
        ctx_size=(resident and resident.ctx_size) or (config and config.ctx_size) or None,
        since=round(record.since) or None,
        last_used=round(view.last_used_at) if view.last_used_at and config and config.enabled else None,
        as_of=as_of,
        queued=view.queued,
        note=note(view),
        policy=_policy(config),
        memory=gib(view.vitals.memory_bytes) if view.vitals.memory_bytes else "",
        speed=_speed(view.vitals),
        uses=_uses(view.vitals),
        tail=shown.tail,
        tail_at=round(shown.tail.at(view, looked)) if shown.tail else 0,
        counted=COUNTED[shown.tone],
        trouble=shown.trouble,
        history=history(told),
    )


def _buttons(shown: Face, view: SlotView) -> tuple[Button, ...]:
    """The row's own, and a pin for a slot that was evicted and is not pinned."""
    evicted = shown.line == LAST and CATALOGUE[view.record.reason].lost
    pin = (PIN,) if evicted and view.config is not None and not view.config.pinned else ()
    own = tuple(replace(one, label=_keeps(view)) if one is KEEP else one for one in shown.buttons)
    if view.swaps_to and view.waits_for.model and CANCEL not in own:
        own = (replace(CANCEL, label="Cancel the swap"), *(one for one in own if one is not SWAP))
    return own + pin


def _keeps(view: SlotView) -> str:
    """What would be kept, where that is one short thing."""
    held = [one.held for one in view.differences if one.key == "ctx_size"]
    return f"Keep {tokens(held[0])}" if held and held[0] and len(view.differences) == 1 else KEEP.label


def _policy(config: SlotConfig | None) -> str:
    """What may make its model leave."""
    if config is None or not (config.enabled and config.model):
        return ""
    idle = f"unloaded after {_minutes(config.idle_unload_s)} idle" if config.idle_unload_s else ""
    held = "pinned: not evicted to make room" if config.pinned else "may be evicted to make room"
    return "; ".join(filter(None, (held, idle)))


def _speed(vitals: Vitals) -> str:
    """The last hour's, as far as it is known."""
    tokens = "" if vitals.tokens_per_s is None else f"{vitals.tokens_per_s:.0f} tokens/s"
    first = "" if vitals.ttft_p50 is None else f"first token after {duration(vitals.ttft_p50)}"
    return ", ".join(filter(None, (tokens, first)))


def _uses(vitals: Vitals) -> str:
    """How often it was asked in the last hour, where requests are recorded."""
    if vitals.uses is None:
        return ""
    return f"{vitals.uses} {'request' if vitals.uses == 1 else 'requests'} in the last hour"


def _minutes(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds >= 60 else f"{seconds} s"


def summary(shown: Sequence[Card], snapshot: Snapshot) -> Summary:
    """The line over the cards."""
    return Summary(
        slots=len(shown),
        ready=sum(card.counted is Counted.READY for card in shown),
        needs_you=tuple(f"{card.name} {card.trouble}" for card in shown if card.counted is Counted.NEEDS_YOU),
        lemonade_down=not snapshot.seen.link.answers,
    )
