"""What a caller may say of how a picture is looked at, whatever comes out of it."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from models.contract.intensity import IntensityWindow
from models.contract.working_size import ScaleRequest

__all__ = ["IntensityRequest", "ScaleRequest", "parse_bands"]

_NUMBER = r"(-?\d{1,20}(?:\.\d{0,20})?(?:[eE][+-]?\d{1,3})?)"
_WINDOW = re.compile(f"{_NUMBER},{_NUMBER}", re.ASCII)


@dataclass(frozen=True)
class IntensityRequest:
    """How deep samples become 8 bits: by the model's rule, by all values of their type, or by a
    window of the caller's.
    """

    kind: Literal["auto", "full", "window"] = "auto"
    window: IntensityWindow | None = None

    @classmethod
    def parse(cls, text: str) -> "IntensityRequest":
        """Read "auto", "full" or "200,3000". Raises ValueError."""
        if text == "auto":
            return cls("auto")
        if text == "full":
            return cls("full")
        found = _WINDOW.fullmatch(text)
        if found is not None:
            window = IntensityWindow(_number(found[1]), _number(found[2]))
            if window.low < window.high and math.isfinite(window.high - window.low):
                return cls("window", window)
        raise ValueError(
            "it can be auto, full, or the two values that become black and white, the lower "
            "first, such as 200,3000, or 0.1,0.9 of floating-point samples"
        )


def parse_bands(bands: str) -> list[int]:
    """Read "4,3,2" or "1". Raises ValueError."""
    parts = bands.split(",")
    if len(parts) in (1, 3) and all(
        part.isascii() and part.isdecimal() and 0 < int(part) < 2**16 for part in parts
    ):
        return [int(part) for part in parts]
    raise ValueError(
        "it can be the number of one band, or those of red, green and blue, counted from 1, such "
        "as 4,3,2"
    )


def _number(text: str) -> float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)
