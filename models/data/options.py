"""What a recipe can say about augmentation. Knows nothing of Keras, so that a command line can be read without it."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]


class AugmentationOptions(BaseModel):
    """The [augmentation] table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: Annotated[
        tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]],
        Field(description="height and width in pixels of what the network trains on"),
    ] = (256, 256)
    scale: Annotated[
        tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]],
        Field(description="smallest and largest magnification"),
    ] = (1.0, 1.0)
    flip: Annotated[bool, Field(description="mirror left and right")] = True
    vertical_flip: Annotated[bool, Field(description="mirror up and down")] = False
    quarter_turns: Annotated[bool, Field(description="turn by 0, 90, 180 or 270 degrees")] = False
    rotation: Annotated[float, Field(ge=0, le=180, description="largest turn in degrees")] = 0.0
    elastic: Annotated[
        float, Field(ge=0, le=100, description="deviation of a 3×3 grid's shifts, in pixels")
    ] = 0.0
    outside: Annotated[
        Literal["mirror", "void"],
        Field(description="beyond the picture: its mirror image, or gray that teaches nothing"),
    ] = "mirror"
    brightness: Annotated[Fraction, Field(description="largest shift, of the range 0–255")] = 0.0
    contrast: Annotated[Fraction, Field(description="largest change of contrast")] = 0.0
    saturation: Annotated[Fraction, Field(description="largest change of saturation")] = 0.0
    hue: Annotated[Fraction, Field(description="largest turn of the colour circle")] = 0.0
    blur: Annotated[float, Field(ge=0, le=10, description="widest Gaussian, sigma in pixels")] = 0.0
    noise: Annotated[
        Fraction, Field(description="largest deviation of Gaussian noise, of the range 0–255")
    ] = 0.0

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Self:
        low, high = self.scale
        if not 0.25 <= low <= high <= 4:
            raise ValueError(
                f"scale is [smallest, largest] between 0.25 and 4; got [{low}, {high}]"
            )
        return self
