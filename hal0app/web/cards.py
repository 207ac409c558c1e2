"""What the slot page shows, as values: one card per slot, and the line that sums them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hal0app.services.observer import Snapshot
from hal0app.services.slots import SlotView
from hal0app.web.vocabulary import Button, Face, Shape, Tone, face

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
    button: Button | None = None
    blocked: bool = False  # nothing can be done now: Lemonade does not answer
    model: str | None = None
    type: str = ""
    device: str = ""
    ctx_size: int | None = None
    since: int | None = None
    last_used: int | None = None
    as_of: int | None = None  # set while the state is only the last one known
    queued: int = 0

    @property
    def id(self) -> str:
        """The id of its element."""
        return f"slot-{self.name}"


@dataclass(frozen=True)
class Summary:
    """The page in one line."""

    slots: int
    ready: int
    needs_you: tuple[str, ...] = ()
    lemonade_down: bool = False

    @property
    def title(self) -> str:
        """The worst of it, for the browser's tab; empty when nothing is wrong."""
        if self.lemonade_down:
            return "! Lemonade is down"
        return f"! {len(self.needs_you)} failed" if self.needs_you else ""


def cards(views: Sequence[SlotView], snapshot: Snapshot) -> tuple[Card, ...]:
    """The cards in the order in which they stand."""
    down = not snapshot.seen.link.answers
    faced = [(face(view.state, view.record.reason, down), view) for view in views]
    faced.sort(key=lambda pair: (pair[0].line, pair[1].slot.name))
    return tuple(_card(shown, view, snapshot) for shown, view in faced)


def _card(shown: Face, view: SlotView, snapshot: Snapshot) -> Card:
    record, config, resident = view.record, view.config, view.resident
    stale = record.stale_since is not None and not shown.by_file
    return Card(
        name=view.slot.name,
        word=shown.word,
        shape=shown.shape,
        tone=shown.tone,
        sentence=shown.sentence(view),
        button=shown.button,
        blocked=not snapshot.seen.link.answers,
        model=config.model if config else None,
        type=TYPE_WORDS[config.type] if config else "",
        device=(config and config.device) or (resident and resident.device) or "",
        ctx_size=(resident and resident.ctx_size) or (config and config.ctx_size) or None,
        since=round(record.since) or None,
        last_used=round(view.last_used_at) if view.last_used_at else None,
        as_of=(round(snapshot.residency.taken.wall) or None) if stale else None,
        queued=view.queued,
    )


def summary(shown: Sequence[Card], snapshot: Snapshot) -> Summary:
    """The line over the cards."""
    return Summary(
        slots=len(shown),
        ready=sum(card.tone is Tone.GOOD for card in shown),
        needs_you=tuple(card.name for card in shown if card.tone is Tone.BAD),
        lemonade_down=not snapshot.seen.link.answers,
    )
