"""`confidence` and `npz`."""

import io

import numpy as np
import pytest
from PIL import Image

from service.domain.segmentation import Segmentation
from service.outputs import OUTPUTS
from tests.service.outputs.maps import encode, make_model

MODEL = make_model(3)


def sample() -> Segmentation:
    draw = np.random.default_rng(0)
    probabilities = draw.dirichlet(np.ones(3), (13, 17)).astype(np.float32)
    return Segmentation(
        MODEL,
        probabilities.argmax(axis=-1).astype(np.uint8),
        np.rint(probabilities.max(axis=-1) * 255).astype(np.uint8),
        probabilities,
    )


def test_confidence_is_a_gray_png() -> None:
    segmentation = sample()
    encoded = encode("confidence", segmentation)
    image = Image.open(io.BytesIO(encoded.body))
    assert (encoded.media_type, encoded.extension, image.mode) == ("image/png", ".png", "L")
    assert segmentation.confidence is not None
    np.testing.assert_array_equal(np.asarray(image), segmentation.confidence)


def test_npz_holds_the_class_map_alone_unless_asked() -> None:
    encoded = encode("npz", sample())
    archive = np.load(io.BytesIO(encoded.body))
    assert (encoded.media_type, encoded.extension) == ("application/x-npz", ".npz")
    assert archive.files == ["class_map"]
    np.testing.assert_array_equal(archive["class_map"], sample().class_map)
    assert archive["class_map"].dtype == np.uint8


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("float32", 0)])
def test_npz_holds_probabilities_if_asked(dtype: str, tolerance: float) -> None:
    segmentation = sample()
    archive = np.load(io.BytesIO(encode("npz", segmentation, probabilities=True, dtype=dtype).body))
    assert archive["probabilities"].dtype == dtype
    assert segmentation.probabilities is not None
    np.testing.assert_allclose(archive["probabilities"], segmentation.probabilities, atol=tolerance)


def test_the_same_map_is_written_to_the_same_bytes() -> None:
    assert encode("npz", sample()).body == encode("npz", sample()).body


@pytest.mark.parametrize(
    ("name", "options", "need"),
    [
        ("png", {}, "class_map"),
        ("confidence", {}, "confidence"),
        ("npz", {}, "class_map"),
        ("npz", {"probabilities": True}, "probabilities"),
    ],
)
def test_formats_say_what_they_need_of_the_engine(
    name: str, options: dict[str, object], need: str
) -> None:
    assert OUTPUTS[name].options.model_validate(options).need == need
