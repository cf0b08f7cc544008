"""What comes out of the seam, and what it says of itself."""

from dataclasses import dataclass

from service.outputs.output import Encoded


@dataclass(frozen=True)
class Timings:
    """Where the time went. `queue_seconds` is all waiting: for a worker, the device, the engine."""

    decode_seconds: float
    queue_seconds: float
    infer_seconds: float
    encode_seconds: float


@dataclass(frozen=True)
class Answer:
    """One picture's result, encoded.

    `model_id` is the version that answered. `tiles` is 1 for a picture run whole; `blended` tells
    tiles that were not cut exactly. `width` and `height` are the picture's.
    """

    model_id: str
    encoded: Encoded
    timings: Timings
    tiles: int
    blended: bool
    width: int
    height: int
