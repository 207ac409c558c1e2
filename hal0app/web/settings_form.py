"""The settings as forms, one a section: what a person reads beside each key, and what comes back from the browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hal0app.services.settings import DEFAULT, Setting
from hal0app.web import setting_input
from hal0app.web.setting_input import Input, text

# Section -> its heading and what it is about. One without a row has its own name.
SECTIONS = {
    "server": ("Access", "Where hal0 listens, and under which names it answers."),
    "lemonade": ("Lemonade", "The daemon that holds the models."),
    "dispatch": ("Requests", "How long requests wait."),
    "slot_ports": ("Slot ports", "Addresses of the slots' own, for programs that cannot name a model."),
    "alias": ("Other names", "Names that clients may use for slots and models."),
    "observer": ("Observation", "How hal0 looks at Lemonade."),
    "crash_loop": ("Crash loops", "When a model that crashes again and again is left alone."),
    "watchdog": ("Watchdog", "When a Lemonade that hangs is restarted."),
    "retention": ("History", "How much is kept."),
    "auth": ("Changes from other machines", "This machine may always change things."),
}
# Key -> label and hint. A key without a row is shown by its name.
WORDS = {
    "server.host": ("Address", "0.0.0.0 listens on every network."),
    "server.port": ("Port", ""),
    "server.allowed_hosts": ("Names", "Host names besides addresses and local names, separated by commas."),
    "server.trusted_proxies": ("Trusted proxies", "Addresses or networks whose word counts on who asks, with commas."),
    "server.max_body_mb": ("Largest request, MiB", "Uploads that are only passed on are not bound by it."),
    "server.fast_lane": ("Fast lane", "Plain requests for inference go past the web framework."),
    "server.max_held_mb": ("All requests together, MiB", "Those that wait for their model hold theirs meanwhile."),
    "lemonade.url": ("Address of Lemonade", ""),
    "lemonade.want": ("Wanted configuration", "What hal0 compares with Lemonade's own; change it in the file."),
    "dispatch.wait_s": ("Longest wait, seconds", "Of a request for a model without a slot."),
    "dispatch.heartbeat_s": ("Sign of life, seconds", "To a client that waits for a stream."),
    "dispatch.stall_s": ("Slow readers, seconds", "A client that takes nothing for so long is cut off."),
    "dispatch.upload_idle_s": ("Slow uploads, seconds", "One that sends nothing for so long is refused."),
    "dispatch.allow_implicit_pull": ("Requests may download", "The model they name, in the middle of the request."),
    "slot_ports.host": ("Address", "0.0.0.0 opens them to every network."),
    "slot_ports.range": ("Ports", "Like 8081-8099, or off."),
    "alias": ("Names", "Change them in the file."),
    "observer.period_s": ("Period, seconds", "Between two looks."),
    "observer.timeout_s": ("Patience, seconds", "Without an answer for so long, states count as old."),
    "crash_loop.crashes": ("Crashes", "More than these, before a first answer."),
    "crash_loop.window_s": ("Within, seconds", ""),
    "watchdog.enabled": ("On", ""),
    "watchdog.live_failures": ("Failures in a row", "Of Lemonade's sign of life, that count as a hang."),
    "watchdog.backoff_s": ("Shortest time between restarts, seconds", "Doubled by each further one."),
    "watchdog.longest_backoff_s": ("Longest such time, seconds", ""),
    "retention.journal": ("Journal entries", ""),
    "retention.operations": ("Loads and unloads", ""),
    "retention.requests": ("Requests", ""),
    "auth.mode": ("Who may", "key: whoever has the admin key; open: everybody."),
}


# Key -> the values there are to choose from.
OPTIONS = {"auth.mode": ("key", "open")}
KEY_SOURCE = "from HAL0_LEMONADE_KEY, HAL0_LEMONADE_KEY_FILE or lemonade.key, cannot be changed here"


@dataclass(frozen=True)
class Part:
    """One section with its inputs."""

    name: str
    title: str
    about: str
    inputs: tuple[Input, ...]

    @property
    def open(self) -> bool:
        """Whether anything in it can be changed here."""
        return any(one.kind != "told" and not one.fixed for one in self.inputs)


def parts(settings: Sequence[Setting]) -> list[Part]:
    """Every section, in the order of the schema."""
    names = dict.fromkeys(one.key.partition(".")[0] for one in settings)
    return [_part(name, [one for one in settings if one.key.partition(".")[0] == name]) for name in names]


def with_key(shown: Sequence[Part], told: str) -> list[Part]:
    """The same, with what may be told of Lemonade's key, which no file of settings has."""
    key = Input("lemonade.key", "Key", "", "told", told, KEY_SOURCE, True)
    return [replace(one, inputs=(*one.inputs, key)) if one.name == "lemonade" else one for one in shown]


def who_may(settings: Sequence[Setting], key_exists: bool) -> str:
    """Who can change something, as it is now."""
    if next((one.running for one in settings if one.key == "auth.mode"), "") == "open":
        return (
            "Anyone on this network can change models. You can add a token: choose key below, with a key in admin.key."
        )
    if key_exists:
        return "Other machines need the admin key to change something."
    return "From other machines nothing can be changed: there is no admin key."


def _part(name: str, settings: Sequence[Setting]) -> Part:
    title, about = SECTIONS.get(name, (name, ""))
    return Part(name, title, about, tuple(map(_input, settings)))


def _input(one: Setting) -> Input:
    label, hint = WORDS.get(one.key, (one.key.partition(".")[2], ""))
    source = "default of hal0" if one.source == DEFAULT else f"set in {one.source}"
    source = f"from {one.source}, cannot be changed here" if one.fixed else source
    options = OPTIONS.get(one.key, ())
    kind = "pick" if options else setting_input.kind(one.default)
    return Input(
        one.key,
        label,
        hint,
        kind,
        text(one.value),
        source,
        one.fixed,
        text(one.running) if one.pending else "",
        by_service=one.by_service,
        options=options,
    )


def changed(part: Part, settings: Sequence[Setting], form: Mapping[str, str]) -> dict[str, Any]:
    """What a section's form changes, as the service takes it; what was emptied is taken out."""
    found = setting_input.changed(part.inputs, {one.key: one.value for one in settings}, form)
    named = {key.partition(".")[2]: None if value == "" else value for key, value in found.items()}
    return {part.name: named} if named else {}
