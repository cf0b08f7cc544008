"""TIFFs in forms that no library of ours writes, put together by hand."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, CIELAB = 0, 1, 2, 3, 5, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
_SHORT, _LONG = 3, 4


@dataclass(frozen=True)
class TiffPage:
    """A picture of `samples` (H, W, samples a pixel), stored as they are in `bits` each.

    `extra` names what each sample behind the color is: 0 nothing known, 1 alpha that the color was
    multiplied by, 2 alpha. `tags` are added, or put in place of the usual ones (None leaves one
    out).
    """

    samples: NDArray[np.generic]
    bits: int = 8
    photometric: int = BLACK_IS_ZERO
    is_planar: bool = False
    format: int = UNSIGNED
    extra: Sequence[int] = ()
    tags: Mapping[int, Sequence[int] | None] = field(default_factory=dict)


def tiff(*pages: TiffPage, order: str = "<") -> bytes:
    """An uncompressed TIFF, one strip a plane."""
    body = bytearray(struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 0))
    link = 4
    for page in pages:
        link = _append(body, page, order, link)
    return bytes(body)


def _append(body: bytearray, page: TiffPage, order: str, link: int) -> int:
    """Add a page, point `link` at it, and give the place of the next link."""
    height, width, count = page.samples.shape
    planes = np.moveaxis(page.samples, -1, 0) if page.is_planar else [page.samples]
    strips = []
    for plane in planes:
        strips.append(len(body))
        body += _packed(np.asarray(plane).reshape(height, -1), page.bits, order)
        body += b"\0" * (len(body) % 2)
    ends = [*strips[1:], len(body)]
    tags: dict[int, Sequence[int] | None] = {
        256: [width],
        257: [height],
        258: [page.bits] * count,
        259: [1],
        262: [page.photometric],
        273: strips,
        277: [count],
        278: [height],
        279: [end - start for start, end in zip(strips, ends, strict=True)],
        284: [2 if page.is_planar else 1],
        339: [page.format] * count,
    }
    tags |= {338: page.extra} if page.extra else {}
    entries = {tag: values for tag, values in sorted({**tags, **page.tags}.items()) if values}
    directory = bytearray(struct.pack(f"{order}H", len(entries)))
    behind = len(body) + 2 + 12 * len(entries) + 4
    far = bytearray()
    for tag, values in entries.items():
        kind, code = (_LONG, "I") if tag in (273, 279, 330) else (_SHORT, "H")
        packed = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(packed) > 4:
            directory += struct.pack(f"{order}HHII", tag, kind, len(values), behind + len(far))
            far += packed + b"\0" * (len(packed) % 2)
        else:
            directory += struct.pack(f"{order}HHI4s", tag, kind, len(values), packed)
    struct.pack_into(f"{order}I", body, link, len(body))
    next_link = len(body) + len(directory)
    body += directory + b"\0\0\0\0" + far
    return next_link


def _packed(rows: NDArray[np.generic], bits: int, order: str) -> bytes:
    """Each row of numbers in so many bits each, filled up to a byte."""
    if bits % 8 == 0:
        return rows.astype(f"{order}{rows.dtype.str[1:]}").tobytes()
    places = np.arange(bits)[::-1]
    digits = (rows.astype(np.int64)[..., None] >> places & 1).astype(np.uint8)
    return np.packbits(digits.reshape(len(rows), -1), axis=1).tobytes()


def twelve_bit_tiff() -> bytes:
    """A gray TIFF of 12 bits with two pixels, 0xFFF and 0x010."""
    return tiff(TiffPage(np.array([[[0xFFF], [0x010]]]), bits=12))
