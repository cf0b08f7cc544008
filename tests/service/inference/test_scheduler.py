import asyncio

import pytest

from service.inference.scheduler import WHOLE, DeviceScheduler

pytestmark = pytest.mark.anyio

HALF = WHOLE // 2
TIMEOUT_SECONDS = 300.0


class SemaphoreProbe:
    """Whoever asks for scheduler, and has them until told to give them back."""

    def __init__(self) -> None:
        self.scheduler = DeviceScheduler()
        self.having: list[str] = []

    async def ask(self, name: str, share: int) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.scheduler.acquire(share)
            self.having.append(name)

        task = asyncio.create_task(wait())
        await self.settle()
        return task

    async def give_back(self, name: str, share: int) -> None:
        self.having.remove(name)
        self.scheduler.release(share)
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_shares_are_had_beside_each_other_up_to_the_whole() -> None:
    asking = SemaphoreProbe()
    for name in "abc":
        await asking.ask(name, HALF)
    assert asking.having == ["a", "b"]
    await asking.give_back("a", HALF)
    assert asking.having == ["b", "c"]


async def test_nobody_overtakes_who_needs_the_whole() -> None:
    asking = SemaphoreProbe()
    await asking.ask("small", HALF)
    await asking.ask("whole", WHOLE)
    await asking.ask("behind", HALF)
    assert asking.having == ["small"]
    await asking.give_back("small", HALF)
    assert asking.having == ["whole"]
    await asking.give_back("whole", WHOLE)
    assert asking.having == ["behind"]


async def test_who_stops_asking_lets_those_behind_through() -> None:
    asking = SemaphoreProbe()
    await asking.ask("small", HALF)
    whole = await asking.ask("whole", WHOLE)
    await asking.ask("behind", HALF)
    whole.cancel()
    await asking.settle()
    assert asking.having == ["small", "behind"]


@pytest.mark.parametrize("turn_comes_first", [True, False])
async def test_a_turn_that_comes_as_its_asker_leaves_goes_to_the_next(
    turn_comes_first: bool,
) -> None:
    asking = SemaphoreProbe()
    await asking.ask("first", WHOLE)
    second = await asking.ask("second", WHOLE)
    await asking.ask("third", WHOLE)
    if turn_comes_first:
        asking.scheduler.release(WHOLE)
    second.cancel()
    if not turn_comes_first:
        asking.scheduler.release(WHOLE)
    await asking.settle()
    assert asking.having == ["first", "third"]


async def test_a_turn_is_given_back_whatever_happens_in_it() -> None:
    scheduler = DeviceScheduler()
    with pytest.raises(RuntimeError):
        async with scheduler.held(WHOLE, TIMEOUT_SECONDS):
            raise RuntimeError
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await scheduler.acquire(WHOLE)


async def test_a_turn_that_lasts_too_long_is_taken_back_once() -> None:
    asking = SemaphoreProbe()
    async with asking.scheduler.held(WHOLE, at_most_seconds=0.01):
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await asking.scheduler.acquire(WHOLE)
    await asking.ask("next", WHOLE)
    assert asking.having == []  # the end of the block gave nothing back a second time
    asking.scheduler.release(WHOLE)
    await asking.settle()
    assert asking.having == ["next"]
