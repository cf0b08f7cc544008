"""At which size a network looks at a picture, and which part of the file is decoded for it; serving
and `segtrain evaluate` ask the same.

A network knows its objects at the size that it was trained on. A phone's photograph shows them
eight times as large, so it is shrunk to the size that the contract names, and the class map is
brought to the picture's own size from the logits. A picture is never enlarged unless the caller
asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from models.contract.preprocessing import FrameScale, PhysicalScale, Scale, Unit

# A picture within a quarter of the working size is run as it is: what a resize costs in sharpness,
# the network gains by it.
TOLERANCE = 1.25

_METERS: dict[Unit, float] = {"m": 1.0, "mm": 1e-3, "µm": 1e-6}
_MAX_FACTOR = 8.0
_MAX_LONGEST = 65_536
_SCALES = (
    f"it can be auto, native, a factor above 0 and at most {_MAX_FACTOR:g} such as 0.5, or the "
    f"longer side in pixels, at most {_MAX_LONGEST}, such as longest=1024"
)


@dataclass(frozen=True)
class ScaleRequest:
    """What a caller asks for: the model's own working scale, pixels as they are, a factor, or a
    length of the longer side."""

    kind: Literal["auto", "native", "factor", "longest"] = "auto"
    value: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "ScaleRequest":
        """Read "auto", "native", "0.5" or "longest=1024". Raises ValueError."""
        if text == "auto":
            return cls("auto")
        if text == "native":
            return cls("native")
        kind, equals, number = text.partition("=")
        if equals and kind == "longest" and number.isascii() and number.isdecimal():
            if not 1 <= int(number) <= _MAX_LONGEST:
                raise ValueError(_SCALES)
            return cls("longest", float(number))
        return cls("factor", _factor(text))


@dataclass(frozen=True)
class WorkingSize:
    """What the network sees of a picture: `height` × `width` pixels, each of them `factors` (down,
    across) of the picture's.

    The file is decoded at `decode_scale` of its size; where that is not the working size already,
    `resize` is true. Else what is decoded may begin some of the picture's pixels before it:
    `overhang` (down, across).
    """

    height: int
    width: int
    factors: tuple[float, float]
    decode_scale: float
    resize: bool
    overhang: tuple[int, int] = (0, 0)

    def turned(self) -> "WorkingSize":
        """Of the picture turned by a quarter."""
        down, across = self.factors
        return replace(self, height=self.width, width=self.height, factors=(across, down))

    @property
    def scale(self) -> float:
        """The working size as a part of the picture's own."""
        return 1 / max(self.factors)


def wanted_ratio(
    long_side: int,
    scale: Scale | None,
    request: ScaleRequest,
    pixel_size: tuple[float, Unit] | None = None,
) -> tuple[float, bool]:
    """How much of its size the network sees of a picture of `long_side` pixels, by a contract's
    `scale` where the caller leaves it to that, and whether that is to be exact.

    `pixel_size` is the side of a pixel, where the file knows it.
    """
    match request.kind:
        case "native":
            return 1.0, True
        case "factor":
            return request.value, True
        case "longest":
            return request.value / long_side, True
    match scale:
        case FrameScale(long_side=wanted):
            return min(1.0, wanted / long_side), False
        case PhysicalScale(pixel_size=wanted_size, unit=unit) if pixel_size is not None:
            side, own_unit = pixel_size
            ratio = side * _METERS[own_unit] / (wanted_size * _METERS[unit])
            return (min(1.0, ratio) if math.isfinite(ratio) else 1.0), False
    return 1.0, False


def working_size(
    height: int, width: int, ratio: float, scales: Sequence[float], *, exact: bool
) -> WorkingSize | None:
    """How to bring a picture of `height` × `width` to about `ratio` of its size; None where it
    stays as it is.

    `scales` are the sizes at which the file decodes. Unless the ratio is `exact`, one of them that
    comes close enough is taken as it is.
    """
    if ratio == 1 or (not exact and 1 / TOLERANCE <= ratio <= TOLERANCE):
        return None
    if not exact:
        close = [s for s in scales if s < 1 and 1 / TOLERANCE <= s / ratio <= TOLERANCE]
        if close:
            scale = min(close, key=lambda s: abs(math.log(s / ratio)))
            decoded = math.ceil(height * scale), math.ceil(width * scale)
            return WorkingSize(*decoded, (1 / scale, 1 / scale), scale, resize=False)
    target = max(1, round(height * ratio)), max(1, round(width * ratio))
    if target == (height, width):
        return None
    enough = (s for s in scales if height * s >= target[0] and width * s >= target[1])
    decode_scale = min(enough, default=1.0)
    return WorkingSize(*target, (height / target[0], width / target[1]), decode_scale, resize=True)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor <= _MAX_FACTOR:  # NaN too
        raise ValueError(_SCALES)
    return factor
