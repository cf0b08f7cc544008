import asyncio
from contextlib import ExitStack

import pytest

from service.domain.errors import QueueFullError
from service.inference.admission import Admission

pytestmark = pytest.mark.anyio


async def test_as_many_images_as_the_limit_are_in_and_no_more() -> None:
    admission = Admission(max_images=2, max_bytes=100)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(admission.enter())
        with pytest.raises(QueueFullError, match="no more than 2 are accepted"), admission.enter():
            pass
        assert admission.images == 2
    assert admission.images == 0
    with admission.enter():
        assert admission.images == 1


async def test_bytes_are_counted_to_the_limit_and_given_back() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    with admission.enter() as first:
        first.hold(60)
        with admission.enter() as second:
            second.hold(40)
            with pytest.raises(QueueFullError, match="MiB"):
                second.hold(1)
            assert admission.bytes == 100
        assert admission.bytes == 60
    assert admission.bytes == 0


async def test_one_image_alone_is_let_through_whatever_its_bytes() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    with admission.enter() as place:
        place.hold(60)
        place.hold(1000)
        assert admission.bytes == 1060


async def test_a_failed_image_gives_its_place_back() -> None:
    admission = Admission(max_images=1, max_bytes=100)

    def fail() -> None:
        with admission.enter() as place:
            place.hold(10)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (admission.images, admission.bytes) == (0, 0)


async def test_retry_after_grows_with_the_depth_of_the_queue() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    admission.expect(seconds_per_image=3.0)
    with admission.enter():
        assert admission.retry_after_seconds == pytest.approx(3)
        with admission.enter(), admission.enter():
            assert admission.retry_after_seconds == pytest.approx(9)


async def test_retry_after_follows_the_pace_of_the_answers() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    admission.expect(seconds_per_image=1000.0)
    for _ in range(40):
        with admission.enter() as place:
            place.answered = True
    with admission.enter():
        assert admission.retry_after_seconds < 1000


async def test_retry_after_is_never_less_than_a_second() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    admission.expect(seconds_per_image=0.001)
    with admission.enter():
        assert admission.retry_after_seconds == 1


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


class Visitor:
    """A picture that holds `size` bytes once it can, until it is told to leave."""

    def __init__(self, admission: Admission, size: int) -> None:
        self.is_in = False
        self._leave = asyncio.Event()
        self.task = asyncio.create_task(self._visit(admission, size))

    async def _visit(self, admission: Admission, size: int) -> None:
        with admission.enter() as place:
            await place.hold_in_turn(size)
            self.is_in = True
            await self._leave.wait()

    def let_go(self) -> None:
        self._leave.set()

    async def leave(self) -> None:
        self.let_go()
        await self.task
        await settle()


async def test_what_is_large_waits_until_those_before_it_are_done() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    small, giant = Visitor(admission, 1), Visitor(admission, 1000)
    await settle()
    assert (small.is_in, giant.is_in, admission.bytes) == (True, False, 1)
    await small.leave()
    assert (giant.is_in, admission.bytes) == (True, 1000)
    await giant.leave()
    assert (admission.images, admission.bytes) == (0, 0)


async def test_nobody_passes_what_waits_and_the_line_is_kept() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    first = Visitor(admission, 10)
    await settle()
    line = [Visitor(admission, size) for size in (1000, 10, 60, 20)]
    await settle()
    assert [visitor.is_in for visitor in line] == [False] * 4
    await first.leave()
    assert [visitor.is_in for visitor in line] == [True, False, False, False]
    await line[0].leave()
    assert [visitor.is_in for visitor in line[1:]] == [True] * 3
    for visitor in line[1:]:
        await visitor.leave()


async def test_who_leaves_the_line_lets_those_behind_through() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    first = Visitor(admission, 10)
    await settle()
    giant, behind = Visitor(admission, 1000), Visitor(admission, 10)
    await settle()
    giant.task.cancel()
    await settle()
    assert behind.is_in
    await first.leave()
    await behind.leave()
    assert (admission.images, admission.bytes) == (0, 0)


@pytest.mark.parametrize("turn_comes_first", [True, False])
async def test_a_turn_that_comes_as_its_picture_leaves_holds_no_bytes(
    turn_comes_first: bool,
) -> None:
    admission = Admission(max_images=9, max_bytes=100)
    first = Visitor(admission, 10)
    await settle()
    giant, behind = Visitor(admission, 1000), Visitor(admission, 10)
    await settle()
    if turn_comes_first:
        first.let_go()
        await first.task
        giant.task.cancel()
    else:
        giant.task.cancel()
        first.let_go()
    await settle()
    assert behind.is_in
    assert admission.bytes == 10
    await behind.leave()


async def test_what_is_small_is_refused_at_once_where_nobody_waits() -> None:
    admission = Admission(max_images=9, max_bytes=100)
    giant = Visitor(admission, 1000)
    await settle()
    with admission.enter() as place, pytest.raises(QueueFullError, match="MiB"):
        await place.hold_in_turn(50)
    await giant.leave()
