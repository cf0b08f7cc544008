import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pillow_heif
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
from service.inputs import decode as decode_module
from service.inputs.decode import decode, has_cheap_header, open_image
from tests.pictures import twelve_bit_tiff

LIMIT = 1_000_000
HEIGHT, WIDTH = 24, 40


def blocks(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """Four flat quarters, red, green, blue and white: lossy formats keep them nearly."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (250, 10, 10)
    picture[: height // 2, width // 2 :] = (10, 250, 10)
    picture[height // 2 :, : width // 2] = (10, 10, 250)
    picture[height // 2 :, width // 2 :] = (250, 250, 250)
    return picture


def save(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def heic(image: Image.Image) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95)
    return file.getvalue()


def png(header: tuple[int, ...], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG put together by hand. `header` is width, height, depth, colour type."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", *header, 0, 0, 0)), *chunks, (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


LOSSLESS: dict[str, Callable[[Image.Image], bytes]] = {
    "png": lambda image: save(image, "PNG"),
    "palette png": lambda image: save(image.convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
    "rgba png": lambda image: save(image.convert("RGBA"), "PNG"),
    "webp": lambda image: save(image, "WEBP", lossless=True),
    "tiff": lambda image: save(image, "TIFF"),
    "tiff lzw": lambda image: save(image, "TIFF", compression="tiff_lzw"),
    "bmp": lambda image: save(image, "BMP"),
    "gif": lambda image: save(image.convert("P", palette=Image.Palette.ADAPTIVE), "GIF"),
}
LOSSY: dict[str, Callable[[Image.Image], bytes]] = {
    "jpeg": lambda image: save(image, "JPEG", quality=95),
    "progressive jpeg": lambda image: save(image, "JPEG", quality=95, progressive=True),
    "cmyk jpeg": lambda image: save(image.convert("CMYK"), "JPEG", quality=95),
    "cmyk tiff": lambda image: save(image.convert("CMYK"), "TIFF"),
    "ycbcr tiff": lambda image: save(image.convert("YCbCr"), "TIFF"),
    "webp": lambda image: save(image, "WEBP", quality=95),
    "avif": lambda image: save(image, "AVIF", quality=95),
    "heic": heic,
    "mpo": lambda image: save(
        image, "MPO", save_all=True, append_images=[Image.new("RGB", image.size)]
    ),
}


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


def test_an_adobe_cmyk_jpeg_is_inverted_back() -> None:
    body = save(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG", quality=95)
    assert b"Adobe" in body
    np.testing.assert_allclose(decode(body, 3, LIMIT)[8, 8], (0, 255, 255), atol=6)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_gray_png_depths_are_scaled_to_the_full_range(depth: int) -> None:
    row = bytes([0, 0xFF])  # filter "none", then the brightest pixels
    body = png((8 // depth, 1, depth, 0), (b"IDAT", zlib.compress(row)))
    assert decode(body, 1, LIMIT).tolist() == [[[255]] * (8 // depth)]


def test_sixteen_bit_gray_keeps_its_upper_byte_whatever_else_is_in_the_picture() -> None:
    values = np.array([[0x0000, 0x00FF, 0x0100, 0x1234]], np.uint16)
    alone = decode(save(Image.fromarray(values), "PNG"), 1, LIMIT)
    assert alone[..., 0].tolist() == [[0x00, 0x00, 0x01, 0x12]]
    beside_white = np.array([[0x0000, 0x00FF, 0x0100, 0x1234, 0xFFFF]], np.uint16)
    assert decode(save(Image.fromarray(beside_white), "PNG"), 3, LIMIT)[0, :, 1].tolist() == [
        0,
        0,
        1,
        0x12,
        0xFF,
    ]


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_gray_tiffs_of_both_byte_orders_agree(order: str) -> None:
    values = np.array([[0x0102, 0xFE00]], f"{order}u2")
    image = Image.frombytes("I;16" if order == "<" else "I;16B", (2, 1), values.tobytes())
    assert decode(save(image, "TIFF"), 1, LIMIT)[..., 0].tolist() == [[0x01, 0xFE]]


def test_twelve_bit_gray_is_scaled_by_its_twelve_bits() -> None:
    assert decode(twelve_bit_tiff(), 1, LIMIT)[..., 0].tolist() == [[0xFF, 0x01]]


def test_sixteen_bit_colour_keeps_its_upper_bytes() -> None:
    row = b"\0" + struct.pack(">6H", 0x1234, 0xFFFF, 0x00FF, 0, 0x8000, 0x7FFF)
    body = png((2, 1, 16, 2), (b"IDAT", zlib.compress(row)))
    assert decode(body, 3, LIMIT).tolist() == [[[0x12, 0xFF, 0x00], [0x00, 0x80, 0x7F]]]


@pytest.mark.parametrize(("mode", "clear"), [("RGBA", (90, 90, 90, 0)), ("LA", (90, 0))])
def test_alpha_is_dropped_and_the_colours_under_it_kept(mode: str, clear: tuple[int, ...]) -> None:
    body = save(Image.new(mode, (3, 2), clear), "PNG")
    assert (decode(body, 3, LIMIT) == 90).all()


def test_a_transparent_palette_entry_keeps_its_colour() -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 90, 90, 90])
    assert (decode(save(image, "PNG", transparency=bytes([0, 0])), 3, LIMIT) == 90).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
def test_a_gray_model_gets_luma(mode: str) -> None:
    image = Image.new("RGB", (3, 2), (200, 100, 50)).convert(mode)
    body = save(image, "TIFF")
    pixels = decode(body, 1, LIMIT)
    assert pixels.shape == (2, 3, 1)
    if mode not in ("1", "P"):
        np.testing.assert_allclose(pixels, 0.299 * 200 + 0.587 * 100 + 0.114 * 50, atol=1.5)


def test_gray_becomes_three_equal_channels_for_an_rgb_model() -> None:
    body = save(Image.new("L", (3, 2), 77), "JPEG", quality=95)
    assert (decode(body, 3, LIMIT) == 77).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
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
    options = {"lossless": True} if file_format == "WEBP" else {}
    body = save(image, file_format, exif=exif, **options)
    np.testing.assert_array_equal(decode(body, 3, LIMIT), upright)


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


def jpeg_claiming(width: int, height: int) -> bytes:
    body = bytearray(save(Image.new("RGB", (8, 8)), "JPEG"))
    start = body.index(b"\xff\xc0")
    body[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(body)


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
        open_image(HUGE[name], 100_000_000)


def test_the_pixel_limit_is_exact() -> None:
    body = save(Image.new("L", (10, 10)), "PNG")
    assert open_image(body, 100).pixels == 100
    with pytest.raises(ImageTooLargeError):
        open_image(body, 99)


def test_a_picture_above_pillow_s_own_limit_and_below_ours_is_read() -> None:
    assert open_image(jpeg_claiming(20_000, 20_000), 500_000_000).pixels == 400_000_000


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_a_compressed_metadata_bomb_is_refused(kind: bytes) -> None:
    bomb = b"name\0\0" + zlib.compress(bytes(50_000_000))
    body = png((2, 1, 8, 0), (kind, bomb), (b"IDAT", zlib.compress(bytes(3))))
    with pytest.raises(UnreadableImageError, match="unpacks to more than 1 MiB"):
        decode(body, 3, LIMIT)


def test_a_gif_whose_frame_is_larger_than_its_screen_is_measured_by_the_frame() -> None:
    body = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0) + b","
    body += struct.pack("<HHHHB", 0, 0, 50_000, 50_000, 0) + b"\2\2\x4c\1\0;"
    with pytest.raises(ImageTooLargeError):
        open_image(body, LIMIT)


def test_frames_beyond_the_first_are_not_looked_at() -> None:
    first = save(Image.new("P", (4, 4)), "GIF")
    huge = b"," + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\2\2\x4c\1\0;"
    assert decode(first[:-1] + huge, 3, LIMIT).shape == (4, 4, 3)


def test_a_jpeg_of_a_thousand_scans_is_refused() -> None:
    body = save(Image.fromarray(blocks()), "JPEG", progressive=True)
    scan = body.index(b"\xff\xda")
    body = body[:scan] + body[scan:-2] * 100 + body[-2:]
    with pytest.raises(UnreadableImageError, match="scans"):
        decode(body, 3, LIMIT)


def test_a_jpeg_whose_header_takes_long_to_read_is_not_called_cheap() -> None:
    body = save(Image.fromarray(blocks()), "JPEG")
    assert has_cheap_header(body)
    assert has_cheap_header(bytearray(body))
    for padding in (b"\xff\xe5\x00\x02" * 50, b"\xff" * 50, b"\xff\xe1\xff\xff" + bytes(65_533)):
        padded = body[:2] + padding + body[2:]
        assert not has_cheap_header(padded)
        np.testing.assert_array_equal(decode(padded, 3, LIMIT), decode(body, 3, LIMIT))
    for length in range(body.index(b"\xff\xda") + 4):
        assert not has_cheap_header(body[:length])


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_of_more_than_sixteen_bits_are_refused(mode: str) -> None:
    body = save(Image.new(mode, (3, 2), 1), "TIFF")
    with pytest.raises(UnsupportedImageTypeError, match="8 or 16 bits"):
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


def by_pillow(body: bytes, channels: int) -> NDArray[np.uint8]:
    """As `decode`, with JPEG left to Pillow as all else is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode_module, "_decode_jpeg", lambda *_: None)
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
