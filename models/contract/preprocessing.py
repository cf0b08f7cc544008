"""What has to be done to a picture before a network sees it, beyond what its graph does: training and serving do the same."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from models.contract.facts import Facts

Unit = Literal["m", "mm", "µm"]


def _with_the_micro_sign(unit: object) -> object:
    """µ is two characters, which look alike, and often is written as u."""
    return "µm" if unit in ("\N{GREEK SMALL LETTER MU}m", "um") else unit


class FrameScale(Facts):
    """The scene fills the picture, as in streets and portraits: a larger picture is shrunk to about this long side, in pixels."""

    kind: Literal["frame"] = "frame"
    long_side: Annotated[int, Field(ge=16, le=65_536)]


class PhysicalScale(Facts):
    """Objects have a size in the world: where a file knows the side of its pixels, the ratio to `pixel_size` rules."""

    kind: Literal["physical"] = "physical"
    pixel_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Annotated[Unit, BeforeValidator(_with_the_micro_sign)]


class NativeScale(Facts):
    """Pixels as they are."""

    kind: Literal["native"] = "native"


Scale = Annotated[FrameScale | PhysicalScale | NativeScale, Field(discriminator="kind")]


class PercentileIntensity(Facts):
    """Pixels deeper than 8 bits: these percentiles of the whole picture become 0 and 255, unless the file states its
    significant bits."""

    kind: Literal["percentiles"] = "percentiles"
    low: Annotated[float, Field(ge=0, lt=100)] = 0.1
    high: Annotated[float, Field(gt=0, le=100)] = 99.9

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is below high; got {self.low} and {self.high}")
        return self


class WindowIntensity(Facts):
    """Pixels deeper than 8 bits: `low` and `high`, in the file's physical units, become 0 and 255."""

    kind: Literal["window"] = "window"
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    unit: str | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low is below high; got {self.low} and {self.high}")
        return self


Intensity = Annotated[PercentileIntensity | WindowIntensity, Field(discriminator="kind")]
