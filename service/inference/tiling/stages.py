"""Plan a large picture for a network that is run in stages, each in tiles of its own.

Each stage sees less far than the network, so its tiles have smaller margins, and the one that sees
farthest works on a small map. Margins and origins obey the rule of `plan.py`, so the result equals
the untiled one as that of tiles of the whole network does.
"""

from dataclasses import replace

from service.domain.source import Window
from service.inference.tiling.fit import padded_shape, round_up
from service.inference.tiling.plan import Span, StagePlans, TilePlan, plan_tiles
from service.runtimes.engine import StageFacts

# What a pixel costs in a stage, in the whole network 1: measured with the bundled ones in int8.
_SHALLOW_COST, _DEEP_COST, _TAIL_COST = 0.32, 0.2, 0.7
_WORTH_IT = 0.9
_DEEP_SIDES = 2  # of a tile for `deep`, in those of the others: it takes little memory a pixel


def can_be_staged(stride: int, facts: StageFacts) -> bool:
    """Whether tiles meet between the pixels of both maps: seams lie amid strides."""
    return stride % (2 * facts.deep.step) == 0


def plan_stages(whole: TilePlan, stride: int, facts: StageFacts, tile_size: int) -> TilePlan:
    """The last stage's tiles, with the plans of those before; `whole`, tiles of the network as one,
    where these compute hardly more.
    """
    if len(whole) == 1 or whole.blended or not can_be_staged(stride, facts):
        return whole
    size = whole.height, whole.width
    all_of_it = Window(0, 0, *padded_shape(*size, stride))
    areas = all_of_it, all_of_it, all_of_it
    staged = _staged(size, areas, stride, facts, tile_size)
    return whole if _cost(staged) > _WORTH_IT * whole.computed_pixels else staged


def plan_part(
    size: tuple[int, int],
    kept: Window,
    stride: int,
    radius: int,
    tile_size: int,
    facts: StageFacts | None,
) -> tuple[Window, TilePlan]:
    """What of a picture of `size` (H, W) is to be seen so that all that is `kept` of it is as of
    the whole picture; and how that is computed: as one tile, or in stages, where one would be too
    large or these compute less. The tiles of the last stage reach beyond what is `kept`, and begin
    at `tail_at` of what is seen.
    """
    area = _grown(kept, radius, stride, size)
    seen = _within(area, size)
    rows, columns = kept.top - seen.top, kept.left - seen.left
    whole = TilePlan(
        seen.height,
        seen.width,
        (area.height, area.width),
        (Span(0, rows, rows + kept.height),),
        (Span(0, columns, columns + kept.width),),
        blended=False,
    )
    if facts is None or not can_be_staged(stride, facts):
        return seen, whole
    tail = _grown(kept, facts.radii["tail"], stride, size)
    deep = _grown(tail, facts.radii["deep"], stride, size)
    shallow = _grown(deep, facts.radii["shallow"], stride, size)
    ends = _within(tail, size)
    staged = _staged((ends.height, ends.width), (shallow, deep, tail), stride, facts, tile_size)
    fits = whole.computed_pixels <= tile_size**2
    if fits and _cost(staged) > _WORTH_IT * whole.computed_pixels:
        return seen, whole
    return _within(shallow, size), staged


def _staged(
    size: tuple[int, int],
    areas: tuple[Window, Window, Window],
    stride: int,
    facts: StageFacts,
    tile_size: int,
) -> TilePlan:
    """Of the `areas` that each stage computes, in pixels of the padded picture; the last has `size`
    (H, W) without its padding.
    """
    shallow, deep, _ = areas
    step, radii = facts.shallow.step, facts.radii
    at = [(area.top - shallow.top, area.left - shallow.left) for area in areas]
    plans = StagePlans(
        facts,
        plan_tiles(shallow.height, shallow.width, stride, radii["shallow"], tile_size),
        plan_tiles(
            deep.height // step,
            deep.width // step,
            stride // step,
            -(-radii["deep"] // step),
            _DEEP_SIDES * tile_size // step,
        ),
        *at[1:],
    )
    return replace(plan_tiles(*size, stride, radii["tail"], tile_size), stages=plans)


def _cost(tail: TilePlan) -> float:
    """Of all stages, in pixels that the network as one computes."""
    stages = tail.stages
    assert stages is not None
    return (
        _SHALLOW_COST * stages.shallow.computed_pixels
        + _DEEP_COST * stages.deep.computed_pixels * stages.facts.shallow.step**2
        + _TAIL_COST * tail.computed_pixels
    )


def _grown(window: Window, radius: int, stride: int, size: tuple[int, int]) -> Window:
    """With `radius` more on each side, from stride to stride of the padded picture."""
    top, height = _grown_axis(window.top, window.height, radius, stride, size[0])
    left, width = _grown_axis(window.left, window.width, radius, stride, size[1])
    return Window(top, left, height, width)


def _grown_axis(start: int, length: int, radius: int, stride: int, whole: int) -> tuple[int, int]:
    padded = round_up(whole, stride)
    first = max(0, start - radius) // stride * stride
    stop = min(padded, round_up(start + length + radius, stride))
    if stop == padded:  # whose padding mirrors what that of the whole picture does
        first = max(0, min(first, padded - 2 * stride))
    return first, stop - first


def _within(area: Window, size: tuple[int, int]) -> Window:
    height, width = size
    return Window(
        area.top,
        area.left,
        min(area.height, height - area.top),
        min(area.width, width - area.left),
    )
