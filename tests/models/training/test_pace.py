import time

import pytest

from models.training.pace import Pace


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(2.0, "about 16 s left"), (60.0, "about 8 minutes left"), (3600.0, "about 8.0 hours left")],
)
def test_the_rest_takes_as_long_an_epoch_as_those_of_this_session(
    clock: list[float], seconds: float, said: str
) -> None:
    """Two of the ten that are left of twelve are done: eight are left, whatever the first took."""
    pace = Pace(epochs=12, done=2)
    clock[0] += 2 * seconds
    assert pace.left(4) == said


def test_nothing_is_said_before_the_first_epoch_and_after_the_last(clock: list[float]) -> None:
    pace = Pace(epochs=12, done=2)
    clock[0] += 100
    assert pace.left(2) == pace.left(12) == ""


def test_it_is_quiet_until_something_is_said(clock: list[float]) -> None:
    pace = Pace(epochs=12, done=2)
    assert not pace.is_quiet(60)
    clock[0] += 60
    assert pace.is_quiet(60)
    pace.said()
    assert not pace.is_quiet(60)
