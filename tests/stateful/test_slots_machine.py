"""A random walk over slots, requests and faults, by Hypothesis: what hal0 promises holds after every step.

CI walks the same few ways every time; `make stateful` (HAL0_STATEFUL=deep) walks many, each time others.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.stateful.world import CHAT_MODELS, SLOTS, World, world

DEEP = os.environ.get("HAL0_STATEFUL") == "deep"
PROFILE = settings(
    max_examples=40 if DEEP else 4,
    stateful_step_count=40 if DEEP else 15,
    derandomize=not DEEP,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # a walk takes seconds: a failure is shown as it was found
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)

slots = st.sampled_from(list(SLOTS))
chat_slots = st.sampled_from(["first", "second", "third"])
chat_models = st.sampled_from(CHAT_MODELS)
held_models = st.sampled_from([*CHAT_MODELS, "embed-a", "rerank-a"])
changes = st.one_of(
    st.fixed_dictionaries({"enabled": st.booleans()}),
    st.fixed_dictionaries({"pinned": st.booleans()}),
    st.fixed_dictionaries({"priority": st.integers(0, 99)}),
    st.fixed_dictionaries({"on_evict": st.sampled_from(["lazy", "restore"])}),
)


class SlotsMachine(RuleBasedStateMachine):
    """The walk. A rule is one thing that a client, an operator, somebody else or bad luck may do."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.world: World = self._stack.enter_context(world())

    @initialize(loaded=st.lists(slots, max_size=4, unique=True))
    def start(self, loaded: list[str]) -> None:
        for slot in loaded:
            self.world.served(slot)

    # -- clients

    @rule(slot=slots)
    def ask(self, slot: str) -> None:
        self.world.served(slot)

    @rule(asked=st.lists(slots, min_size=2, max_size=8))
    def ask_many_at_once(self, asked: list[str]) -> None:
        self.world.served(*asked)

    # -- operators

    @rule(slot=slots, change=changes)
    def edit(self, slot: str, change: dict[str, Any]) -> None:
        self.world.edit(slot, change)

    @rule(slot=chat_slots, model=chat_models)
    def give_another_model(self, slot: str, model: str) -> None:
        self.world.edit(slot, {"model": model})

    @rule(slot=slots, act=st.sampled_from(["load", "unload"]))
    def act(self, slot: str, act: str) -> None:
        answer = self.world.app.post(f"/api/slots/{slot}/{act}?wait=true")
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] in self.world.refusals(slot), answer.text

    @rule()
    def drift(self) -> None:
        assert self.world.app.drift().returncode in {0, 3}

    # -- somebody else, at lemond's own port

    @rule(model=held_models, pinned=st.sampled_from([None, False]))
    def load_behind_its_back(self, model: str, pinned: bool | None) -> None:
        self.world.loaded_by_somebody(model, pinned=pinned)

    @rule()
    def unload_everything_behind_its_back(self) -> None:
        requests.post(f"{self.world.engine.url}/v1/unload", json={}, timeout=60).raise_for_status()

    # -- bad luck

    @rule(model=held_models, act=st.sampled_from(["evict", "kill"]), slot=slots)
    def lose(self, model: str, act: str, slot: str) -> None:
        """The model leaves while a request for some slot is under way; that one is answered all the same."""
        world = self.world
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(world.ask, slot)
            if model in world.engine.residents():
                world.blamed |= {model} if act == "kill" else set()
                world.engine.chaos(act, model)
            answer = asked.result()
        if answer.status_code != 200 or world.wanted[slot]["model"] != model:
            world.fitting(slot, answer)

    @rule(trigger=chat_models)
    def wipe(self, trigger: str) -> None:
        self.world.wipe(trigger)

    @rule(slot=slots)
    def fail_its_load(self, slot: str) -> None:
        """The slot's own model does not load; once a person says that the cause is mended, it does."""
        self.world.fail_load(slot)
        self.world.served(slot)

    @rule(asked=st.lists(slots, min_size=1, max_size=4))
    def hang(self, asked: list[str]) -> None:
        """lemond's health is silent for a while; who asks meanwhile is answered when it speaks again, at the latest."""
        world = self.world
        with ThreadPoolExecutor(len(asked)) as pool:
            with world.engine.fault("hang"):
                under_way = [pool.submit(world.ask, slot) for slot in asked]
                assert world.app.drift().returncode in {0, 1, 3}
            for slot, one in zip(asked, under_way, strict=True):
                world.fitting(slot, one.result())

    @rule(slot=slots, seconds=st.sampled_from([0.5, 2.0]))
    def load_slowly(self, slot: str, seconds: float) -> None:
        with self.world.engine.fault("slow", seconds=seconds):
            self.world.served(slot, slot)

    @rule(asked=st.lists(slots, max_size=4))
    def restart_lemond(self, asked: list[str]) -> None:
        """lemond dies and is started again while requests are under way."""
        world = self.world
        with ThreadPoolExecutor(4) as pool:
            under_way = [pool.submit(world.ask, slot) for slot in asked]
            world.restart()
            for slot, one in zip(asked, under_way, strict=True):
                world.battered(slot, one.result())

    # -- what must hold

    @rule()
    def come_to_rest(self) -> None:
        self.world.settled()

    @invariant()
    def steady(self) -> None:
        self.world.steady()

    def teardown(self) -> None:
        try:
            self.world.settled()
        finally:
            self._stack.close()


SlotsMachine.TestCase.settings = PROFILE
TestSlots = SlotsMachine.TestCase
