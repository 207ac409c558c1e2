"""How states look: every state and reason has its row, and the row offers only what hal0 would accept."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from hal0app.core import loaded, reasons
from hal0app.core.clock import Moment
from hal0app.core.loaded import Difference
from hal0app.core.reasons import Reason
from hal0app.core.residency import Link, Observation, Resident
from hal0app.core.slot import Broken, Record, State, guard
from hal0app.core.slot_config import SlotConfig
from hal0app.core.slot_type import SlotType
from hal0app.services.observer import Snapshot
from hal0app.services.slot_view import KeptOut, SlotView
from hal0app.services.turn import Call
from hal0app.web.bench import benches
from hal0app.web.cards import TYPE_WORDS, Card, cards, summary
from hal0app.web.vocabulary import BY_REASON, BY_STATE, CASES, FIRST, OPTION_WORDS, Shape, Tone, duration, face

REASONED = (State.OFFLINE, State.ERROR)
UP = Snapshot(seen=Observation(Moment(5, 1005), Link.UP), residency=Observation(Moment(5, 1005), Link.UP))
DOWN = Snapshot(seen=Observation(Moment(9, 1009), Link.DOWN), residency=Observation(Moment(5, 1005), Link.UP))
BUSY = Snapshot(seen=Observation(Moment(9, 1009), Link.BUSY), residency=Observation(Moment(5, 1005), Link.UP))


def view(
    state: State = State.READY,
    reason: Reason = Reason.NONE,
    name: str = "chat",
    stale: float | None = None,
    **more: Any,
) -> SlotView:
    facts = {"model": "other", "cause": "no memory", "n": 15, "who": "you", "count": 4, "minutes": 10, "log": "exit 1"}
    record = Record(name, state, reason, reasons.message(reason, **facts), since=1000.0, stale_since=stale, version=1)
    return SlotView(SlotConfig(name=name, type=SlotType.LLM, model="tiny"), record, state, **more)


def card(snapshot: Snapshot = UP, **more: object) -> Card:
    return cards([view(**more)], snapshot)[0]  # type: ignore[arg-type]


def test_every_state_and_every_reason_has_a_face() -> None:
    assert set(BY_STATE) == set(State) - set(REASONED)
    assert set(BY_REASON) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("down", [True, False])
def test_every_combination_is_classified(state: State, reason: Reason, down: bool) -> None:
    shown = face(view(state, reason), answers=not down)
    assert shown.word
    assert shown.shape in Shape


@pytest.mark.parametrize("reason", Reason)
def test_a_load_is_offered_only_where_it_would_be_accepted(reason: Reason) -> None:
    offered = "load" in {button.act for button in BY_REASON[reason].buttons}
    assert offered == (guard("load", Record("chat", State.OFFLINE, reason)) is None)


@pytest.mark.parametrize("reason", [reason for reason, row in reasons.CATALOGUE.items() if row.lost])
def test_a_loss_without_asking_is_calm_and_can_be_undone(reason: Reason) -> None:
    shown = face(view(State.OFFLINE, reason))
    assert (shown.tone, shown.buttons[0].act) == (Tone.CALM, "load")


def test_red_is_kept_for_what_a_person_must_act_on() -> None:
    red = {reason for reason, shown in BY_REASON.items() if shown.tone is Tone.BAD}
    assert red == {Reason.REFUSED, Reason.LOAD_FAILED, Reason.CRASH_LOOP, Reason.INVALID_CONFIG}
    assert all(shown.tone is not Tone.BAD for shown in BY_STATE.values())


def test_words_that_differ_in_colour_differ_in_shape_too() -> None:
    faces = [*BY_STATE.values(), *BY_REASON.values(), *(case.face for case in CASES)]
    assert all(one.tone is other.tone for one, other in itertools.product(faces, faces) if one.shape is other.shape)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_the_sentence_of_an_offline_slot_is_the_records_own(reason: Reason) -> None:
    assert card(state=State.OFFLINE, reason=reason).sentence == reasons.message(
        reason, model="other", cause="no memory", n=15, who="you", count=4, minutes=10, log="exit 1"
    )


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (card(in_flight=1, state=State.SERVING), "answering 1 request"),
        (card(in_flight=3, state=State.SERVING), "answering 3 requests"),
        (card(in_flight=2, state=State.UNLOADING), "; letting 2 requests finish"),
        (card(last_load_ms=14_000, state=State.STARTING), "; last time it took 14 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.word,
)
def test_the_sentence_of_what_goes_on_has_its_numbers(shown: Card, sentence: str) -> None:
    assert shown.sentence == sentence


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [(0, "0.0 s"), (420, "0.4 s"), (14_000, "14 s"), (59_600, "1:00 min"), (65_000, "1:05 min")],
)
def test_durations_are_in_words(milliseconds: int, words: str) -> None:
    assert duration(milliseconds) == words


@pytest.mark.parametrize("state", [State.READY, State.IDLE])
def test_ready_is_not_claimed_while_nothing_answers(state: State) -> None:
    shown = card(DOWN, state=state, stale=1008.0)
    assert (shown.word, shown.tone, shown.blocked, shown.as_of) == ("Unknown", Tone.CALM, True, 1005)


@pytest.mark.parametrize(
    ("state", "operation", "word", "sentence"),
    [
        (State.STARTING, None, "Unknown", "was loading"),
        (State.UNLOADING, None, "Unknown", "was unloading"),
        (State.STARTING, "op-1", "Loading", ""),
    ],
)
def test_nothing_is_said_to_go_on_that_is_over_while_nothing_answers(
    state: State, operation: str | None, word: str, sentence: str
) -> None:
    shown = cards([replace(view(state, stale=1008.0), operation=operation)], DOWN)[0]
    assert (shown.word, shown.sentence) == (word, sentence)


def test_a_busy_lemonade_leaves_the_last_known_state_with_its_time() -> None:
    shown = card(BUSY, stale=1008.0)
    assert (shown.word, shown.blocked, shown.as_of) == ("Ready", False, 1005)


@pytest.mark.parametrize("reason", [Reason.DISABLED, Reason.NO_MODEL, Reason.INVALID_CONFIG])
def test_what_the_slots_own_file_says_does_not_grow_old(reason: Reason) -> None:
    assert card(DOWN, state=State.OFFLINE, reason=reason, stale=1008.0).as_of is None


def test_a_slot_whose_file_is_broken_has_a_card_too() -> None:
    record = Record("odd", State.ERROR, Reason.INVALID_CONFIG, "the definition is not valid: x")
    shown = cards([SlotView(Broken("odd", "x"), record, State.ERROR)], UP)[0]
    assert (shown.word, shown.sentence) == ("Invalid", "the definition is not valid: x")
    assert [button.act for button in (*shown.buttons, *shown.more)] == ["edit", "delete"]


def test_what_needs_a_person_comes_first_then_what_works_then_the_rest() -> None:
    views = [
        view(State.OFFLINE, Reason.EVICTED, "a"),
        view(State.READY, name="c"),
        view(State.STARTING, name="b"),
        view(State.ERROR, Reason.LOAD_FAILED, "d"),
    ]
    assert [one.name for one in cards(views, UP)] == ["d", "b", "c", "a"]


def test_the_summary_counts_and_its_title_tells_the_worst() -> None:
    views = [view(name="a"), view(State.ERROR, Reason.LOAD_FAILED, "b"), view(State.OFFLINE, Reason.EVICTED, "c")]
    told = summary(cards(views, UP), UP)
    assert (told.slots, told.ready, told.needs_you, told.title) == (3, 1, ("b failed to load",), "! 1 failed")
    assert summary(cards(views, DOWN), DOWN).title == "! Lemonade is down"
    assert summary(cards(views[:1], UP), UP).title == ""


def test_what_is_loaded_with_another_context_is_drift_and_can_be_mended_both_ways() -> None:
    config = SlotConfig(name="chat", type=SlotType.LLM, model="tiny", ctx_size=8192)
    held = loaded.differences(config, Resident("tiny", ctx_size=4096), [])
    one = SlotView(config, Record("chat", State.READY), State.READY, differences=held)
    shown = cards([one], UP)[0]
    assert (shown.word, [button.act for button in shown.buttons]) == ("Drift", ["restart", "keep"])
    assert shown.sentence.replace("\u202f", " ") == (
        "Lemonade runs it with a context of 4 096 tokens; this slot asks for a context of 8 192 tokens"
    )
    assert shown.buttons[1].label.replace("\u202f", " ") == "Keep 4 096 tokens"


def test_every_load_option_that_can_differ_has_words() -> None:
    assert set(OPTION_WORDS) == {"ctx_size", "llamacpp_args", "max_in_flight", "device"}
    assert all(words(value) for words in OPTION_WORDS.values() for value in (None, 2))


THRICE = KeptOut(3, "x", 2000.0)
# One row a state of the specification: the slot, whether Lemonade answers, and what its card must be.
STATES: dict[str, tuple[SlotView, bool, Tone, set[str]]] = {
    "Ready": (view(), True, Tone.GOOD, {"unload", "swap"}),
    "Serving": (view(State.SERVING, in_flight=2), True, Tone.GOOD, {"unload", "swap"}),
    "Loading": (view(State.STARTING), True, Tone.BUSY, {"load"}),
    "Waiting": (view(State.OFFLINE, waits_for=Call("loading", "big")), True, Tone.BUSY, {"cancel"}),
    "Unloading": (view(State.UNLOADING), True, Tone.BUSY, {"unload"}),
    "Downloading": (view(State.PULLING), True, Tone.BUSY, set()),
    "Evicted": (view(State.OFFLINE, Reason.DISPLACED), True, Tone.CALM, {"load", "pin"}),
    "Crashed": (view(State.OFFLINE, Reason.CRASHED), True, Tone.CALM, {"load", "pin"}),
    "Unloaded": (view(State.OFFLINE, Reason.IDLE), True, Tone.CALM, {"load"}),
    "Not loaded": (view(State.OFFLINE, Reason.NEVER_LOADED), True, Tone.CALM, {"load"}),
    "Off": (view(State.OFFLINE, Reason.DISABLED), True, Tone.CALM, {"on"}),
    "Empty": (view(State.OFFLINE, Reason.NO_MODEL), True, Tone.CALM, {"edit"}),
    "Not downloaded": (view(State.OFFLINE, Reason.NOT_DOWNLOADED), True, Tone.CALM, {"load", "pull"}),
    "Drift": (view(differences=(Difference("ctx_size", 1, 2),)), True, Tone.BUSY, {"restart", "keep"}),
    "Paused": (view(State.OFFLINE, Reason.EVICTED, kept_out=THRICE), True, Tone.WARN, {"load", "details"}),
    "Failed": (view(State.ERROR, Reason.LOAD_FAILED), True, Tone.BAD, {"load", "details"}),
    "Invalid": (view(State.ERROR, Reason.INVALID_CONFIG), True, Tone.BAD, {"edit"}),
    "Unknown": (view(stale=1008.0), False, Tone.CALM, {"unload"}),
}  # fmt: skip


@pytest.mark.parametrize("word", STATES)
def test_word_mark_colour_buttons_and_counts_agree(word: str) -> None:
    one, answers, tone, acts = STATES[word]
    shown = cards([one], UP if answers else DOWN)[0]
    assert (shown.word, shown.tone) == (word, tone)
    assert {button.act for button in shown.buttons} == acts
    line = summary([shown], UP if answers else DOWN)
    assert line.ready == (tone is Tone.GOOD)
    assert line.needs_you == ((f"chat {face(one, answers).trouble}",) if tone is Tone.BAD else ())
    assert bool(face(one, answers).trouble) == (tone is Tone.BAD)
    assert (face(one, answers).line == FIRST) == (tone is Tone.BAD)
    assert (shown.shape in {Shape.DISC, Shape.TARGET}) == (tone is Tone.GOOD)
    assert (shown.shape is Shape.SPINNER) == (tone is Tone.BUSY and word != "Drift")


def test_a_slot_that_is_off_waits_for_no_load_of_the_model_that_it_shares() -> None:
    off = SlotConfig(name="off", type=SlotType.LLM, model="tiny", enabled=False)
    record = Record("off", State.OFFLINE, Reason.DISABLED)
    assert face(SlotView(off, record, State.OFFLINE, waits_for=Call("loading", "big"))).word == "Off"


def test_the_table_above_has_every_word_there_is() -> None:
    faces = [*BY_STATE.values(), *BY_REASON.values(), *(case.face for case in CASES)]
    assert {one.word for one in faces} == set(STATES)


@pytest.mark.parametrize("reason", Reason)
def test_a_pause_hides_no_reason_for_which_a_slot_would_not_be_tried(reason: Reason) -> None:
    one = view(State.OFFLINE, reason, kept_out=THRICE)
    untried = guard("serve", Record("chat", State.OFFLINE, reason)) is not None or reason is Reason.NOT_DOWNLOADED
    assert (face(one).word == "Paused") != untried


def test_what_goes_on_or_is_to_come_has_its_time() -> None:
    paused, loading = STATES["Paused"][0], STATES["Loading"][0]
    for one, answers, words, at in (
        (paused, True, ". Next try in", 2000),
        (loading, True, " for", 1000),
        (STATES["Unknown"][0], False, ". No word from Lemonade since", 1005),
    ):
        shown = cards([one], UP if answers else DOWN)[0]
        assert shown.tail is not None
        assert (shown.tail.words, shown.tail_at) == (words, at)
    assert cards([paused], UP)[0].sentence == "3 loads failed"
    assert cards([STATES["Waiting"][0]], UP)[0].sentence == "waiting for Lemonade to finish loading big"


def test_a_slot_that_is_being_swapped_says_to_what_and_still_shows_that_it_serves() -> None:
    waits = Call("loading", "big")
    away = cards([view(State.OFFLINE, Reason.NEVER_LOADED, swaps_to="new", waits_for=waits)], UP)[0]
    assert (away.word, away.sentence) == (
        "Waiting", "waiting for Lemonade to finish loading big; then new comes into this slot",
    )  # fmt: skip
    there = cards([view(swaps_to="new", waits_for=waits)], UP)[0]
    assert (there.word, there.note) == ("Ready", "new is to take its place, when Lemonade has finished loading big.")
    assert [(one.act, one.label) for one in there.buttons] == [("cancel", "Cancel the swap"), ("unload", "Unload")]
    begun = cards([view(State.SERVING, in_flight=1, swaps_to="new")], UP)[0]
    assert (begun.word, begun.note) == ("Serving", "new is to take its place; running answers finish first.")
    gone = cards([view(State.OFFLINE, Reason.SWAPPED, swaps_to="new")], UP)[0]
    assert (gone.word, gone.sentence, gone.note) == ("Loading", "swapping to new", "")


def test_an_evicted_slot_can_be_pinned_at_once_unless_it_is() -> None:
    def acts(pinned: bool) -> list[str]:
        config = SlotConfig(name="chat", type=SlotType.LLM, model="tiny", pinned=pinned)
        shown = cards([SlotView(config, Record("chat", reason=Reason.EVICTED), State.OFFLINE)], UP)[0]
        return [button.act for button in shown.buttons]

    assert acts(pinned=False) == ["load", "pin"]
    assert acts(pinned=True) == ["load"]


def test_no_button_stands_twice_on_a_card_and_hal0s_own_slots_are_not_deleted() -> None:
    for reason in Reason:
        for name in ("chat", "primary"):
            shown = cards([view(State.ERROR if reason.value.endswith("failed") else State.OFFLINE, reason, name)], UP)[
                0
            ]
            acts = [button.act for button in (*shown.buttons, *shown.more)]
            assert len(acts) == len(set(acts))
            assert ("delete" in acts) == (name == "chat")


def test_every_type_of_slot_has_a_word() -> None:
    assert set(TYPE_WORDS) == set(SlotType)


def test_the_first_slot_of_the_test_bench_is_the_one_that_answers_soonest() -> None:
    def one(name: str, state: State, reason: Reason = Reason.NONE) -> SlotView:
        config = SlotConfig(name=name, type=SlotType.LLM, model="tiny", default=name == "usual")
        return SlotView(config, Record(name, state, reason), state)

    views = [
        one("bad", State.ERROR, Reason.LOAD_FAILED), one("cold", State.OFFLINE, Reason.EVICTED),
        one("usual", State.OFFLINE, Reason.EVICTED),
        one("warm", State.READY), one("off", State.OFFLINE, Reason.DISABLED),
    ]  # fmt: skip
    assert [bench.card.name for bench in benches(views, UP)] == ["warm", "usual", "cold", "bad"]
