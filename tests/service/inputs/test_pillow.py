"""The types that Pillow reads: their frames are pages."""

import struct

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import (
    ImageTooLargeError,
    InvalidOptionError,
    UnreadableImageError,
)
from service.domain.source import Window
from service.inputs import decode, open_source, read_image
from service.inputs import pillow as pillow_inputs
from service.inputs.pillow import gif_frames
from tests.service.inputs.files import LIMIT, blocks, save

COLORS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")


def animation(file_format: str, count: int = 3) -> bytes:
    frames = [Image.new("RGB", (16, 8), COLORS[place % 3]) for place in range(count)]
    if file_format == "GIF":  # so that no two are merged
        frames = [frame.convert("P", palette=Image.Palette.ADAPTIVE) for frame in frames]
    options = {"lossless": True} if file_format == "WEBP" else {}
    options |= {"duration": 100} if file_format != "TIFF" else {}  # type: ignore[dict-item]
    return save(frames[0], file_format, save_all=True, append_images=frames[1:], **options)


@pytest.mark.parametrize("file_format", ANIMATED)
def test_a_frame_is_chosen_and_the_first_is_the_one_that_is_meant(file_format: str) -> None:
    body = animation(file_format)
    source = open_source(body, LIMIT)
    assert (source.info.page, source.info.pages) == (1, 3)
    np.testing.assert_allclose(read_image(source, 3)[0, 0], COLORS[0], atol=8)
    for page in (1, 2, 3):
        source = open_source(body, LIMIT, page)
        assert (source.info.page, source.info.pages) == (page, 3)
        np.testing.assert_allclose(read_image(source, 3)[0, 0], COLORS[page - 1], atol=8)
    with pytest.raises(InvalidOptionError, match="has 3 pages; page 4"):
        open_source(body, LIMIT, 4)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "GIF", "WEBP", "AVIF"])
def test_a_single_picture_has_one_page(file_format: str) -> None:
    body = save(Image.fromarray(blocks()), file_format)
    assert open_source(body, LIMIT, 1).info.pages == 1
    with pytest.raises(InvalidOptionError, match="has one page; page 2 was asked for"):
        open_source(body, LIMIT, 2)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_a_late_frame_counts_for_those_that_it_is_painted_over(file_format: str) -> None:
    body = animation(file_format, 12)
    assert open_source(body, 12 * 128, 12).info.page == 12
    with pytest.raises(ImageTooLargeError, match="painted over those before it: 12 × 128 pixels"):
        open_source(body, 12 * 128 - 1, 12)


def test_a_gif_frame_larger_than_its_screen_is_measured_where_it_is_asked_for() -> None:
    first = save(Image.new("P", (4, 4)), "GIF")
    huge = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\2\x4c\1\0;"
    assert open_source(first[:-1] + huge, LIMIT).info.pages == 2
    with pytest.raises(ImageTooLargeError, match="60000 × 60000"):
        open_source(first[:-1] + huge, LIMIT, 2)


def test_a_gif_is_counted_as_far_as_it_is_whole() -> None:
    body = animation("GIF")
    assert len(gif_frames(body)) == 3
    assert {len(gif_frames(body[:length])) for length in range(len(body))} == {0, 1, 2, 3}


def test_a_gif_cut_into_too_many_blocks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pillow_inputs, "_MAX_GIF_BLOCKS", 3)
    with pytest.raises(UnreadableImageError, match="more than 3 blocks"):
        open_source(animation("GIF"), LIMIT)


def test_a_window_is_the_part_of_the_whole() -> None:
    body = save(Image.fromarray(blocks()), "PNG")
    part = open_source(body, LIMIT).read(Window(5, 7, 11, 13))
    np.testing.assert_array_equal(part, blocks()[5:16, 7:20])


def test_a_gif_whose_frame_is_larger_than_its_screen_is_measured_by_the_frame() -> None:
    body = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b","
    body += struct.pack("<HHHHB", 0, 0, 50_000, 50_000, 0) + b"\2\2\x4c\1\0;"
    with pytest.raises(ImageTooLargeError):
        open_source(body, LIMIT)


def test_frames_beyond_the_first_are_not_looked_at() -> None:
    first = save(Image.new("P", (4, 4)), "GIF")
    huge = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\2\x4c\1\0;"
    assert decode(first[:-1] + huge, 3, LIMIT).shape == (4, 4, 3)
