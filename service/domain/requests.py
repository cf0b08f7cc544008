"""What a caller may say of how a picture is looked at, whatever comes out of it."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from models.contract.intensity import IntensityWindow

_MAX_FACTOR = 8.0
_MAX_LONGEST = 65_536
_SCALES = (
    f"it can be auto, native, a factor above 0 and at most {_MAX_FACTOR:g} such as 0.5, or the "
    f"longer side in pixels, at most {_MAX_LONGEST}, such as longest=1024"
)

_WINDOW = re.compile(r"(\d{1,5}),(\d{1,5})", re.ASCII)
_HIGHEST = 65_535


@dataclass(frozen=True)
class ScaleRequest:
    """What a caller asks for: the model's own working scale, pixels as they are, a factor, or a
    length of the longer side.
    """

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
        if found is None or not int(found[1]) < int(found[2]) <= _HIGHEST:
            raise ValueError(
                "it can be auto, full, or the two values that become black and white, the lower "
                f"first and at most {_HIGHEST}, such as 200,3000"
            )
        return cls("window", IntensityWindow(int(found[1]), int(found[2])))


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 0 < factor <= _MAX_FACTOR:  # NaN too
        raise ValueError(_SCALES)
    return factor
