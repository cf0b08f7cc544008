import pytest

from models.contract.preprocessing import FrameScale, PhysicalScale
from models.contract.working_size import ScaleRequest, WorkingSize, wanted_ratio, working_size

JPEG = (1.0, 0.5, 0.25, 0.125)
WHOLE = (1.0,)


@pytest.mark.parametrize("ratio", [1.0, 0.81, 1.2])
def test_a_picture_near_the_working_size_is_run_as_it_is(ratio: float) -> None:
    assert working_size(360, 480, ratio, JPEG, exact=False) is None


def test_an_exact_ratio_is_kept_to() -> None:
    size = working_size(360, 480, 0.9, WHOLE, exact=True)
    assert size == WorkingSize(324, 432, (360 / 324, 480 / 432), 1.0, resize=True)


def test_a_jpeg_is_decoded_at_the_eighth_that_is_close_enough() -> None:
    size = working_size(3024, 4032, 480 / 4032, JPEG, exact=False)
    assert size == WorkingSize(378, 504, (8, 8), 0.125, resize=False)


def test_what_is_no_multiple_of_eight_is_rounded_up_and_lies_where_it_lay() -> None:
    size = working_size(3025, 4033, 0.125, JPEG, exact=False)
    assert size is not None
    assert (size.height, size.width, size.factors) == (379, 505, (8, 8))


def test_between_two_scales_it_is_decoded_at_the_larger_and_shrunk() -> None:
    size = working_size(2000, 3000, 0.18, JPEG, exact=False)
    assert size is not None
    assert (size.height, size.width, size.decode_scale, size.resize) == (360, 540, 0.25, True)
    assert size.factors == (2000 / 360, 3000 / 540)


def test_other_types_are_decoded_whole_and_shrunk() -> None:
    size = working_size(3024, 4032, 480 / 4032, WHOLE, exact=False)
    assert size is not None
    assert (size.height, size.width, size.decode_scale, size.resize) == (360, 480, 1.0, True)


def test_a_sliver_keeps_a_pixel() -> None:
    size = working_size(3, 9000, 0.05, WHOLE, exact=False)
    assert size is not None
    assert (size.height, size.width) == (1, 450)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("auto", ScaleRequest("auto")),
        ("native", ScaleRequest("native")),
        ("0.5", ScaleRequest("factor", 0.5)),
        ("2", ScaleRequest("factor", 2.0)),
        ("longest=1024", ScaleRequest("longest", 1024)),
    ],
)
def test_a_caller_can_ask_for_a_scale_in_each_way(text: str, request_: ScaleRequest) -> None:
    assert ScaleRequest.parse(text) == request_


@pytest.mark.parametrize(
    "text",
    ["", "half", "0", "-1", "nan", "9", *map("longest={}".format, ("", "0", "1e3", "99999"))],
)
def test_what_is_no_scale_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match="it can be"):
        ScaleRequest.parse(text)


def test_a_frame_is_shrunk_to_the_models_and_never_enlarged() -> None:
    scale, auto = FrameScale(long_side=480), ScaleRequest()
    assert wanted_ratio(3840, scale, auto) == (0.125, False)
    assert wanted_ratio(240, scale, auto) == (1.0, False)
    assert wanted_ratio(240, scale, ScaleRequest("factor", 2.0)) == (2.0, True)
    assert wanted_ratio(3840, None, auto) == (1.0, False)


def test_the_size_of_a_pixel_rules_where_both_know_it() -> None:
    scale, auto = PhysicalScale(pixel_size=0.5, unit="µm"), ScaleRequest()
    assert wanted_ratio(9000, scale, auto, (0.00025, "mm")) == (0.5, False)
    assert wanted_ratio(9000, scale, auto, (2.0, "µm")) == (1.0, False)
    assert wanted_ratio(9000, scale, auto) == (1.0, False)
