"""api/incoming: what is found out from a head, once for all requests that repeat it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hal0app.api.incoming import Incoming, agent, of_its_head, priority
from hal0app.errors import Hal0Error


def plain(**headers: str) -> Any:
    """A request whose head is known to repeat."""
    return SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()}, known={})


@pytest.mark.parametrize("found", ["x", None], ids=["something", "nothing"])
def test_what_a_head_tells_is_found_out_once_for_all_that_repeat_it(found: str | None) -> None:
    asked = []

    @of_its_head
    def find(request: Incoming) -> str | None:
        asked.append(request)
        return found

    request = plain()
    assert [find(request), find(request)] == [found, found]
    assert asked == [request]
    assert [find(SimpleNamespace()), find(SimpleNamespace())] == [found, found]  # type: ignore[arg-type]
    assert len(asked) == 3


def test_two_things_are_not_mixed_up() -> None:
    request = plain(X_hal0_Agent="me")
    assert (agent(request), priority(request)) == ("me", "interactive")
    assert (agent(request), priority(request)) == ("me", "interactive")


@pytest.mark.parametrize("request_", [plain(), SimpleNamespace()], ids=["plain", "other"])
def test_an_error_in_finding_it_out_comes_without_another_one(request_: Any) -> None:
    @of_its_head
    def find(request: Incoming) -> str:
        raise RuntimeError("not found")

    for _ in range(2):
        with pytest.raises(RuntimeError) as failed:
            find(request_)
        assert failed.value.__context__ is None


def test_a_refusal_for_what_a_head_says_is_given_every_time() -> None:
    request = plain(X_Hal0_Priority="now")
    for _ in range(2):
        with pytest.raises(Hal0Error, match="'now'"):
            priority(request)
