import io

import numpy as np
from PIL import Image

from service.domain.segmentation import Segmentation
from service.outputs.png import GRAY, RGB, write_png
from tests.service.outputs.maps import encode, make_model

MODEL = make_model()


def test_the_palette_holds_the_class_colours_and_one_for_the_ignore_id() -> None:
    class_map = np.array([[0, 1, 10, 255]], np.uint8)
    encoded = encode("png", Segmentation(MODEL, class_map))
    image = Image.open(io.BytesIO(encoded.body))
    assert (encoded.media_type, encoded.extension, image.mode) == ("image/png", ".png", "P")
    shown = np.asarray(image.convert("RGB"))[0].tolist()
    classes = MODEL.contract.classes
    assert [tuple(color) for color in shown] == [
        classes[0].rgb,
        classes[1].rgb,
        classes[10].rgb,
        (224, 224, 192),
    ]


def test_a_model_without_an_ignore_id_has_no_colour_for_it() -> None:
    encoded = encode("png", Segmentation(make_model(3, ignore=None), np.zeros((1, 1), np.uint8)))
    assert encoded.body.count(b"PLTE") == 1
    start = encoded.body.index(b"PLTE")
    assert int.from_bytes(encoded.body[start - 4 : start], "big") == 9


def test_bands_are_joined_into_one_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 30, 3), np.uint8)
    body = b"".join(write_png(50, 30, RGB, (pixels[i : i + 7] for i in range(0, 50, 7))))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(body))), pixels)


def test_checksums_hold_for_strict_readers() -> None:
    body = b"".join(write_png(2, 3, GRAY, [np.arange(6, dtype=np.uint8).reshape(2, 3)]))
    Image.open(io.BytesIO(body)).verify()
