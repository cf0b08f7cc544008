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
