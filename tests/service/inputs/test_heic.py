"""HEIC: the main picture, upright, and its other pictures as pages."""

import io

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image

from service.domain.errors import ImageTooLargeError
from service.inputs import decode, open_source, read_image
from tests.service.inputs.files import LIMIT, blocks

COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))


def several(primary: int) -> bytes:
    """Three pictures of different sizes."""
    file = io.BytesIO()
    frames = [Image.new("RGB", (64 + 16 * place, 64), color) for place, color in enumerate(COLORS)]
    images = pillow_heif.from_pillow(frames[0])
    for frame in frames[1:]:
        images.add_from_pillow(frame)
    images.save(file, quality=90, primary_index=primary)
    return file.getvalue()


@pytest.mark.parametrize("primary", [0, 1, 2])
def test_the_main_picture_is_meant_and_each_can_be_asked_for(primary: int) -> None:
    body = several(primary)
    source = open_source(body, LIMIT)
    assert (source.info.page, source.info.pages) == (primary + 1, 3)
    np.testing.assert_allclose(read_image(source, 3)[0, 0], COLORS[primary], atol=8)
    for page in (1, 2, 3):
        source = open_source(body, LIMIT, page)
        assert (source.height, source.width) == (64, 48 + 16 * page)
        np.testing.assert_allclose(read_image(source, 3)[0, 0], COLORS[page - 1], atol=8)


def test_each_page_is_held_to_the_limit_of_pixels() -> None:
    body = several(0)
    assert open_source(body, 64 * 64).info.page == 1
    with pytest.raises(ImageTooLargeError, match="96 × 64"):
        open_source(body, 64 * 64, 3)


def test_an_upright_heic_is_not_turned_twice() -> None:
    picture = blocks()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(np.ascontiguousarray(np.rot90(picture)))).save(
        file, quality=95, exif=exif.tobytes()
    )
    pixels = decode(file.getvalue(), 3, LIMIT)
    assert pixels.shape == picture.shape
    assert np.median(np.abs(pixels.astype(int) - picture)) <= 6
