"""At which size the network looks at a picture, and which part of the file is decoded for it.

A network knows its objects at the size that it was trained on. A phone's photograph shows them
eight times as large, so it is shrunk to the size that the contract names, and the class map is
brought to the picture's own size from the logits (`domain/upsampling.py`). A picture is never
enlarged unless the caller asks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

# A picture within a quarter of the working size is run as it is: what a resize costs in sharpness,
# the network gains by it.
TOLERANCE = 1.25


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
    decode_scale = min((s for s in scales if s >= ratio), default=1.0)
    return WorkingSize(*target, (height / target[0], width / target[1]), decode_scale, resize=True)
