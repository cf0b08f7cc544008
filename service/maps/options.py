"""What may be chosen of a map."""

from typing import Annotated

from pydantic import AfterValidator, Field

from service.outputs.geo.answers import RegionOptions
from service.outputs.output import checked_by

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


class MapOptions(RegionOptions):
    """`min_area` and `tolerance` are of polygons alone."""

    bbox: Annotated[str, AfterValidator(checked_by(parse_box))] | None = Field(
        default=None,
        description="The part that is wanted: left,bottom,right,top in the raster's CRS.",
        examples=["389000,5819000,390000,5820000"],
    )
