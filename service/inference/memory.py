"""How many bytes a request needs while it is worked on: what admission counts."""

from collections.abc import Sequence
from dataclasses import dataclass

from models.contract import Contract
from service.domain.segmentation import Need
from service.inference.tiling.plan import TilePlan
from service.inference.tiling.stitch import needs_probabilities

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Footprint:
    """Bytes of a request's arrays.

    `images` are the decoded pictures, `maps` what is put together of them, `results` what the
    engine gives of the tiles that are in its hands or wait to be put, with what blending them
    takes.
    """

    images: int
    maps: int
    results: int

    @property
    def total(self) -> int:
        return self.images + self.maps + self.results


def footprint(
    plans: Sequence[TilePlan], need: Need, contract: Contract, tiles_at_once: int
) -> Footprint:
    """Of pictures cut by `plans`, of which no more than `tiles_at_once` tiles are in work."""
    classes = len(contract.classes)
    pixels = sum(plan.height * plan.width for plan in plans)
    of_result = max(
        plan.tile_shape[0] * plan.tile_shape[1] * _result_bytes(plan, need, classes)
        for plan in plans
    )
    return Footprint(
        images=pixels * contract.channels,
        maps=pixels * (1 if need == "class_map" else 2) + probability_bytes(pixels, need, classes),
        results=of_result * min(tiles_at_once, sum(map(len, plans)))
        + sum(_blending_bytes(plan, classes) for plan in plans if plan.blended),
    )


def scaled_footprint(
    plan: TilePlan, pixels: int, decoded: int, need: Need, contract: Contract, tiles_at_once: int
) -> Footprint:
    """Of a picture of `pixels`, that is seen at another size, cut by `plan`; `decoded` pixels of it are shrunk to that."""
    classes, seen = len(contract.classes), plan.height * plan.width
    of_tile = plan.tile_shape[0] * plan.tile_shape[1] * classes * _FLOAT_BYTES
    together = 3 * seen * classes * _FLOAT_BYTES + _blending_bytes(plan, classes)
    return Footprint(
        images=(decoded + seen) * contract.channels,
        maps=pixels * (1 if need == "class_map" else 2) + probability_bytes(pixels, need, classes),
        results=of_tile * min(tiles_at_once, len(plan)) + (together if plan.blended else 0),
    )


def probability_bytes(pixels: int, need: Need, classes: int) -> int:
    return pixels * classes * _FLOAT_BYTES if need == "probabilities" else 0


def _result_bytes(plan: TilePlan, need: Need, classes: int) -> int:
    """Of a pixel."""
    return classes * _FLOAT_BYTES if needs_probabilities(plan, need) else 1


def _blending_bytes(plan: TilePlan, classes: int) -> int:
    """A copy of the tile that is blended, and the ramps that it shares with its neighbors."""
    height, width = plan.tile_shape
    ramps = plan.columns[0].ramp_out * height + plan.rows[0].ramp_out * plan.width
    return (height * width + ramps) * classes * _FLOAT_BYTES
