"""How many bytes a request needs while it is worked on: what admission counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from models.contract import Contract
from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.domain.source import Source
from service.inference.prepare import is_shrunk_in_rows, shrinks
from service.inference.tiling.plan import TilePlan
from service.inference.tiling.stitch import needs_probabilities

_FLOAT_BYTES = 4
_MAPS: dict[Need, int] = {
    "class_map": 1,
    "mean_confidence": 2,
    "confidence": 2,
    "uncertainty": 3,
    "probabilities": 2,
}


@dataclass(frozen=True)
class Footprint:
    """Bytes of a request's arrays.

    `images` are the decoded pictures and the maps that stages make of them, `maps` what is put
    together of them, `results` what the engine gives of the tiles that are in its hands or wait to
    be put, with what blending them takes.
    """

    images: int
    maps: int
    results: int

    @property
    def total(self) -> int:
        return self.images + self.maps + self.results


@dataclass(frozen=True)
class Work:
    """One picture of `pixels`, cut by `plan` at the size at which the network sees it.

    `held_bytes` are those of all forms in which it is held meanwhile, and of decoding it. `scaled`
    says that the network sees it at another size than its own, so that its tiles give logits.
    Class maps come from logits that stand for `logits_factor` pixels each way; not, where it is 0.
    """

    plan: TilePlan
    pixels: int
    held_bytes: int
    scaled: bool
    logits_factor: int = 0


def footprint(
    works: Sequence[Work], need: Need, contract: Contract, tiles_at_once: int, *, shared: bool
) -> Footprint:
    """Of pictures of which no more than `tiles_at_once` tiles are in work.

    Where batches are `shared`, the results of one are held twice while they are copied apart.
    """
    classes = len(contract.classes)
    pixels = sum(work.pixels for work in works)
    of_tile = max(_tile_bytes(work, need, classes) for work in works)
    tiles = sum(len(work.plan) for work in works)
    return Footprint(
        images=sum(work.held_bytes + _map_bytes(work.plan) for work in works),
        maps=pixels * _MAPS[need] + probability_bytes(pixels, need, classes),
        results=of_tile * min(tiles_at_once, tiles) * (2 if shared else 1)
        + sum(
            _stitching_bytes(work, classes)
            for work in works
            if work.plan.blended or (work.scaled and contract.overlap is not None)
        ),
    )


def file_bytes(
    source: Source, working: WorkingSize | None, channels: int, *, show: bool = False
) -> int:
    """Of all forms of a file's picture: as it is decoded, in 8 bits, in the model's channels, and
    at the size at which the network sees it; with what decoding takes.
    """
    scale = 1.0 if working is None else working.decode_scale
    if is_shrunk_in_rows(source, working, show=show):
        return source.decoding_bytes(scale, in_rows=True) + _resized(working, channels)
    pixels = math.ceil(source.height * scale) * math.ceil(source.width * scale)
    decoded = pixels * source.bands * source.sample_bytes
    # percentiles of floating-point samples are found in a copy
    ordered = decoded if source.sample_bytes > 2 else 0
    eight_bits = pixels * source.bands if source.sample_bytes > 1 else 0
    in_channels = pixels * channels if source.bands != channels else 0
    converted = 0 if shrinks(working) and not show else eight_bits + in_channels
    return (
        decoded
        + max(ordered, converted)
        + source.decoding_bytes(scale)
        + _resized(working, channels)
    )


def array_bytes(pixels: int, working: WorkingSize | None, channels: int) -> int:
    """Of both forms of a picture that came as an array of `pixels`."""
    return pixels * channels + _resized(working, channels)


def _resized(working: WorkingSize | None, channels: int) -> int:
    if working is None or not working.resize:
        return 0
    return working.height * working.width * channels


def probability_bytes(pixels: int, need: Need, classes: int) -> int:
    return pixels * classes * _FLOAT_BYTES if need == "probabilities" else 0


def _tile_bytes(work: Work, need: Need, classes: int) -> int:
    """What the engine gives for a tile."""
    height, width = work.plan.tile_shape
    floats = work.scaled or needs_probabilities(work.plan, need)
    if floats:
        return height * width * classes * _FLOAT_BYTES
    if not work.logits_factor:
        return height * width
    return height * width * classes * _FLOAT_BYTES // work.logits_factor**2


def _map_bytes(plan: TilePlan) -> int:
    return 0 if plan.stages is None else plan.stages.map_bytes


def _stitching_bytes(work: Work, classes: int) -> int:
    """Blended tiles of another size than the picture are put together before they are enlarged."""
    together = 3 * work.plan.height * work.plan.width * classes * _FLOAT_BYTES
    return _blending_bytes(work.plan, classes) + (together if work.scaled else 0)


def _blending_bytes(plan: TilePlan, classes: int) -> int:
    """A copy of the tile that is blended, and the ramps that it shares with its neighbors."""
    height, width = plan.tile_shape
    ramps = plan.columns[0].ramp_out * height + plan.rows[0].ramp_out * plan.width
    return (height * width + ramps) * classes * _FLOAT_BYTES
