"""Speed, time left and standing still, out of what was counted."""

from __future__ import annotations

from hal0app.core.progress import NO_PROGRESS, Progress, progress

MB = 1000**2


def test_one_count_tells_nothing() -> None:
    assert progress([(0.0, 5)], 10, 1.0) == NO_PROGRESS


def test_speed_is_that_of_the_last_seconds_and_what_was_there_before_does_not_count() -> None:
    samples = [(0.0, 600 * MB), (50.0, 610 * MB), (60.0, 710 * MB)]
    assert progress(samples, 1_000 * MB, 60.0) == Progress(rate=10.0 * MB, left_s=29)


def test_without_news_for_ten_seconds_it_stands_still_and_has_no_speed() -> None:
    samples = [(0.0, 0), (5.0, 50 * MB), (9.0, 50 * MB), (17.0, 50 * MB)]
    assert progress(samples, 100 * MB, 14.0).stalled_s is None
    assert progress(samples, 100 * MB, 17.0) == Progress(stalled_s=12)


def test_an_unknown_size_has_no_time_left() -> None:
    assert progress([(0.0, 0), (1.0, MB)], 0, 1.0) == Progress(rate=1.0 * MB)
