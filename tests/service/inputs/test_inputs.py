import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from service.domain.errors import (
    ImageTooLargeError,
    ServiceError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.inputs import (
    INPUTS,
    decode,
    open_source,
    read_image,
    readable_suffixes,
    readable_types,
)
from tests.service.inputs.files import (
    HEIGHT,
    LIMIT,
    LOSSLESS,
    LOSSY,
    WIDTH,
    blocks,
    jpeg_claiming,
    png,
    save,
)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_types_give_their_pixels(name: str) -> None:
    body = LOSSLESS[name](Image.fromarray(blocks()))
    np.testing.assert_array_equal(decode(body, 3, LIMIT), blocks())


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_types_give_nearly_their_pixels(name: str) -> None:
    body = LOSSY[name](Image.fromarray(blocks()))
    difference = np.abs(decode(body, 3, LIMIT).astype(int) - blocks())
    assert np.median(difference) <= 6
    assert np.mean(difference) <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP", "JPEG", "AVIF"])
def test_every_exif_orientation_is_turned_upright(orientation: int, file_format: str) -> None:
    upright = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    stored: dict[int, NDArray[np.uint8]] = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored[orientation]))
    good: dict[str, Any] = {"quality": 100, "subsampling": "4:4:4"}
    options = {"WEBP": {"lossless": True}, "JPEG": good, "AVIF": good}.get(file_format, {})
    source = open_source(save(image, file_format, exif=exif, **options), LIMIT)
    assert (source.height, source.width) == upright.shape[:2]
    difference = read_image(source, 3).astype(int) - upright
    assert np.abs(difference).max() <= (3 if file_format in ("JPEG", "AVIF") else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_a_damaged_exif_block_is_passed_over() -> None:
    body = save(
        Image.fromarray(blocks()), "JPEG", quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"
    )
    assert decode(body, 3, LIMIT).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(file_format: str) -> None:
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue", "lime")]
    options = {"lossless": True} if file_format == "WEBP" else {}
    body = save(frames[0], file_format, save_all=True, append_images=frames[1:], **options)
    assert (decode(body, 3, LIMIT) == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_body_is_read(
    kind: Callable[[bytes], bytes | bytearray | memoryview],
) -> None:
    np.testing.assert_array_equal(
        decode(kind(LOSSLESS["png"](Image.fromarray(blocks()))), 3, LIMIT), blocks()
    )


def test_a_picture_higher_than_one_band_is_whole() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1100, 1024, 3), np.uint8)
    body = save(Image.fromarray(picture), "BMP")
    np.testing.assert_array_equal(decode(body, 3, 2_000_000), picture)


# What is refused, and why.


@pytest.mark.parametrize(
    "body",
    [b"hello, world", b"%PDF-1.7", b"<svg/>", b"%!PS-Adobe-3.0 EPSF", b"8BPS\0\1", b"\0" * 99],
)
def test_other_files_are_no_image_type_we_read(body: bytes) -> None:
    with pytest.raises(UnsupportedImageTypeError, match="JPEG, PNG"):
        decode(body, 3, LIMIT)


def test_an_empty_body_is_said_to_be_empty() -> None:
    with pytest.raises(UnreadableImageError, match="empty"):
        decode(b"", 3, LIMIT)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_a_truncated_file_is_refused(name: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    body = (LOSSLESS | LOSSY)[name](Image.fromarray(picture))
    with pytest.raises(UnreadableImageError):
        decode(body[: len(body) // 3], 3, LIMIT)


def test_a_truncated_jpeg_is_said_to_be_truncated() -> None:
    body = LOSSY["jpeg"](
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    )
    with pytest.raises(UnreadableImageError, match="truncated"):
        decode(body[:-100], 3, LIMIT)


def test_corrupt_pixels_are_said_to_be_corrupt() -> None:
    body = png((4, 4, 8, 2), (b"IDAT", b"this is not deflated data"))
    with pytest.raises(UnreadableImageError, match="corrupt"):
        decode(body, 3, LIMIT)


@pytest.mark.parametrize(
    "body",
    [
        png((0, 5, 8, 2), (b"IDAT", zlib.compress(b""))),
        b"GIF89a" + struct.pack("<HH", 0, 5) + bytes(20),
        b"BM" + bytes(12) + struct.pack("<Iii", 40, 5, 0) + bytes(40),
    ],
)
def test_a_zero_sized_picture_is_said_to_be_so(body: bytes) -> None:
    with pytest.raises(UnreadableImageError, match=r"0 × 5|5 × 0"):
        decode(body, 3, LIMIT)


HUGE = {
    "png": png((60_000, 60_000, 8, 2), (b"IDAT", zlib.compress(bytes(100)))),
    "jpeg": jpeg_claiming(60_000, 60_000),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b","
    + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\2\x4c\1\0;",
    "bmp": b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0) + bytes(20),
}  # fmt: skip


@pytest.mark.parametrize("name", HUGE)
def test_a_small_file_claiming_sixty_thousand_squared_is_refused_by_its_header(name: str) -> None:
    assert len(HUGE[name]) < 1024
    with pytest.raises(
        ImageTooLargeError, match="60000 × 60000 = 3,600,000,000 pixels; the limit is 100,000,000"
    ):
        open_source(HUGE[name], 100_000_000)


def test_the_pixel_limit_is_exact() -> None:
    body = save(Image.new("L", (10, 10)), "PNG")
    assert open_source(body, 100).width == 10
    with pytest.raises(ImageTooLargeError):
        open_source(body, 99)


def test_a_picture_above_pillow_s_own_limit_and_below_ours_is_read() -> None:
    assert open_source(jpeg_claiming(20_000, 20_000), 500_000_000).width == 20_000


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_a_compressed_metadata_bomb_is_refused(kind: bytes) -> None:
    bomb = b"name\0\0" + zlib.compress(bytes(50_000_000))
    body = png((2, 1, 8, 0), (kind, bomb), (b"IDAT", zlib.compress(bytes(3))))
    with pytest.raises(UnreadableImageError, match="unpacks to more than 1 MiB"):
        decode(body, 3, LIMIT)


def test_truncated_images_stay_refused_by_pillow_itself() -> None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


SAMPLES = [make(Image.fromarray(blocks())) for make in (*LOSSLESS.values(), *LOSSY.values())]


@settings(max_examples=300)
@given(st.sampled_from(SAMPLES), st.data())
def test_damaged_files_raise_nothing_but_errors_a_caller_may_read(
    sample: bytes, data: st.DataObject
) -> None:
    body = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.integers(1, len(body)))]
    try:
        pixels = decode(body, 3, LIMIT)
    except ServiceError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3


# The table.


def test_every_file_is_opened_by_the_row_of_its_type() -> None:
    for name, make in {**LOSSLESS, **LOSSY}.items():
        source = open_source(make(Image.fromarray(blocks())), LIMIT)
        assert source.type.lower() in name.replace("mpo", "jpeg")
        assert (source.height, source.width, source.bands) == (HEIGHT, WIDTH, 3)


def test_rows_share_neither_names_nor_suffixes() -> None:
    suffixes = [suffix for row in INPUTS.values() for suffix in row.suffixes]
    assert len(suffixes) == len(set(suffixes)) == len(readable_suffixes())
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)
    assert all(row.media_types and name == row.name for name, row in INPUTS.items())
    assert readable_types() == "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC"


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"%PDF-1.7 and more", "a PDF document"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "a film"),
        (bytes(128) + b"DICM" + bytes(9), "a DICOM file"),
        (b"photo.jpg", "an @ before it sends the file"),
        (b"<svg xmlns=''/>", "an SVG"),
    ],
)
def test_what_is_sent_in_place_of_an_image_is_called_by_its_name(body: bytes, what: str) -> None:
    with pytest.raises(UnsupportedImageTypeError, match=what):
        open_source(body, LIMIT)
