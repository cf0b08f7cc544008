"""Which canvas takes the results of a picture's tiles."""

from models.contract.working_size import WorkingSize
from service.domain.segmentation import Need
from service.inference.tiling.plan import TilePlan
from service.inference.tiling.stitch import (
    ClassMapCanvas,
    Maps,
    ProbabilityCanvas,
    needs_probabilities,
)
from service.inference.tiling.upsampled import BlendedCanvas, UpsampledCanvas

Canvas = ClassMapCanvas | ProbabilityCanvas | UpsampledCanvas | BlendedCanvas


def make_canvas(
    plan: TilePlan, maps: Maps, need: Need, classes: int, working: WorkingSize | None = None
) -> Canvas:
    """What puts the results of the plan's tiles into `maps`: those of the picture, or of its
    `working` size.
    """
    if working is not None:
        if plan.blended:
            return BlendedCanvas(plan, maps, working, classes)
        return UpsampledCanvas(plan, maps, working)
    if needs_probabilities(plan, need):
        return ProbabilityCanvas(plan, maps, classes)
    return ClassMapCanvas(maps)
