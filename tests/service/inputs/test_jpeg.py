"""JPEG: the pixels that Pillow would give, and scans counted where they are."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from service.domain.errors import InvalidOptionError, ServiceError, UnreadableImageError
from service.domain.source import Samples, Window
from service.inputs import decode, jpeg, open_source, opens_at_once
from service.inputs.jpeg import PlainJpegSource, plain_header
from tests.service.inputs.files import LIMIT, LOSSY, blocks, save


def test_an_adobe_cmyk_jpeg_is_inverted_back() -> None:
    body = save(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95)
    assert b"Adobe" in body
    np.testing.assert_allclose(decode(body, 3, LIMIT)[8, 8], (0, 255, 255), atol=6)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    body = save(Image.fromarray(blocks()), "JPEG", progressive=True)
    scan = body.index(b"\xff\xda")
    body = body[:scan] + body[scan:-2] * 100 + body[-2:]
    with pytest.raises(UnreadableImageError, match="scans"):
        decode(body, 3, LIMIT)


def test_a_jpeg_whose_header_takes_long_to_read_is_not_called_cheap() -> None:
    body = save(Image.fromarray(blocks()), "JPEG")
    assert opens_at_once(body)
    assert opens_at_once(bytearray(body))
    for padding in (b"\xff\xe5\x00\x02" * 50, b"\xff" * 50, b"\xff\xe1\xff\xff" + bytes(65_533)):
        padded = body[:2] + padding + body[2:]
        assert not opens_at_once(padded)
        np.testing.assert_array_equal(decode(padded, 3, LIMIT), decode(body, 3, LIMIT))
    for length in range(body.index(b"\xff\xda") + 4):
        assert not opens_at_once(body[:length])


def by_pillow(body: bytes, channels: int) -> NDArray[np.uint8]:
    """As `decode`, with all left to Pillow as other types are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "decoded", lambda *_: None)
        return decode(body, channels, LIMIT)


def noise_over_blocks(height: int, width: int) -> Image.Image:
    noise = np.random.default_rng(7).integers(-60, 60, (height, width, 3))
    return Image.fromarray(np.clip(blocks(height, width) + noise, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2", "quality": 30},
        {"subsampling": "4:2:0", "quality": 98},
        {"subsampling": "4:1:1", "optimize": True},
        {"progressive": True},
        {"restart_marker_rows": 1},
        {"keep_rgb": True},
    ],
    ids=str,
)
def test_jpeg_gives_the_pixels_that_pillow_gives(
    options: dict[str, Any], mode: str, channels: int
) -> None:
    for size in [(1, 1), (7, 9), (16, 16), (53, 71)]:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = size[1] % 8 + 1
        body = save(noise_over_blocks(*size).convert(mode), "JPEG", exif=exif, **options)
        np.testing.assert_array_equal(decode(body, channels, LIMIT), by_pillow(body, channels))


@settings(max_examples=150)
@given(place=st.integers(2, 1500), value=st.integers(0, 255), cut=st.integers(0, 400))
def test_a_damaged_jpeg_is_shown_or_refused_as_pillow_does(
    place: int, value: int, cut: int
) -> None:
    body = bytearray(save(noise_over_blocks(40, 56), "JPEG", quality=40))
    body[place % len(body)] = value
    if cut < 100:
        del body[len(body) - cut :]

    def outcome(read: Callable[[], NDArray[np.uint8]]) -> object:
        try:
            return read().tolist()
        except ServiceError as error:
            return str(error)

    expected = outcome(lambda: by_pillow(bytes(body), 3))
    assert outcome(lambda: decode(bytes(body), 3, LIMIT)) == expected


def noise(size: int) -> bytes:
    """As good as an encoded film: it holds what looks like the start of a scan 16 times a MiB."""
    return np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes()


def app_segments(count: int, marker: int = 0xE3) -> bytes:
    """As thermal cameras write their raw pictures."""
    return b"".join(
        bytes([0xFF, marker]) + (65_535).to_bytes(2) + noise(65_533) for _ in range(count)
    )


MANY_FALSE_SCANS = b"\xff\xda" * 200

WITH_OTHER_DATA: dict[str, Callable[[bytes], bytes]] = {
    "a film behind the picture": lambda jpeg: jpeg + b"MotionPhoto_Data" + noise(2**22),
    "false scans behind the picture": lambda jpeg: jpeg + MANY_FALSE_SCANS,
    "raw pictures in APP3": lambda jpeg: jpeg[:2] + app_segments(60) + jpeg[2:],
    "raw pictures in APP1": lambda jpeg: jpeg[:2] + app_segments(60, 0xE1) + jpeg[2:],
    "false scans in a comment": lambda jpeg: (
        jpeg[:2]
        + b"\xff\xfe"
        + (2 + len(MANY_FALSE_SCANS)).to_bytes(2)
        + MANY_FALSE_SCANS
        + jpeg[2:]
    ),
    "fill bytes before a marker": lambda jpeg: jpeg[:2] + b"\xff" * 7 + jpeg[2:],
    "a whole other picture behind it": lambda jpeg: jpeg + jpeg * 150,
}


@pytest.mark.parametrize("name", WITH_OTHER_DATA)
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"keep_rgb": True}], ids=str
)
def test_what_is_no_scan_of_the_picture_is_not_counted(name: str, options: dict[str, Any]) -> None:
    jpeg = save(noise_over_blocks(40, 56), "JPEG", **options)
    np.testing.assert_array_equal(
        decode(WITH_OTHER_DATA[name](jpeg), 3, LIMIT), decode(jpeg, 3, LIMIT)
    )


@pytest.mark.parametrize("hidden", ["plain", "behind restarts", "behind fill bytes", "film behind"])
def test_scans_are_counted_however_they_are_hidden(hidden: str) -> None:
    body = save(noise_over_blocks(40, 56), "JPEG", progressive=True, restart_marker_rows=1)
    first = body.index(b"\xff\xda")
    scans = body[first:-2] * 40
    if hidden == "behind restarts":
        scans = scans.replace(b"\xff\xda", b"\xff\xd0\xff\xda")
    elif hidden == "behind fill bytes":
        scans = scans.replace(b"\xff\xda", b"\xff\xff\xff\xda")
    film = noise(1000) if hidden == "film behind" else b""
    with pytest.raises(UnreadableImageError, match="scans"):
        open_source(body[:first] + scans + body[-2:] + film, LIMIT)


def test_the_pictures_of_a_stereo_pair_are_no_pages() -> None:
    body = LOSSY["mpo"](Image.fromarray(blocks()))
    source = open_source(body, LIMIT)
    assert (source.info.page, source.info.pages) == (1, 1)
    with pytest.raises(InvalidOptionError, match="The JPEG has one page; page 2"):
        open_source(body, LIMIT, 2)


def test_a_window_is_the_part_of_the_whole() -> None:
    body = save(noise_over_blocks(40, 56), "JPEG")
    whole = open_source(body, LIMIT).read()
    part = open_source(body, LIMIT).read(Window(5, 7, 11, 13))
    np.testing.assert_array_equal(part, whole[5:16, 7:20])


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_bands_are_known_before_the_pixels_are(mode: str) -> None:
    source = open_source(save(Image.new(mode, (3, 2)), "JPEG"), LIMIT)
    assert source.read().shape == (2, 3, source.bands)


def smooth(height: int, width: int, mode: str, orientation: int) -> bytes:
    """A JPEG without fine detail, so that every way of shrinking it is much alike."""
    coarse = np.random.default_rng(5).integers(0, 256, (height // 16 + 2, width // 16 + 2, 3))
    image = Image.fromarray(coarse.astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return save(image.convert(mode), "JPEG", quality=95, exif=exif)


def area_mean(picture: Samples, start: tuple[int, int], step: int) -> NDArray[np.float64]:
    """The mean of each whole square of `step` pixels from `start` on."""
    part = picture[start[0] :, start[1] :]
    height, width = part.shape[0] // step, part.shape[1] // step
    squares = part[: height * step, : width * step].reshape(height, step, width, step, -1)
    means: NDArray[np.float64] = squares.mean(axis=(1, 3))
    return means


@pytest.mark.parametrize("by_pillow_alone", [False, True])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_scaled_jpeg_is_the_whole_one_shrunk_and_lies_where_it_lay(
    orientation: int, mode: str, by_pillow_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_pillow_alone:  # as what is damaged is
        monkeypatch.setattr(jpeg, "decoded", lambda *_: None)
    body = smooth(333, 479, mode, orientation)
    whole = open_source(body, LIMIT).read()
    for scale in (0.5, 0.25, 0.125):
        source, step = open_source(body, LIMIT), int(1 / scale)
        overhang = source.overhang(scale)
        samples = source.read(scale=scale)
        sides = math.ceil(source.height * scale), math.ceil(source.width * scale)
        assert samples.shape[:2] == sides
        assert source.overhang(scale) == overhang
        start = (step - overhang[0]) % step, (step - overhang[1]) % step
        expected = area_mean(whole, start, step)
        first = int(overhang[0] > 0), int(overhang[1] > 0)
        found = samples[first[0] :, first[1] :][: expected.shape[0], : expected.shape[1]]
        assert np.abs(found - expected).mean() < 1.5


def test_a_small_jpeg_and_a_cmyk_one_are_decoded_whole() -> None:
    small = open_source(smooth(63, 200, "RGB", 1), LIMIT)
    cmyk = open_source(save(Image.new("CMYK", (100, 100)), "JPEG"), LIMIT)
    assert small.scales == cmyk.scales == (1.0,)


@pytest.mark.parametrize(("small_pixels", "expected"), [(0, True), (2**22, False)])
def test_of_large_damaged_pictures_one_is_read_at_a_time(
    small_pixels: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their memory is not counted."""
    locked: list[bool] = []

    def load(image: JpegImageFile) -> object:
        locked.append(jpeg._one_uncounted.locked())  # noqa: SLF001
        return really_load(image)

    really_load = JpegImageFile.load
    monkeypatch.setattr(JpegImageFile, "load", load)
    monkeypatch.setattr(jpeg, "_SMALL_PIXELS", small_pixels)
    by_pillow(save(Image.fromarray(blocks()), "JPEG"), 3)
    assert locked[0] == expected


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_of_a_plain_jpeg_nobody_asks_pillow(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = save(noise_over_blocks(70, 90).convert(mode), "JPEG", comment=b"of a tool")
    expected = by_pillow(body, 3)
    monkeypatch.setattr(jpeg, "open_with_pillow", None)
    source = open_source(body, LIMIT)
    assert isinstance(source, PlainJpegSource)
    assert (source.height, source.width, source.bands) == (70, 90, len(mode))
    np.testing.assert_array_equal(decode(body, 3, LIMIT), expected)


def test_what_changes_how_a_jpeg_is_shown_is_left_to_pillow() -> None:
    image = Image.fromarray(blocks())
    plain = save(image, "JPEG")
    frame = plain.index(b"\xff\xc0")
    end = frame + 2 + int.from_bytes(plain[frame + 2 : frame + 4])
    twice = plain[:end] + plain[frame:]
    flat = plain[: frame + 5] + bytes(2) + plain[frame + 7 :]  # of no height
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    others = [
        save(image, "JPEG", exif=exif),
        save(image, "JPEG", progressive=True),
        save(image.convert("CMYK"), "JPEG"),
        save(image, "JPEG", icc_profile=bytes(200)),
        twice,
        flat,
        plain[:frame],
    ]
    assert plain_header(plain) is not None
    assert [plain_header(other) for other in others] == [None] * len(others)
