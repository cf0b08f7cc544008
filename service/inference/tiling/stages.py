"""Plan a large picture for a network that is run in stages, each in tiles of its own.

Each stage sees less far than the network, so its tiles have smaller margins, and the one that sees
farthest works on a small map. Margins and origins obey the rule of `plan.py`, so the result equals
the untiled one as that of tiles of the whole network does.
"""

from dataclasses import replace

from service.inference.tiling.fit import padded_shape
from service.inference.tiling.plan import StagePlans, TilePlan, plan_tiles
from service.runtimes.engine import StageFacts

# What a pixel costs in a stage, in the whole network 1: measured with the bundled ones in int8.
_SHALLOW_COST, _DEEP_COST, _TAIL_COST = 0.32, 0.2, 0.7
_WORTH_IT = 0.9
_DEEP_SIDES = 2  # of a tile for `deep`, in those of the others: it takes little memory a pixel


def plan_stages(whole: TilePlan, stride: int, facts: StageFacts, tile_size: int) -> TilePlan:
    """The last stage's tiles, with the plans of those before; `whole`, tiles of the network as one,
    where these compute hardly more.
    """
    coarse = stride // facts.shallow.step
    if len(whole) == 1 or whole.blended or stride % (2 * facts.deep.step):
        return whole  # the last: seams lie amid strides
    height, width = padded_shape(whole.height, whole.width, stride)
    radii = facts.radii
    deep_radius = -(-radii["deep"] // facts.shallow.step)
    deep_side = _DEEP_SIDES * tile_size // facts.shallow.step
    plans = StagePlans(
        facts,
        plan_tiles(height, width, stride, radii["shallow"], tile_size),
        plan_tiles(
            height // facts.shallow.step,
            width // facts.shallow.step,
            coarse,
            deep_radius,
            deep_side,
        ),
    )
    tail = plan_tiles(whole.height, whole.width, stride, radii["tail"], tile_size)
    cost = (
        _SHALLOW_COST * plans.shallow.computed_pixels
        + _DEEP_COST * plans.deep.computed_pixels * facts.shallow.step**2
        + _TAIL_COST * tail.computed_pixels
    )
    if cost > _WORTH_IT * whole.computed_pixels:
        return whole
    return replace(tail, stages=plans)
