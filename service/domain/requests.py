"""What a caller may say of how a picture is looked at, whatever comes out of it."""

import re
from dataclasses import dataclass
from typing import Literal

from models.contract.intensity import IntensityWindow
from models.contract.working_size import ScaleRequest

__all__ = ["IntensityRequest", "ScaleRequest"]

_WINDOW = re.compile(r"(\d{1,5}),(\d{1,5})", re.ASCII)
_HIGHEST = 65_535


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
