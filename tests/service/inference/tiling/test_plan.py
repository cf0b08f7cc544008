import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from service.inference.tiling.fit import round_up
from service.inference.tiling.plan import Span, TilePlan, plan_tiles

plans = st.tuples(
    st.integers(1, 700),
    st.integers(1, 700),
    st.sampled_from([1, 2, 8, 16, 32]),
    st.one_of(st.none(), st.integers(0, 60)),
    st.integers(16, 200),
)


def kept(span: Span) -> range:
    return range(span.keep_start, span.keep_stop)


def spans(plan: TilePlan) -> list[tuple[tuple[Span, ...], int, int]]:
    return [
        (plan.rows, plan.height, plan.tile_shape[0]),
        (plan.columns, plan.width, plan.tile_shape[1]),
    ]


@given(plans)
def test_what_is_kept_covers_each_pixel_once(args: tuple[int, int, int, int | None, int]) -> None:
    plan = plan_tiles(*args)
    for axis, length, _ in spans(plan):
        weights = np.zeros(length)
        for span in axis:
            own = np.ones(len(kept(span)))
            if span.ramp_in:
                own[: span.ramp_in] = (np.arange(span.ramp_in) + 0.5) / span.ramp_in
            if span.ramp_out:
                own[-span.ramp_out :] = 1 - (np.arange(span.ramp_out) + 0.5) / span.ramp_out
            weights[span.keep_start : span.keep_stop] += own
        np.testing.assert_allclose(weights, 1)


@given(plans)
def test_tiles_start_at_multiples_of_the_stride_and_have_one_shape(
    args: tuple[int, int, int, int | None, int],
) -> None:
    plan, stride = plan_tiles(*args), args[2]
    for axis, length, side in spans(plan):
        assert side % stride == 0
        assert all(span.start % stride == 0 for span in axis)
        assert axis[-1].start + side == round_up(length, stride)
        assert len({span.start for span in axis}) == len(axis)


@given(plans)
def test_what_is_kept_lies_a_radius_from_every_edge_that_is_not_the_picture_s(
    args: tuple[int, int, int, int | None, int],
) -> None:
    radius = args[3]
    assume(radius is not None)
    assert radius is not None
    for axis, _, side in spans(plan_tiles(*args)):
        for span in axis:
            assert span is axis[0] or span.keep_start - span.start >= radius
            assert span is axis[-1] or span.start + side - span.keep_stop >= radius


@given(plans)
def test_the_padding_of_the_last_tile_mirrors_the_whole_picture_s(
    args: tuple[int, int, int, int | None, int],
) -> None:
    for axis, length, side in spans(plan_tiles(*args)):
        padding = axis[-1].start + side - length
        assert len(axis) == 1 or length - axis[-1].start > padding


def test_a_picture_of_just_tile_size_is_one_tile() -> None:
    assert len(plan_tiles(256, 256, 32, 40, 256)) == 1
    assert len(plan_tiles(256, 257, 32, 40, 256)) == 2


def test_a_long_strip_of_few_pixels_is_one_tile() -> None:
    assert len(plan_tiles(16, 4096, 8, 20, 256)) == 1


def test_tiles_of_a_strip_are_as_long_as_its_height_allows() -> None:
    height, width = plan_tiles(32, 100_000, 32, 64, 512).tile_shape
    assert height == 32
    assert 7000 < width <= 512 * 512 / 32


def test_no_tile_is_larger_than_tile_size_while_half_of_it_is_kept() -> None:
    plan = plan_tiles(10_000, 10_000, 32, 366, 1536)
    assert 1400 < max(plan.tile_shape) <= 1536


def test_a_large_radius_grows_the_tiles_so_that_half_a_side_is_kept() -> None:
    plan = plan_tiles(10_000, 10_000, 32, 800, 1536)
    assert max(plan.tile_shape) <= 4 * 800
    computed = len(plan) * plan.tile_shape[0] * plan.tile_shape[1]
    assert computed <= 4.5 * 10_000 * 10_000


def test_one_tile_is_never_blended() -> None:
    assert not plan_tiles(100, 100, 8, None, 128).blended
    assert plan_tiles(100, 200, 8, None, 128).blended
