"""adapters/connections: what is kept open, for how long, and what is not given out again."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from hal0app.adapters.connecting import family_of
from hal0app.adapters.connections import IDLE_S, Connections, connect, quiet

HERE = ("127.0.0.1", 1)


class Pairs:
    """Connected sockets; `near` is ours, `far` the other side's."""

    def __init__(self) -> None:
        self.far: dict[socket.socket, socket.socket] = {}

    def make(self) -> socket.socket:
        near, far = socket.socketpair()
        near.settimeout(30)
        self.far[near] = far
        return near

    def close(self) -> None:
        for pair in self.far.items():
            for one in pair:
                one.close()


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    made = Pairs()
    yield made
    made.close()


class Now:
    def __init__(self) -> None:
        self.tick = 100.0

    def __call__(self) -> float:
        return self.tick


def test_the_connection_used_last_is_taken_first_and_only_once(pairs: Pairs) -> None:
    kept, (first, second) = Connections(), (pairs.make(), pairs.make())
    kept.give(HERE, first)
    kept.give(HERE, second)
    assert [kept.take(HERE), kept.take(HERE), kept.take(HERE)] == [second, first, None]
    assert first.gettimeout() == 30


def test_a_connection_is_for_its_own_address(pairs: Pairs) -> None:
    kept = Connections()
    kept.give(HERE, pairs.make())
    assert kept.take(("127.0.0.1", 2)) is None


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "talks-unasked"])
def test_a_connection_that_is_not_quiet_is_not_given_out(pairs: Pairs, closed: bool) -> None:
    kept, bad = Connections(), pairs.make()
    kept.give(HERE, bad)
    if closed:
        pairs.far[bad].close()
    else:
        pairs.far[bad].send(b"x")
    assert kept.take(HERE) is None
    assert bad.fileno() == -1


def test_looking_at_a_connection_leaves_its_time_limit(pairs: Pairs) -> None:
    one = pairs.make()
    assert quiet(one)
    pairs.far[one].send(b"x")
    assert not quiet(one)
    assert one.gettimeout() == 30


def test_no_more_are_kept_than_wanted(pairs: Pairs) -> None:
    kept = Connections({HERE: 2})
    made = [pairs.make() for _ in range(3)]
    for one in made:
        kept.give(HERE, one)
    assert kept.idle(HERE) == 2
    assert [one.fileno() == -1 for one in made] == [True, False, False]


def test_a_connection_is_kept_for_less_than_the_other_side_keeps_it(pairs: Pairs) -> None:
    now = Now()
    kept, old, young = Connections(clock=now), pairs.make(), pairs.make()
    kept.give(HERE, old)
    now.tick += 1
    kept.give(HERE, young)
    now.tick += IDLE_S - 1
    kept.sweep()
    assert (old.fileno(), kept.idle(HERE)) == (-1, 1)
    now.tick += 1
    assert kept.take(HERE) is None
    assert young.fileno() == -1
    assert IDLE_S < 5


def test_stopping_closes_what_is_kept(pairs: Pairs) -> None:
    kept, one = Connections(), pairs.make()
    kept.give(HERE, one)
    kept.stop()
    kept.run()
    assert one.fileno() == -1


class Silent:
    """As much of a connection as is asked of one that says nothing; `closed` counts."""

    def __init__(self) -> None:
        self.closed = 0

    def gettimeout(self) -> float:
        return 30.0

    def settimeout(self, wait_s: float) -> None:
        pass

    def recv(self, size: int, flags: int) -> bytes:
        raise BlockingIOError

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("end", [Connections.stop, Connections.sweep], ids=["stopping", "sweeping"])
def test_a_connection_is_either_taken_or_closed_whichever_thread_comes_first(
    end: Callable[[Connections], None],
) -> None:
    for _ in range(10):
        now = Now()
        kept, old, young = Connections({HERE: 5000}, now), many(2500), many(2500)
        for one in old:
            kept.give(HERE, one)
        now.tick += IDLE_S
        for one in young:
            kept.give(HERE, one)
        with ThreadPoolExecutor(1) as other:
            taking = other.submit(lambda kept=kept: list(iter(lambda: kept.take(HERE), None)))
            end(kept)
            taken = set(taking.result())
        assert all(one.closed == (one not in taken) for one in (*old, *young))


def many(number: int) -> list[Any]:
    return [Silent() for _ in range(number)]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_connection_is_made_by_number_or_by_name(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = connect((host, listener.getsockname()[1]), 30)
        assert made.gettimeout() == 30
        made.close()


@pytest.mark.parametrize(
    ("host", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("localhost", None), ("127.1", None), ("a\0b", None)],
)
def test_an_address_is_told_from_a_name(host: str, family: socket.AddressFamily | None) -> None:
    assert family_of(host) is family
