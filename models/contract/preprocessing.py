"""What has to be done to a picture before a network sees it, beyond what its graph does: training and serving do the same."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Unit = Literal["m", "mm", "µm"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FrameScale(_Frozen):
    """The scene fills the picture, as in streets and portraits: a larger picture is shrunk to about this long side, in pixels."""

    kind: Literal["frame"] = "frame"
    long_side: Annotated[int, Field(ge=16, le=65_536)]


class PhysicalScale(_Frozen):
    """Objects have a size in the world: where a file knows the side of its pixels, the ratio to `pixel_size` rules."""

    kind: Literal["physical"] = "physical"
    pixel_size: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    unit: Unit


class NativeScale(_Frozen):
    """Pixels as they are."""

    kind: Literal["native"] = "native"


Scale = Annotated[FrameScale | PhysicalScale | NativeScale, Field(discriminator="kind")]


class PercentileIntensity(_Frozen):
    """Pixels deeper than 8 bits: these percentiles of the whole picture become 0 and 255, unless the file states its
    significant bits."""

    kind: Literal["percentiles"] = "percentiles"
    low: Annotated[float, Field(ge=0, lt=100)] = 0.1
    high: Annotated[float, Field(gt=0, le=100)] = 99.9


class WindowIntensity(_Frozen):
    """Pixels deeper than 8 bits: `low` and `high`, in the file's physical units, become 0 and 255."""

    kind: Literal["window"] = "window"
    low: Annotated[float, Field(allow_inf_nan=False)]
    high: Annotated[float, Field(allow_inf_nan=False)]
    unit: str | None = None


Intensity = Annotated[PercentileIntensity | WindowIntensity, Field(discriminator="kind")]
