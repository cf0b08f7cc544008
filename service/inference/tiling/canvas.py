"""Which canvas takes the results of a picture's tiles."""

from typing import Any, Literal, Protocol

from models.contract import Contract
from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.domain.temperature import Temperatures
from service.inference.tiling.plan import Tile, TilePlan
from service.inference.tiling.stitch import (
    ClassMapCanvas,
    Maps,
    ProbabilityCanvas,
    needs_probabilities,
)
from service.inference.tiling.upsampled import (
    BlendedCanvas,
    EnlargedCanvas,
    OverlapCanvas,
    UpsampledCanvas,
)

# Of less a class map takes its calls and not its pixels, and those of a batch are made together.
_SMALL_PIXELS = 96 * 96


class Canvas(Protocol):
    """Takes the results of tiles, which the engine gives by a `signature`."""

    @property
    def signature(self) -> Literal["class_map", "probabilities", "logits", "enlarged"]: ...

    def put(self, tile: Tile, result: Any) -> None: ...


def make_canvas(
    plan: TilePlan,
    maps: Maps,
    need: Need,
    contract: Contract,
    working: WorkingSize | None = None,
    temperatures: Temperatures | None = None,
    *,
    light_logits: bool = False,
) -> Canvas:
    """What puts the results of the plan's tiles into `maps`: those of the picture, or of its
    `working` size. Where logits are light, all maps come from them: to enlarge them here costs less
    than probabilities of all pixels from the engine.
    """
    classes, overlap = len(contract.classes), contract.overlap
    if working is not None:
        if overlap is not None:
            return OverlapCanvas(plan, maps, working, classes, overlap)
        if plan.blended:
            return BlendedCanvas(plan, maps, working, classes, temperatures)
        return UpsampledCanvas(plan, maps, working, temperatures)
    if light_logits and not plan.blended:
        if need == "class_map" and len(plan) == 1 and plan.computed_pixels <= _SMALL_PIXELS:
            return EnlargedCanvas(maps, temperatures)
        return UpsampledCanvas(plan, maps, None, temperatures)
    if needs_probabilities(plan, need):
        return ProbabilityCanvas(plan, maps, classes, temperatures, overlap)
    return ClassMapCanvas(maps)
