"""core/quarantine: who is refused a model that could not be loaded, and for how long."""

from __future__ import annotations

import pytest

from hal0app.core.pause import pause_s
from hal0app.core.quarantine import FOREIGN, Quarantine, after_failure, evidence, read, refusal
from hal0app.core.slot import options_key
from tests.unit.fakes import at, slot

SLOT = slot("primary", "m")
CHANGED = slot("primary", "m", ctx_size=512)


def failed(times: int, options: str = "", tick: float = 1000.0) -> Quarantine:
    """The quarantine after so many failures, a second apart, the last at `tick`."""
    one = None
    for number in range(times):
        one = after_failure(one, "m", "no such tensor", options, at(tick - times + 1 + number))
    assert one is not None
    return one


@pytest.mark.parametrize(
    ("failures", "pause"), [(1, 60), (2, 120), (3, 240), (6, 1920), (7, 3600), (8, 3600), (10_000, 3600)]
)
def test_the_pause_doubles_up_to_an_hour(failures: int, pause: float) -> None:
    assert pause_s(failures) == pause


def test_a_request_for_the_model_waits_for_the_pause() -> None:
    refused = refusal(failed(2), None, at(1030.5))
    assert refused is not None
    assert (refused.code, refused.retry_after) == ("model.quarantined", 90)
    assert "since 2023-11-14T22:29:59Z: loading it failed 2 times (no such tensor)" in refused.message
    assert refused.message.endswith("may be tried again after 2023-11-14T22:32:00Z; at once: POST /api/models/m/clear")
    assert refusal(failed(2), None, at(1120)) is None


def test_a_slot_waits_for_a_change_of_its_options_or_a_person() -> None:
    refused = refusal(failed(1, options_key(SLOT)), SLOT, at(99_999))
    assert refused is not None
    assert refused.retry_after is None
    assert "clear it: POST /api/models/m/clear" in refused.message
    assert refusal(failed(1, options_key(SLOT)), CHANGED, at(1001)) is None
    assert refusal(failed(1, ""), SLOT, at(1001)) is None


def test_without_its_slot_the_model_waits_for_the_pause_alone() -> None:
    one = failed(1, options_key(SLOT))
    assert refusal(one, None, at(1059)) is not None
    assert refusal(one, None, at(1060)) is None


def test_what_somebody_else_could_not_load_keeps_everybody_waiting() -> None:
    one = failed(1, FOREIGN)
    assert refusal(one, SLOT, at(1059)) is not None
    assert refusal(one, None, at(1059)) is not None
    assert refusal(one, SLOT, at(1060)) is None


def test_other_options_begin_the_count_anew() -> None:
    again = after_failure(failed(5, options_key(SLOT)), "m", "other", options_key(CHANGED), at(2000))
    assert (again.failures, again.since) == (1, at(2000).wall)


def test_it_is_kept_as_evidence() -> None:
    one = failed(3, FOREIGN)
    assert read(evidence(one)) == one
