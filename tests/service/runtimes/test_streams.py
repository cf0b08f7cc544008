"""Whether images beside each other pay is told by a clock that the runs themselves move."""

import threading

import numpy as np
import pytest
from numpy.typing import NDArray

from service.runtimes import streams
from service.runtimes.streams import (
    Company,
    described,
    least_cpu_seconds,
    max_streams,
    streams_pay_off,
)


class Clock:
    """Counts what is called done: `seconds` a call of `run`, whatever the images are. `waited` are
    those that went by without a core.
    """

    def __init__(self) -> None:
        self.now = self.waited = 0.0
        self.shapes: list[tuple[int, ...]] = []
        self._one_at_a_time = threading.Lock()

    def perf_counter(self) -> float:
        return self.now + self.waited

    def process_time(self) -> float:
        return self.now

    def run_in(self, *seconds: float) -> streams.Run:
        left = list(seconds)

        def run(images: NDArray[np.uint8]) -> None:
            with self._one_at_a_time:
                self.shapes.append(images.shape)
                self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(streams, "time", clock)
    return clock


@pytest.mark.parametrize(("beside", "expected"), [(0.015, True), (0.021, True), (0.023, False)])
def test_images_beside_each_other_may_not_lose_clearly(
    clock: Clock, beside: float, expected: bool
) -> None:
    together = threading.Barrier(2, timeout=300)  # it breaks if they do not run at once
    half = clock.run_in(beside / 2)

    def run_beside(images: NDArray[np.uint8]) -> None:
        together.wait()
        half(images)

    assert streams_pay_off(run_beside, clock.run_in(0.01), 2, channels=3) == expected
    assert set(clock.shapes) == {(1, 256, 256, 3)}


def test_what_else_the_machine_does_does_not_speak_against_images_beside_each_other(
    clock: Clock,
) -> None:
    beside = clock.run_in(0.01)

    def kept_waiting(images: NDArray[np.uint8]) -> None:
        beside(images)
        clock.waited += 0.05

    assert streams_pay_off(kept_waiting, clock.run_in(0.012), 2, channels=3)


def test_a_clear_gain_is_timed_once(clock: Clock) -> None:
    assert streams_pay_off(clock.run_in(0.0075), clock.run_in(0.01), 2, channels=3)
    in_a_row = 3
    assert len(clock.shapes) == 1 + 2 * in_a_row + 2 * in_a_row + 2 * in_a_row


def test_a_slow_network_is_run_once_in_a_row(clock: Clock) -> None:
    assert not streams_pay_off(clock.run_in(3.0), clock.run_in(2.0), 2, channels=3)
    assert len(clock.shapes) == 1 + 2 + 2 + 2


def test_the_first_call_does_not_count_and_the_least_of_the_rest_does(clock: Clock) -> None:
    seconds = least_cpu_seconds(clock.run_in(9.0, 0.03, 0.01, 0.02), 4, (32, 32), channels=1)
    assert seconds == pytest.approx(0.01)
    assert clock.shapes == [(4, 32, 32, 1)] * 4


def test_a_slow_network_is_timed_once(clock: Clock) -> None:
    assert least_cpu_seconds(clock.run_in(2.0), 1, (256, 256), channels=3) == pytest.approx(2.0)
    assert len(clock.shapes) == 2


def test_what_begins_after_batches_beside_each_other_is_not_taken_for_alone() -> None:
    company = Company()
    others = [False, False, True, True, False, True, False, False]
    near = [company.is_near(others_run=others_run) for others_run in others]
    assert near == [False, False, True, True, True, True, True, False]


def test_threads_are_shared_by_two_streams_or_by_streams_of_two() -> None:
    assert [max_streams(threads) for threads in (1, 2, 3, 4, 8, 32)] == [
        1,
        2,
        2,
        2,
        4,
        16,
    ]


def test_a_log_is_told_of_threads_and_of_streams_where_there_are() -> None:
    assert described(1, 1) == "1 thread"
    assert described(4, 1) == "4 threads"
    assert described(4, 2) == "4 threads, 2 batches beside each other"
