"""Turn an uploaded file into pixels: header first, and nothing decoded that is over the limit.

What a model sees of a file, whatever its type:

- The first frame of an animation, the first page of a TIFF, the main picture of a HEIC; turned
  upright by its EXIF orientation. Embedded colour profiles are not applied.
- 8 bits a channel. Deeper pixels keep their upper 8 bits (`value >> 8` of 16, `>> 4` of 12),
  whatever they contain.
- Alpha is dropped, not composited: that is how training reads its images, so a cut-out keeps the
  colours in its file.
- Gray becomes three equal channels for an RGB model; colour becomes ITU-R 601 luma for a gray one.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image
from pillow_heif import HeifImageFile

from service.domain.errors import (
    ImageTooLargeError,
    UnreadableImageError,
    UnsupportedImageTypeError,
)

READABLE_TYPES = "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF or HEIC"

_BAND_PIXELS = 2**20
_MAX_JPEG_SCANS = (
    100  # a progressive camera JPEG has about 10; each scan is a pass over the whole picture
)
_SMALL_FILE_BYTES = 2**18
_SMALL_HEADER_BYTES, _SMALL_HEADER_SEGMENTS = 2**11, 32  # Pillow itself writes 623 and 9 to 10
_START_OF_SCAN = 0xDA
_JPEG_CHANNELS = {"RGB": 3, "L": 1}
_JPEG_COLORS = {3: "RGB", 1: "GRAY"}
_TIFF_TILE_WIDTH, _TIFF_TILE_LENGTH, _TIFF_BITS = 322, 323, 258
_EIGHT_BIT_MODES = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr"}
)
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})


@dataclass(frozen=True)
class OpenImage:
    """A file whose header was read and found within the limits; its pixels are not decoded yet.

    `height` and `width` are those of the picture turned upright, unless its orientation lies behind
    its pixels.
    """

    type: str
    image: Image.Image
    data: bytes

    @property
    def pixels(self) -> int:
        return self.image.width * self.image.height


def decode(
    body: bytes | bytearray | memoryview, channels: int, max_pixels: int
) -> NDArray[np.uint8]:
    """Decode a file to pixels (H, W, `channels`) uint8, with `channels` 3 (RGB) or 1 (gray).

    Raises UnsupportedImageTypeError, ImageTooLargeError (before decoding) or UnreadableImageError.
    """
    return read_pixels(open_image(body, max_pixels), channels)


def has_cheap_header(body: bytes | bytearray | memoryview) -> bool:
    """Whether `open_image` takes a fraction of a millisecond and no more.

    It copies and searches the file, and Pillow reads segment after segment of a JPEG until its first scan: 80 ms where a file of
    that size has nothing else.
    """
    if len(body) > _SMALL_FILE_BYTES:
        return False
    start = bytes(body[:_SMALL_HEADER_BYTES])
    return _sniff(start) == "JPEG" and _scan_is_near(start)


def _scan_is_near(start: bytes) -> bool:
    """Whether the first scan of a JPEG begins within `start`, after a few segments without anything between them."""
    at = len(b"\xff\xd8")
    for _ in range(_SMALL_HEADER_SEGMENTS):
        if at + 4 > len(start) or start[at] != 0xFF:
            return False
        if start[at + 1] == _START_OF_SCAN:
            return True
        at += 2 + int.from_bytes(start[at + 2 : at + 4])
    return False


def open_image(body: bytes | bytearray | memoryview, max_pixels: int) -> OpenImage:
    """Read the header. Raises as `decode` does."""
    data = bytes(body)
    if not data:
        raise UnreadableImageError(
            f"The image is empty (0 bytes). Send the bytes of a {READABLE_TYPES} file."
        )
    image_type = _sniff(data[:64])
    if image_type is None:
        raise UnsupportedImageTypeError(
            f"The bytes are not an image of a type we read. Send {READABLE_TYPES}."
        )
    _refuse_zero_size(image_type, data)
    if image_type == "JPEG":
        _refuse_many_scans(data)
    try:
        image = _OPENERS[image_type](BytesIO(data))
    except Exception as error:  # damaged headers make Pillow raise nearly anything
        raise UnreadableImageError(_open_failure(image_type, error)) from error
    _refuse_large(image, max_pixels)
    return OpenImage(image_type, image, data)


def read_pixels(opened: OpenImage, channels: int) -> NDArray[np.uint8]:
    """Decode the pixels (H, W, `channels`) uint8, upright. Memory beside the result: Pillow's 4
    bytes a pixel; none for an upright JPEG.
    """
    image = opened.image
    stored = _decode_jpeg(opened, channels)
    if stored is not None:
        return _turn_upright(stored, _orientation(image))
    try:
        image.load()
    except Exception as error:  # as above, for damaged pixels
        raise UnreadableImageError(_load_failure(opened.type, error)) from error
    convert = _converter(opened, "RGB" if channels == 3 else "L")
    orientation = _orientation(image)
    height, width = image.height, image.width
    upright = (width, height) if orientation >= 5 else (height, width)
    pixels = np.empty((*upright, channels), np.uint8)
    as_stored = _as_stored(pixels, orientation)
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = convert(image.crop((0, top, width, bottom)))
        as_stored[top:bottom] = band.reshape(bottom - top, width, channels)
    return pixels


def _decode_jpeg(opened: OpenImage, channels: int) -> NDArray[np.uint8] | None:
    """The pixels of a JPEG as stored, or None where Pillow is to decode it.

    libjpeg-turbo straight into our array. Pillow has the same library and the same pixels, and
    takes 1.6 times as long for 480 × 360 and 5 times for 1280 × 960, most of it for copies. What
    is damaged in any way is left to Pillow, which decides whether to show it; so is CMYK.
    """
    if opened.type != "JPEG" or _JPEG_CHANNELS.get(opened.image.mode, 0) != channels:
        return None
    pixels = np.empty((opened.image.height, opened.image.width, channels), np.uint8)
    try:
        # the buffer bounds what is written, should the two readers find different sizes
        simplejpeg.decode_jpeg(opened.data, _JPEG_COLORS[channels], buffer=pixels)
    except ValueError:
        return None
    return pixels


def _turn_upright(stored: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation == 1:
        return stored
    height, width, channels = stored.shape
    upright = np.empty((width, height, channels) if orientation >= 5 else stored.shape, np.uint8)
    _as_stored(upright, orientation)[...] = stored
    return upright


def _sniff(start: bytes) -> str | None:
    """The type by the file's first bytes; names and declared media types are not asked."""
    for prefix, image_type in _PREFIXES:
        if start.startswith(prefix):
            return image_type
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[4:8] == b"ftyp":
        size = int.from_bytes(start[:4], "big")
        brands = {start[8:12], *(start[i : i + 4] for i in range(16, min(size, len(start)), 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            return "HEIC"
    return None


def _refuse_zero_size(image_type: str, data: bytes) -> None:
    if image_type not in _SIZE_FIELDS:
        return
    offset, layout = _SIZE_FIELDS[image_type]
    if len(data) < offset + struct.calcsize(layout):
        return
    width, height = struct.unpack_from(layout, data, offset)
    if width == 0 or height == 0:
        raise UnreadableImageError(
            f"The {image_type} says that it is {width} × {height} pixels. Send an image of at "
            "least 1 × 1."
        )


def _refuse_many_scans(body: bytes) -> None:
    scans = body.count(b"\xff\xda")  # within a scan's data, 0xFF is never followed by this
    if scans > _MAX_JPEG_SCANS:
        raise UnreadableImageError(
            f"The JPEG has {scans} scans; more than {_MAX_JPEG_SCANS} are not decoded. Save it as "
            "a baseline JPEG."
        )


def _refuse_large(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageTooLargeError(
            f"The image is {width} × {height} = {width * height:,} pixels; the limit is {max_pixels:,} pixels. "
            "Send it smaller or in parts."
        )
    tags = getattr(image, "tag_v2", {})
    tile = tags.get(_TIFF_TILE_WIDTH, 0), tags.get(_TIFF_TILE_LENGTH, 0)
    if tile[0] * tile[1] > max_pixels:
        raise ImageTooLargeError(
            f"The TIFF is stored in tiles of {tile[0]} × {tile[1]} pixels; the limit is "
            f"{max_pixels:,} pixels. Save it with smaller tiles, or in strips."
        )


def _open_failure(image_type: str, error: Exception) -> str:
    if "decompressed data too large" in str(error).lower():
        return (
            f"The {image_type} holds a compressed text or colour profile that unpacks to more than "
            "1 MiB. "
            "Save it again without metadata."
        )
    return (
        f"The {image_type}'s header cannot be read: the file is damaged, cut short, or of a kind "
        "we do not decode. "
        "Open and save it with an image editor, and send it again."
    )


def _load_failure(image_type: str, error: Exception) -> str:
    if "truncated" in str(error).lower():
        return (
            f"The {image_type} is truncated: its header is whole, its pixels end early. "
            "Send the whole file."
        )
    return (
        f"The {image_type} is corrupt: its header is whole, its pixels do not decode. "
        "Open and save it with an image editor, and send it again."
    )


def _converter(opened: OpenImage, mode: str) -> Callable[[Image.Image], NDArray[np.uint8]]:
    """How to bring a band of the loaded image to `mode` ("RGB" or "L"), as an array (n, W) or (n,
    W, 3).
    """
    image = opened.image
    if image.mode in _SIXTEEN_BIT_MODES:
        shift = _bits(image) - 8

        def from_sixteen_bits(band: Image.Image) -> NDArray[np.uint8]:
            gray = (np.asarray(band) >> shift).astype(np.uint8)
            return gray if mode == "L" else np.repeat(gray[..., np.newaxis], 3, axis=-1)

        return from_sixteen_bits
    if image.mode not in _EIGHT_BIT_MODES:
        raise UnsupportedImageTypeError(
            f"The {opened.type} has pixels of Pillow's mode {image.mode!r} (such as 32-bit, "
            "floating-point or Lab). "
            "Save it with 8 or 16 bits a channel, gray, RGB or CMYK."
        )
    image.info.pop("transparency", None)  # Pillow would warn that RGB cannot carry it

    def from_eight_bits(band: Image.Image) -> NDArray[np.uint8]:
        if band.mode in (
            "PA",
            "La",
            "RGBa",
        ):  # Pillow converts these by way of their plain forms only
            band = band.convert("LA" if band.mode == "La" else "RGBA")
        return np.asarray(band if band.mode == mode else band.convert(mode))

    return from_eight_bits


def _bits(image: Image.Image) -> int:
    """The depth of a 16-bit gray image; a TIFF may use 12 of them."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_TIFF_BITS, (16,))
    return int(bits[0] if isinstance(bits, tuple) else bits)


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) to 8. As viewers do, a damaged EXIF block is passed over."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # noqa: BLE001  as above
        return 1
    return orientation if orientation in range(1, 9) else 1


def _as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of an upright picture (H, W, C) into which the stored rows can be written."""
    flipped, transposed = upright[:, ::-1], upright.swapaxes(0, 1)
    views = {
        1: upright,
        2: flipped,
        3: flipped[::-1],
        4: upright[::-1],
        5: transposed,
        6: flipped.swapaxes(0, 1),
        7: flipped[::-1].swapaxes(0, 1),
        8: upright[::-1].swapaxes(0, 1),
    }
    return views[orientation]


def _with_pillow(*formats: str) -> Callable[[BytesIO], Image.Image]:
    def open_with_pillow(file: BytesIO) -> Image.Image:
        # Pillow warns above a number of pixels of its own and fails above twice that;
        # `_refuse_large` compares with ours, before anything is decoded.
        Image.MAX_IMAGE_PIXELS = None
        return Image.open(file, formats=formats)

    return open_with_pillow


_PREFIXES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
)

# Where a fixed offset holds the size; Pillow does not tell "zero-sized" from "damaged".
_SIZE_FIELDS = {"PNG": (16, ">II"), "GIF": (6, "<HH"), "BMP": (18, "<ii")}

# Only the one reader that the first bytes ask for is tried, so none of Pillow's many others can be
# reached.
_OPENERS: dict[str, Callable[[BytesIO], Image.Image]] = {
    "JPEG": _with_pillow("JPEG", "MPO"),
    "PNG": _with_pillow("PNG"),
    "WEBP": _with_pillow("WEBP"),
    "TIFF": _with_pillow("TIFF"),
    "BMP": _with_pillow("BMP"),
    "GIF": _with_pillow("GIF"),
    "AVIF": _with_pillow("AVIF"),
    "HEIC": HeifImageFile,
}
