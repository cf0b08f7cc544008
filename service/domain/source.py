"""An opened input: what the file says of itself, and its pixels when they are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Unit = Literal["m", "mm", "µm"]
Samples = NDArray[np.uint8 | np.uint16 | np.float32 | np.float64]
SampleType = type[np.uint8 | np.uint16 | np.float32 | np.float64]


@dataclass(frozen=True)
class SourceInfo:
    """It travels from the input to the output, so that an answer lies where its picture lay.

    `transform` holds (a, b, c, d, e, f) of x = a·column + b·row + c, y = d·column + e·row + f, for
    the outer corner of pixel (0, 0), in the units of `reference`: a CRS as WKT, or the UID of a
    DICOM frame of reference. `is_on_earth` is False where not every pixel has a longitude and
    latitude by that CRS. `pixel_size` is the side of a pixel in `unit`. `valid` (H, W) is False
    where the file says that there is no picture. `significant_bits` is how many bits of a sample
    the file says are used, where that is fewer than its type has. `attributes` are copied into
    outputs that can hold them.

    `file_name` is what the caller calls the file, if anything, and is no path of this machine.
    Of `pages` pictures in the file (pages of a TIFF, frames of an animation) this is number `page`,
    counted from 1.
    """

    transform: tuple[float, float, float, float, float, float] | None = None
    reference: str | None = None
    is_on_earth: bool = True
    pixel_size: float | None = None
    unit: Unit | None = None
    valid: NDArray[np.bool_] | None = None
    significant_bits: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    file_name: str | None = None
    page: int = 1
    pages: int = 1

    def place(self) -> dict[str, int]:
        """Which picture of the file it is, as JSON answers say it."""
        return {"page": self.page, "pages": self.pages}


class Window(NamedTuple):
    """A part of a picture, in its own pixels, turned upright."""

    top: int
    left: int
    height: int
    width: int

    def slices_of(self, part: "Window") -> tuple[slice, slice]:
        """Where a part of it lies in an array (height, width) of it: rows and columns."""
        top, left = part.top - self.top, part.left - self.left
        return slice(top, top + part.height), slice(left, left + part.width)


class Source(Protocol):
    """One picture of a file, its header read and found within the limits, its pixels not decoded.

    Which one was said when it was opened: pages differ in size and depth. `type` is the name of its
    row in the table of inputs. `height` and `width` are those of the picture turned upright, unless
    its orientation lies behind its pixels. `bands` is what `read` gives: 1 is gray, 3 is RGB.
    `sample_bytes` is 1 or 2, or 4 or 8 of floating-point samples. `scales` are the sizes at which
    the file decodes for less than the whole takes, as parts of its own, 1.0 among them.
    """

    type: str
    height: int
    width: int
    bands: int
    sample_bytes: int
    scales: Sequence[float]
    info: SourceInfo

    def read(self, window: Window | None = None, scale: float = 1.0) -> Samples:
        """The samples (H, W, `bands`), upright, in the depth of the file.

        `window` is the part that is wanted, the whole where it is None; a type that is decoded as a
        whole decodes it and cuts. `scale` is one of `scales`, and the sides are rounded up. Raises
        UnreadableImageError.
        """
        ...

    def decoding_bytes(self, scale: float, *, in_rows: bool = False) -> int:
        """What `read` of the whole at `scale` holds at most beside what it gives, some of it for as
        long as the source is kept; or `stored_rows`, all that it holds but a few bands.
        """
        ...

    def stored_rows(self, scale: float = 1.0) -> Iterator[Samples]:
        """The same samples as the file has them, not turned: from the top down in bands of rows
        (n, W, `bands`), each of which is used before the next one is asked for.

        Where a type can be decoded piece by piece, no more than a few bands are held. Raises
        UnreadableImageError.
        """
        ...

    @property
    def orientation(self) -> int:
        """How EXIF turns the stored rows, 1 (not at all) to 8; for certain once the first of them
        were read.
        """
        ...

    def overhang(self, scale: float) -> tuple[int, int]:
        """How many of the picture's pixels (down, across) what `read` gives at `scale` begins
        before the picture.

        Sides are rounded up, so the last pixel of a side may hold a part of one. Where EXIF turns
        the picture over, that one comes first.
        """
        ...
