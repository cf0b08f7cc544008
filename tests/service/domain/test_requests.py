import pytest

from models.contract.intensity import IntensityWindow
from service.domain.requests import IntensityRequest


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("auto", IntensityRequest("auto")),
        ("full", IntensityRequest("full")),
        ("200,3000", IntensityRequest("window", IntensityWindow(200, 3000))),
        ("-0.5,1e3", IntensityRequest("window", IntensityWindow(-0.5, 1000.0))),
    ],
)
def test_a_caller_can_ask_for_an_intensity_in_each_way(
    text: str, request_: IntensityRequest
) -> None:
    assert IntensityRequest.parse(text) == request_


NO_INTENSITIES = ("", "200", "3000,200", "5,5", "0,1e999", "-1e308,1e308", "1,2,3", "nan,2")


@pytest.mark.parametrize("text", [*NO_INTENSITIES, "\u0661,\u0669"])
def test_what_is_no_intensity_is_refused_with_the_limit(text: str) -> None:
    with pytest.raises(ValueError, match="it can be auto, full"):
        IntensityRequest.parse(text)
