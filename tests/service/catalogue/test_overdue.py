import asyncio

import pytest

from service.catalogue.overdue import MAX_OVERDUE, Overdue, OverdueError
from tests.service.catalogue.stubs import TIMEOUT_SECONDS, until

pytestmark = pytest.mark.anyio


class Work:
    """Ends with `result` once it is let go."""

    def __init__(self, result: str | Exception = "done") -> None:
        self.go = asyncio.Event()
        self.result = result

    async def __call__(self) -> str:
        await self.go.wait()
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def give_up_on(overdue: Overdue, work: Work, thrown_away: list[str]) -> None:
    with pytest.raises(OverdueError, match="too slow"):
        await overdue.within(0.001, work(), "too slow", thrown_away.append)


async def test_work_in_time_gives_its_result_or_its_error() -> None:
    overdue = Overdue()
    quick, failing = Work(), Work(ValueError("wrong"))
    quick.go.set()
    failing.go.set()
    assert await overdue.within(TIMEOUT_SECONDS, quick(), "too slow") == "done"
    with pytest.raises(ValueError, match="wrong"):
        await overdue.within(TIMEOUT_SECONDS, failing(), "too slow")
    assert overdue.stuck_seconds == 0


async def test_work_beyond_its_time_is_counted_until_it_ends_and_its_result_thrown_away() -> None:
    overdue, work, thrown_away = Overdue(), Work(), list[str]()
    await give_up_on(overdue, work, thrown_away)
    once = overdue.stuck_seconds
    await until(lambda: overdue.stuck_seconds > once > 0)
    work.go.set()
    await until(lambda: overdue.stuck_seconds == 0)
    assert thrown_away == ["done"]


async def test_work_beyond_its_time_that_fails_in_the_end_is_over_too() -> None:
    overdue, work, thrown_away = Overdue(), Work(ValueError("wrong")), list[str]()
    await give_up_on(overdue, work, thrown_away)
    work.go.set()
    await until(lambda: overdue.stuck_seconds == 0)
    assert thrown_away == []


async def test_who_is_cancelled_leaves_the_work_to_itself() -> None:
    overdue, work, thrown_away = Overdue(), Work(), list[str]()
    waiting = asyncio.create_task(
        overdue.within(TIMEOUT_SECONDS, work(), "too slow", thrown_away.append)
    )
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert overdue.stuck_seconds > 0
    work.go.set()
    await until(lambda: thrown_away == ["done"])


async def test_no_more_is_begun_while_too_much_hangs() -> None:
    overdue, hanging = Overdue(), [Work() for _ in range(MAX_OVERDUE)]
    for work in hanging:
        await give_up_on(overdue, work, [])
    next_one = Work()
    next_one.go.set()
    with pytest.raises(OverdueError, match=f"{MAX_OVERDUE} loads hang already"):
        await overdue.within(TIMEOUT_SECONDS, next_one(), "too slow")
    closing = overdue.within(TIMEOUT_SECONDS, next_one(), "too slow", even_if_full=True)
    assert await closing == "done"
    for work in hanging:
        work.go.set()
    await until(lambda: overdue.stuck_seconds == 0)
    assert await overdue.within(TIMEOUT_SECONDS, next_one(), "too slow") == "done"
