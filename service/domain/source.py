"""What an input file knows of itself, beside its pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Unit = Literal["m", "mm", "µm"]


@dataclass(frozen=True)
class SourceInfo:
    """It travels from the input to the output, so that an answer lies where its picture lay.

    `transform` holds (a, b, c, d, e, f) of x = a·column + b·row + c, y = d·column + e·row + f, for the outer corner
    of pixel (0, 0), in the units of `reference`: a CRS as WKT, or the UID of a DICOM frame of reference.
    `pixel_size` is the side of a pixel in `unit`. `valid` (H, W) is False where the file says that there is no
    picture. `significant_bits` is how many bits of a sample the file says are used. `attributes` are copied into
    outputs that can hold them.
    """

    transform: tuple[float, float, float, float, float, float] | None = None
    reference: str | None = None
    pixel_size: float | None = None
    unit: Unit | None = None
    valid: NDArray[np.bool_] | None = None
    significant_bits: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
