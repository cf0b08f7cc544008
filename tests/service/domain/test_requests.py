import pytest

from models.contract.intensity import IntensityWindow
from service.domain.requests import IntensityRequest, ScaleRequest


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
    [
        *["", "half", "0", "-1", "nan", "inf", "9"],
        *["longest=0", "longest=1e3", "longest=", "longest=99999"],
    ],
)
def test_what_is_no_scale_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match="it can be"):
        ScaleRequest.parse(text)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("auto", IntensityRequest("auto")),
        ("full", IntensityRequest("full")),
        ("200,3000", IntensityRequest("window", IntensityWindow(200, 3000))),
    ],
)
def test_a_caller_can_ask_for_an_intensity_in_each_way(
    text: str, request_: IntensityRequest
) -> None:
    assert IntensityRequest.parse(text) == request_


@pytest.mark.parametrize(
    "text", ["", "200", "3000,200", "5,5", "0,65536", "-1,5", "1,2,3", "1.5,2", "\u0661,\u0669"]
)
def test_what_is_no_intensity_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match="it can be auto, full"):
        IntensityRequest.parse(text)
