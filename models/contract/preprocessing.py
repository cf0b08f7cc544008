"""What has to be done to a picture before a network sees it, beyond what its graph does: training
and serving do the same."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from models.contract.facts import Facts

Unit = Literal["m", "mm", "µm"]


def _with_the_micro_sign(unit: object) -> object:
    """µ is two characters, which look alike, and often is written as u."""
    return "µm" if unit in ("\N{GREEK SMALL LETTER MU}m", "um") else unit


class FrameScale(Facts):
    """The scene fills the picture, as in streets and portraits: a larger picture is shrunk to about
    this long side, in pixels."""

    kind: Literal["frame"] = "frame"
    long_side: Annotated[int, Field(ge=16, le=65_536)]

    @property
    def text(self) -> str:
        return f"longest={self.long_side}"


class PhysicalScale(Facts):
    """Objects have a size in the world: where a file knows the side of its pixels, the ratio to
    `pixel_size` rules."""

    kind: Literal["physical"] = "physical"
    pixel_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Annotated[Unit, BeforeValidator(_with_the_micro_sign)]

    @property
    def text(self) -> str:
        return f"{self.pixel_size:g} {self.unit}"


class NativeScale(Facts):
    """Pixels as they are."""

    kind: Literal["native"] = "native"

    @property
    def text(self) -> str:
        return "native"


Scale = Annotated[FrameScale | PhysicalScale | NativeScale, Field(discriminator="kind")]


_LONGEST = re.compile(r"longest=(\d{1,6})", re.ASCII)
_PHYSICAL = re.compile(r"([\d.eE+-]{1,20}) ?([mµ\N{GREEK SMALL LETTER MU}u]{0,1}m)")


def read_scale(text: str) -> Scale | None:
    """Read "native", "longest=480" or "0.5 µm" (or mm, m); None is "auto". Raises ValueError."""
    if text in ("auto", "native"):
        return None if text == "auto" else NativeScale()
    try:
        if longest := _LONGEST.fullmatch(text):
            return FrameScale(long_side=int(longest[1]))
        if physical := _PHYSICAL.fullmatch(text):
            return PhysicalScale.model_validate(
                {"pixel_size": float(physical[1]), "unit": physical[2]}
            )
    except ValueError:
        pass
    raise ValueError(
        "it can be auto, native, the longer side in pixels to which pictures are shrunk, 16 to "
        "65536, such as longest=480, or the side of a pixel in m, mm or µm, such as 0.5µm"
    )


Values = tuple[Annotated[int, Field(ge=0, le=254)], Annotated[int, Field(ge=1, le=255)]]


class PercentileIntensity(Facts):
    """Pixels deeper than 8 bits: these percentiles of the whole picture become two 8-bit values,
    unless the file states its significant bits.

    The values are those that the 8-bit pictures of training had there, gray ones and color ones:
    fluorescence is dark, and stretched over all 256 values it is nothing that the network has seen.
    """

    kind: Literal["percentiles"] = "percentiles"
    low: Annotated[float, Field(ge=0, lt=50)] = 0.1
    high: Annotated[float, Field(gt=50, le=100)] = 99.9
    gray: Values = (0, 255)
    color: Values = (0, 255)

    @model_validator(mode="after")
    def _values_grow(self) -> Self:
        for low, high in (self.gray, self.color):
            if high <= low:
                raise ValueError(f"the higher percentile becomes {high}, which is not above {low}")
        return self


class WindowIntensity(Facts):
    """Pixels deeper than 8 bits: `low` and `high`, in the file's physical units, become 0 and
    255."""

    kind: Literal["window"] = "window"
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    unit: str | None = None

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if self.high <= self.low:
            raise ValueError(
                f"the window ends at {self.high:g}, which is not above its begin, {self.low:g}"
            )
        return self


Intensity = Annotated[PercentileIntensity | WindowIntensity, Field(discriminator="kind")]
