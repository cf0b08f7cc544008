"""Every form of TIFF is read as what it is, or refused with what it is."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.domain.errors import (
    ImageTooLargeError,
    InvalidOptionError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)
from service.domain.source import Window
from service.inputs import decode, open_source, read_image
from service.inputs.pixels import turn_upright
from service.inputs.tiff_directory import read_directories
from tests.pictures import (
    BLACK_IS_ZERO,
    CIELAB,
    CMYK,
    FLOAT,
    PALETTE,
    RGB,
    SIGNED,
    UNSIGNED,
    WHITE_IS_ZERO,
    TiffPage,
    tiff,
    twelve_bit_tiff,
)
from tests.service.inputs.files import LIMIT, save

DRAW = np.random.default_rng(3)
COLOR = DRAW.integers(0, 256, (9, 11, 3))
GRAY = COLOR[..., :1]
ALPHA = DRAW.integers(1, 256, (9, 11, 1))

ORDERS = pytest.mark.parametrize("order", ["<", ">"])
LAYOUTS = pytest.mark.parametrize("is_planar", [False, True], ids=["pixels", "planes"])
DEPTHS = pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])


def deep(samples: NDArray[np.int64], bits: int) -> NDArray[np.generic]:
    """8-bit samples in the upper of more bits, the lower filled with noise that must not count."""
    noise = DRAW.integers(0, 2 ** (bits - 8), samples.shape)
    return (samples << (bits - 8) | noise).astype(np.uint8 if bits == 8 else np.uint16)


def joined(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate(parts, axis=-1)


def by_luma(color: NDArray[np.int64]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(color.astype(np.uint8)).convert("L"))[..., None]


@ORDERS
@LAYOUTS
@DEPTHS
@pytest.mark.parametrize("extra", [(), (0,), (2,), (0, 0)], ids=str)
def test_rgb_is_read_in_every_depth_layout_and_byte_order(
    order: str, is_planar: bool, bits: int, extra: tuple[int, ...]
) -> None:
    samples = joined(COLOR, *[ALPHA] * len(extra))
    body = tiff(TiffPage(deep(samples, bits), bits, RGB, is_planar, extra=extra), order=order)
    np.testing.assert_array_equal(decode(body, 3, LIMIT), COLOR)
    np.testing.assert_array_equal(decode(body, 1, LIMIT), by_luma(COLOR))


@ORDERS
@LAYOUTS
@DEPTHS
@pytest.mark.parametrize("extra", [(), (0,), (2,)], ids=str)
@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, WHITE_IS_ZERO], ids=["black", "white"])
def test_gray_is_read_with_black_or_white_at_zero(
    order: str, is_planar: bool, bits: int, extra: tuple[int, ...], photometric: int
) -> None:
    stored = deep(joined(GRAY, *[ALPHA] * len(extra)), bits)
    body = tiff(TiffPage(stored, bits, photometric, is_planar, extra=extra), order=order)
    expected = GRAY if photometric == BLACK_IS_ZERO else 255 - GRAY
    np.testing.assert_array_equal(decode(body, 1, LIMIT), expected)
    np.testing.assert_array_equal(decode(body, 3, LIMIT), np.repeat(expected, 3, axis=-1))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("photometric", [BLACK_IS_ZERO, WHITE_IS_ZERO], ids=["black", "white"])
def test_gray_of_few_bits_is_scaled_to_the_full_range(bits: int, photometric: int) -> None:
    white = 2**bits - 1
    stored = np.array([[[0], [white], [white // 2]]])
    expected = np.array([0, 255, white // 2 * 255 // white])
    if photometric == WHITE_IS_ZERO:
        expected = np.array([255, 0, (white - white // 2) * 255 // white])
    body = tiff(TiffPage(stored, bits, photometric))
    assert decode(body, 1, LIMIT).ravel().tolist() == expected.tolist()


@LAYOUTS
@pytest.mark.parametrize("bits", [8, 16])
def test_cmyk_is_read_in_both_depths_and_layouts(is_planar: bool, bits: int) -> None:
    ink = joined(COLOR, ALPHA)
    expected = np.asarray(Image.fromarray(ink.astype(np.uint8), "CMYK").convert("RGB"))
    page = TiffPage(ink * (257 if bits == 16 else 1), bits, CMYK, is_planar)
    stored = TiffPage(page.samples.astype(f"u{bits // 8}"), bits, CMYK, is_planar)
    difference = decode(tiff(stored), 3, LIMIT).astype(int) - expected
    assert np.abs(difference).max() <= 1


@LAYOUTS
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("photometric", [RGB, BLACK_IS_ZERO], ids=["rgb", "gray"])
def test_color_that_was_multiplied_by_its_alpha_is_divided_by_it(
    is_planar: bool, bits: int, photometric: int
) -> None:
    color = COLOR if photometric == RGB else GRAY
    white = 2**bits - 1
    exact = color * (white // 255)
    alpha = np.full_like(GRAY, white // 2)
    stored = joined(exact * alpha // white, alpha).astype(f"u{bits // 8}")
    body = tiff(TiffPage(stored, bits, photometric, is_planar, extra=(1,)))
    pixels = decode(body, color.shape[-1], LIMIT).astype(int)
    assert np.abs(pixels - color).max() <= 2


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_a_palette_gives_its_colors(bits: int) -> None:
    size = 2**bits
    colors = DRAW.integers(0, 256, (size, 3))
    indexes = DRAW.integers(0, size, (9, 11, 1))
    stored = indexes.astype(np.uint16 if bits == 16 else np.uint8)
    body = tiff(TiffPage(stored, bits, PALETTE, tags={320: (colors.T * 257).ravel().tolist()}))
    np.testing.assert_array_equal(decode(body, 3, LIMIT), colors[indexes[..., 0]])


def test_sixteen_bit_gray_keeps_its_upper_byte_beside_anything() -> None:
    body = tiff(TiffPage(np.array([[[0x0102], [0xFE00]]], np.uint16), 16))
    assert decode(body, 1, LIMIT).ravel().tolist() == [0x01, 0xFE]
    assert open_source(body, LIMIT).info.significant_bits is None


def test_twelve_bit_gray_is_scaled_by_its_twelve_bits() -> None:
    assert decode(twelve_bit_tiff(), 1, LIMIT)[..., 0].tolist() == [[0xFF, 0x01]]
    assert open_source(twelve_bit_tiff(), LIMIT).info.significant_bits == 12


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_packed_sixteen_bit_gray_is_read(compression: str, order: str) -> None:
    values = deep(GRAY, 16).astype(f"{order}u2")
    mode = "I;16" if order == "<" else "I;16B"
    image = Image.frombytes(mode, (11, 9), values.tobytes())
    np.testing.assert_array_equal(
        decode(save(image, "TIFF", compression=compression), 1, LIMIT), GRAY
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("photometric", "bits"),
    [(CMYK, 8), (CMYK, 16)]
    + [
        (one, bits)
        for one in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE)
        for bits in (1, 4, 8, 16)
    ],
)
@LAYOUTS
def test_every_form_is_turned_upright_alike(
    orientation: int, photometric: int, bits: int, is_planar: bool
) -> None:
    count = {RGB: 3, CMYK: 4}.get(photometric, 1)
    samples = DRAW.integers(0, 2**bits, (5, 7, count)).astype(np.uint16 if bits > 8 else np.uint8)
    colors = {320: DRAW.integers(0, 65536, 3 * 2**bits).tolist()} if photometric == PALETTE else {}

    def body(orientation: int) -> bytes:
        tags = {**colors, 274: [orientation]}
        return tiff(TiffPage(samples, bits, photometric, is_planar, tags=tags))

    source = open_source(body(orientation), LIMIT)
    turned = read_image(source, 3)
    np.testing.assert_array_equal(turned, turn_upright(decode(body(1), 3, LIMIT), orientation))
    assert (source.height, source.width) == turned.shape[:2]


@pytest.mark.parametrize(
    ("page", "what"),
    [
        (TiffPage(COLOR.astype(np.int8), 8, RGB, format=SIGNED), "signed pixels of 8 bits"),
        (TiffPage(GRAY.astype(np.int8), 8, format=SIGNED), "signed pixels of 8 bits"),
        (TiffPage(GRAY.astype(np.int16), 16, format=SIGNED), "signed pixels of 16 bits"),
        (
            TiffPage(GRAY.astype(np.float32), 32, WHITE_IS_ZERO, format=FLOAT),
            "floating-point pixels of 32 bits of the kind white is zero",
        ),
        (
            TiffPage(np.repeat(GRAY, 2, axis=-1).astype(np.float16), 16, format=FLOAT, extra=(1,)),
            "floating-point pixels of 16 bits, multiplied by their alpha",
        ),
        (TiffPage(COLOR.astype(np.float32), 32, format=FLOAT), "3 bands of 32 bits .* calls gray"),
        (TiffPage(GRAY.astype(np.uint32), 32), "pixels of 32 bits a channel; at most 16"),
        (TiffPage(COLOR.astype(np.uint8), 8, CIELAB), "pixels of the kind CIELAB"),
        (TiffPage(COLOR.astype(np.uint16), 16, extra=(0, 0)), "3 bands of 16 bits .* calls gray"),
        (TiffPage(COLOR.astype(np.uint16), 16), "3 bands of 16 bits .* calls gray"),
        (TiffPage(COLOR.astype(np.uint8), 8, is_planar=True), "3 bands of 8 bits .* calls gray"),
        (TiffPage(COLOR.astype(np.uint8), 8, WHITE_IS_ZERO), "3 bands of 8 bits .* calls gray"),
        (TiffPage(GRAY.astype(np.uint8), 8, RGB), "called RGB and has 1 samples"),
        (TiffPage(COLOR.astype(np.uint8), 8, RGB, tags={258: [5, 6, 5]}), "depths .5, 6, 5 bits"),
        (TiffPage(GRAY.astype(np.uint16), 16, tags={262: None}), "no PhotometricInterpretation"),
    ],
)
@ORDERS
def test_what_no_rule_brings_to_gray_or_rgb_is_refused_as_what_it_is(
    page: TiffPage, what: str, order: str
) -> None:
    with pytest.raises(UnsupportedImageTypeError, match=what):
        decode(tiff(page, order=order), 3, LIMIT)


def test_whole_numbers_of_more_than_sixteen_bits_are_refused() -> None:
    body = save(Image.new("I", (3, 2), 1), "TIFF")
    with pytest.raises(UnsupportedImageTypeError, match="8 or 16 bits"):
        decode(body, 3, LIMIT)


def page_of(value: int, size: tuple[int, int] = (5, 4), bits: int = 8, **tags: int) -> TiffPage:
    stored = np.full((*size, 1), value << (bits - 8), np.uint8 if bits == 8 else np.uint16)
    return TiffPage(stored, bits, tags={int(tag[1:]): [number] for tag, number in tags.items()})


@ORDERS
@pytest.mark.parametrize("bits", [8, 16])
def test_a_page_is_chosen_and_the_first_is_the_one_that_is_meant(order: str, bits: int) -> None:
    stack = tiff(*[page_of(value, (5 + value, 4), bits) for value in (1, 2, 3)], order=order)
    first = open_source(stack, LIMIT)
    assert (first.info.page, first.info.pages) == (1, 3)
    assert (read_image(first, 1) == 1).all()
    for page in (1, 2, 3):
        source = open_source(stack, LIMIT, page)
        assert (source.info.page, source.info.pages, source.height) == (page, 3, 5 + page)
        pixels = read_image(source, 1)
        assert pixels.shape == (5 + page, 4, 1)
        assert (pixels == page).all()
    with pytest.raises(InvalidOptionError, match="has 3 pages; page 4"):
        open_source(stack, LIMIT, 4)


def test_smaller_copies_and_masks_are_no_pages() -> None:
    body = tiff(page_of(9, t254=1), page_of(1), page_of(2, t254=1), page_of(3, t254=4), page_of(4))
    assert open_source(body, LIMIT).info.pages == 2
    assert (decode(body, 1, LIMIT) == 1).all()
    assert (read_image(open_source(body, LIMIT, 2), 1) == 4).all()


def test_a_raw_photograph_is_not_taken_for_its_preview() -> None:
    with pytest.raises(UnsupportedImageTypeError, match="previews alone"):
        open_source(tiff(page_of(1, t254=1, t330=8)), LIMIT)
    assert (decode(tiff(page_of(1, t254=1)), 1, LIMIT) == 1).all()


def test_each_page_is_held_to_the_limit_of_pixels() -> None:
    body = tiff(page_of(1), page_of(2, (50, 50)))
    assert open_source(body, 100).height == 5
    with pytest.raises(ImageTooLargeError, match="50 × 50"):
        open_source(body, 100, 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiles_larger_than_the_limit_are_refused_before_they_are_decoded(bits: int) -> None:
    with pytest.raises(ImageTooLargeError, match="tiles of 2000 × 2000"):
        open_source(tiff(page_of(1, bits=bits, t322=2000, t323=2000)), LIMIT)


@LAYOUTS
@pytest.mark.parametrize("bits", [8, 16])
def test_a_file_cut_short_is_refused(is_planar: bool, bits: int) -> None:
    samples = np.tile(deep(COLOR, bits), (20, 20, 1))
    body = tiff(TiffPage(samples, bits, RGB, is_planar))
    directory_at = int.from_bytes(body[4:8], "little")
    header_first = bytearray(body[:8] + body[directory_at:])
    header_first[4:8] = (8).to_bytes(4, "little")
    with pytest.raises(UnreadableImageError):
        decode(body[: len(body) // 3], 3, LIMIT)
    with pytest.raises((UnreadableImageError, UnsupportedImageTypeError)):
        decode(bytes(header_first), 3, LIMIT)


def test_a_window_is_the_part_of_the_whole() -> None:
    for bits in (8, 16):
        for orientation in (1, 6):
            tags = {274: [orientation]}
            body = tiff(TiffPage(deep(COLOR, bits), bits, RGB, is_planar=True, tags=tags))
            whole = open_source(body, LIMIT).read()
            part = open_source(body, LIMIT).read(Window(2, 3, 4, 5))
            np.testing.assert_array_equal(part, whole[2:6, 3:8])


def test_tags_that_claim_more_bytes_than_the_file_has_are_refused() -> None:
    body = bytearray(tiff(page_of(1, t700=1, t701=1)))
    at = body.index((700).to_bytes(2, "little") + b"\x03\x00")
    body[at + 4 : at + 8] = len(body).to_bytes(4, "little")
    with pytest.raises(UnreadableImageError, match="claim more bytes than the file has"):
        read_directories(bytes(body))


def test_a_chain_that_turns_back_ends() -> None:
    body = bytearray(tiff(page_of(1), page_of(2)))
    second = read_directories(bytes(body))[1]
    entries = int.from_bytes(body[second.offset : second.offset + 2], "little")
    link = second.offset + 2 + 12 * entries
    body[link : link + 4] = body[4:8]
    assert len(read_directories(bytes(body))) == 2


def test_unsigned_is_what_a_file_is_that_says_nothing() -> None:
    page = TiffPage(COLOR.astype(np.uint8), 8, RGB, format=UNSIGNED, tags={339: None})
    np.testing.assert_array_equal(decode(tiff(page), 3, LIMIT), COLOR)


@LAYOUTS
@pytest.mark.parametrize(
    ("photometric", "color", "extra"),
    [(BLACK_IS_ZERO, GRAY, 1), (RGB, COLOR, 1), (RGB, COLOR, 2), (RGB, COLOR, 4)],
)
def test_samples_behind_the_color_are_dropped_where_nothing_says_what_they_are(
    is_planar: bool, photometric: int, color: NDArray[np.int64], extra: int
) -> None:
    stored = joined(color, *[ALPHA] * extra).astype(np.uint8)
    body = tiff(TiffPage(stored, 8, photometric, is_planar))
    np.testing.assert_array_equal(decode(body, color.shape[-1], LIMIT), color)


@LAYOUTS
def test_a_palette_with_colors_of_eight_bits_is_not_read_as_black(is_planar: bool) -> None:
    colors = DRAW.integers(0, 256, (256, 3))
    page = TiffPage(
        GRAY.astype(np.uint8), 8, PALETTE, is_planar, tags={320: colors.T.ravel().tolist()}
    )
    np.testing.assert_array_equal(decode(tiff(page), 3, LIMIT), colors[GRAY[..., 0]])


def test_packed_chroma_that_nothing_compresses_is_unpacked() -> None:
    luma = DRAW.integers(16, 235, (8, 8))
    chroma = DRAW.integers(16, 240, (4, 4, 2))
    packed = [
        sample
        for row in range(4)
        for column in range(4)
        for sample in (
            *luma[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].ravel(),
            *chroma[row, column],
        )
    ]
    form = {256: [8], 257: [8], 258: [8, 8, 8], 277: [3], 278: [8], 339: [1, 1, 1], 530: [2, 2]}
    page = TiffPage(np.array(packed, np.uint8).reshape(1, -1, 1), 8, 6, tags=form)
    full = joined(luma[..., None], chroma.repeat(2, axis=0).repeat(2, axis=1)).astype(np.uint8)
    expected = np.asarray(Image.fromarray(full, "YCbCr").convert("RGB")).astype(int)
    assert np.abs(decode(tiff(page), 3, LIMIT) - expected).max() <= 1


def test_other_inks_than_those_of_cmyk_are_refused() -> None:
    page = TiffPage(joined(COLOR, ALPHA).astype(np.uint8), 8, CMYK, tags={332: [2]})
    with pytest.raises(UnsupportedImageTypeError, match="other inks"):
        decode(tiff(page), 3, LIMIT)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_what_pillow_writes_is_read_as_it_was(mode: str, compression: str) -> None:
    image = Image.fromarray(COLOR.astype(np.uint8)).convert(mode)
    body = save(image, "TIFF", compression=compression)
    plain = image.convert("L") if mode == "LA" else image
    difference = decode(body, 3, LIMIT).astype(int) - np.asarray(plain.convert("RGB"))
    assert np.abs(difference).max() <= 1


def test_the_bits_that_the_file_states_are_known() -> None:
    samples = np.arange(35, dtype=np.uint16).reshape(5, 7, 1)
    plain = tiff(TiffPage(samples, 16))
    assert open_source(plain, LIMIT).info.significant_bits is None
    stated = tiff(TiffPage(samples, 16, tags={281: [4095]}))
    assert open_source(stated, LIMIT).info.significant_bits == 12
    text = '<OME><Image><Pixels SizeX="7" SignificantBits="14"></Pixels></Image></OME>'
    ome = save(Image.fromarray(samples[..., 0]), "TIFF", tiffinfo={270: text})
    assert open_source(ome, LIMIT).info.significant_bits == 14
