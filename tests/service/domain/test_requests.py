import pytest

from models.contract.intensity import IntensityWindow
from service.domain.requests import IntensityRequest


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
