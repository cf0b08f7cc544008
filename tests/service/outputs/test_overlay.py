import io

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from service.domain.errors import AnswerTooLargeError
from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS
from tests.service.outputs.maps import encode, make_model

MODEL = make_model(3)
COLORS = np.array([c.rgb for c in MODEL.contract.classes], np.uint8)


def overlaid(channels: int = 3) -> Segmentation:
    draw = np.random.default_rng(0)
    class_map = draw.integers(0, 3, (20, 30), np.uint8)
    return Segmentation(MODEL, class_map, image=draw.integers(0, 256, (20, 30, channels), np.uint8))


def shown(
    segmentation: Segmentation, alpha: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(encode("overlay", segmentation, alpha=alpha).body)))


def test_alpha_zero_is_the_picture_and_one_the_colours() -> None:
    segmentation = overlaid()
    assert segmentation.image is not None
    np.testing.assert_array_equal(shown(segmentation, 0), segmentation.image)
    np.testing.assert_array_equal(shown(segmentation, 1), COLORS[segmentation.class_map])


def test_alpha_between_is_the_weighted_mean() -> None:
    segmentation = overlaid()
    assert segmentation.image is not None
    expected = 0.75 * segmentation.image + 0.25 * COLORS[segmentation.class_map]
    assert np.abs(shown(segmentation, 0.25) - expected).max() <= 0.5


def test_a_gray_picture_is_overlaid_in_colour() -> None:
    segmentation = overlaid(channels=1)
    assert segmentation.image is not None
    np.testing.assert_array_equal(shown(segmentation, 0), segmentation.image.repeat(3, axis=-1))


def test_jpeg_is_given_if_asked_for() -> None:
    encoded = encode("overlay", overlaid(), media_type="image/jpeg")
    image = Image.open(io.BytesIO(encoded.body))
    assert (encoded.media_type, encoded.extension, image.format, image.size) == (
        "image/jpeg",
        ".jpg",
        "JPEG",
        (30, 20),
    )


def test_a_picture_too_long_for_jpeg_is_refused_with_the_way_out() -> None:
    segmentation = Segmentation(
        MODEL, np.zeros((1, 65_501), np.uint8), image=np.zeros((1, 65_501, 3), np.uint8)
    )
    with pytest.raises(AnswerTooLargeError, match="media_type=image/png"):
        encode("overlay", segmentation, media_type="image/jpeg")
    assert shown(segmentation, 0).shape == (1, 65_501, 3)


@pytest.mark.parametrize(
    "options", [{"alpha": 1.1}, {"alpha": -0.1}, {"media_type": "image/gif"}, {"tolerance": 1}]
)
def test_options_out_of_range_or_of_other_formats_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OUTPUTS["overlay"].options.model_validate(options)
