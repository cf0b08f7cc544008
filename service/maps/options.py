"""What may be chosen of a map."""

from typing import Annotated

from pydantic import AfterValidator, Field

from service.inputs.raster import parse_bands
from service.outputs.output import OutputOptions, checked_by

_BOX = (
    "it is left,bottom,right,top in the raster's CRS (in its pixels, x,y of the top left and of "
    "the bottom right corner, where it has none), the smaller of each pair first"
)


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Read "left,bottom,right,top". Raises ValueError."""
    try:
        left, bottom, right, top = map(float, text.split(","))
    except ValueError:
        raise ValueError(_BOX) from None
    if not (left < right and bottom < top):  # NaN too
        raise ValueError(_BOX)
    return left, bottom, right, top


class MapOptions(OutputOptions):
    """`min_area` and `tolerance` are of polygons alone."""

    bands: Annotated[str, AfterValidator(checked_by(parse_bands))] | None = Field(
        default=None,
        description=(
            "Which bands are red, green and blue, or which is gray, counted from 1; those that the "
            "file calls so if left out."
        ),
        examples=["4,3,2", "1"],
    )
    bbox: Annotated[str, AfterValidator(checked_by(parse_box))] | None = Field(
        default=None,
        description="The part that is wanted: left,bottom,right,top in the raster's CRS.",
        examples=["389000,5819000,390000,5820000"],
    )
    min_area: float = Field(
        default=0.0,
        ge=0,
        description=(
            "Of polygons: leave out regions and fill holes of less than this, in m²; in pixels "
            "where the raster has no CRS."
        ),
        examples=[25],
    )
    tolerance: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Of polygons: simplify rings so that they move by at most this many pixels.",
        examples=[1.5],
    )
