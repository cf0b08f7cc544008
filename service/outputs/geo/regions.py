"""The connected regions of a map of any size, with no more of it in memory than a strip.

A region within a strip is given at once. One that reaches a strip's edge waits for the strip below:
what is outlined of it there is joined at the pixels that both share, and given when it ends. Only
outlines wait, so memory is that of a strip and of the regions that cross its edge.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from service.domain.errors import AnswerTooLargeError
from service.outputs.geo.contours import trace
from service.outputs.geo.rings import Regions, Ring, Rings

MAX_REGIONS = 10_000_000

_STRIP_PIXELS = 2**22
_LEAST_ROWS = 64


@dataclass(eq=False)
class _Group:
    """The outlines of a region so far: `exteriors` of each strip, and its `holes`."""

    class_id: int
    exteriors: list[Ring] = field(default_factory=list)
    holes: list[Rings] = field(default_factory=list)


class _Edge:
    """Which waiting regions the lowest row of a strip belongs to, by number; -1 is none."""

    def __init__(self, width: int) -> None:
        self.numbers = np.full(width, -1, np.int64)
        self.groups: list[_Group] = []

    def put(self, group: _Group, exterior: Ring, row: int) -> None:
        for left, right in _along(exterior, row):
            self.numbers[left:right] = len(self.groups)
        self.groups.append(group)


def find_regions(strips: Iterable[NDArray[np.uint8]], kept: frozenset[int]) -> Iterator[Regions]:
    """The 4-connected regions of the classes `kept`, of class ids (H, W) that come in strips (n, W)
    from the top; some at a time.

    Raises AnswerTooLargeError where there are more than anybody can use.
    """
    above: _Edge | None = None
    top = count = 0
    for strip in _thin(strips):
        edge = _Edge(strip.shape[1])
        bottom = top + len(strip)
        heads: list[tuple[_Group, Ring]] = []
        traced = trace(strip, kept, top)
        highest, lowest = traced.exteriors()
        is_at_top = (highest == top) & (above is not None)
        waits = is_at_top | (lowest == bottom)
        for number in np.flatnonzero(waits).tolist():
            exterior, holes = traced.taken_apart(number)
            group = _Group(int(traced.class_ids[number]), [exterior], [holes])
            if is_at_top[number]:
                heads.append((group, exterior))
            if lowest[number] == bottom:
                edge.put(group, exterior, bottom)
        ended = [traced.where(~waits), *map(_region, _joined(above, edge, heads, top))]
        count += sum(map(len, ended))
        _refuse_more(count)
        yield Regions.together(ended)
        above, top = edge, bottom
    if above is not None and above.groups:
        yield Regions.together([_region(group) for group in dict.fromkeys(above.groups)])


def _thin(strips: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Strips of a few megapixels: what is traced takes some hundred bytes a corner meanwhile."""
    for strip in strips:
        rows = max(_LEAST_ROWS, _STRIP_PIXELS // strip.shape[1])
        for top in range(0, len(strip), rows):
            yield strip[top : top + rows]


def _joined(
    above: _Edge | None, edge: _Edge, heads: list[tuple[_Group, Ring]], row: int
) -> list[_Group]:
    """Join the regions of the strip above with those at the top of this one; gives those that have
    ended.
    """
    if above is None:
        return []
    owner: dict[_Group, _Group] = {}

    def root(group: _Group) -> _Group:
        while group in owner:
            group = owner[group]
        return group

    for head, exterior in heads:
        for left, right in _along(exterior, row):
            numbers = above.numbers[left:right]
            for number in np.unique(numbers[numbers >= 0]).tolist():
                _unite(root(above.groups[number]), root(head), owner)
    edge.groups = [root(group) for group in edge.groups]
    going_on = set(edge.groups)
    all_here = dict.fromkeys(root(group) for group in (*above.groups, *(head for head, _ in heads)))
    return [group for group in all_here if group not in going_on]


def _unite(one: _Group, other: _Group, owner: dict[_Group, _Group]) -> None:
    if one is other or one.class_id != other.class_id:
        return
    if len(one.exteriors) < len(other.exteriors):
        one, other = other, one
    one.exteriors += other.exteriors
    one.holes += other.holes
    owner[other] = one


def _along(exterior: Ring, row: int) -> list[tuple[int, int]]:
    """The columns, first and behind the last, in which a ring lies along a row's upper edge."""
    starts, ends = exterior[:-1], exterior[1:]
    on = (starts[:, 1] == row) & (ends[:, 1] == row)
    columns = np.sort(np.stack((starts[on, 0], ends[on, 0])), axis=0)
    return [(int(left), int(right)) for left, right in columns.T]


def _region(group: _Group) -> Regions:
    """Outlines of several strips have edges in common, which go."""
    outer = group.exteriors
    if len(outer) > 1:
        outlines = [shapely.make_valid(shapely.Polygon(ring)) for ring in outer]
        whole = shapely.union_all(outlines)
        assert isinstance(whole, shapely.Polygon)  # as they are connected by edges
        outer = [_corners(ring) for ring in (whole.exterior, *whole.interiors)]
    return Regions.joined(group.class_id, outer, group.holes)


def _corners(ring: shapely.LinearRing) -> Ring:
    """Without those on a straight line, which the strips' edges have left."""
    points = np.rint(shapely.get_coordinates(ring)).astype(np.int32)[:-1]
    before, behind = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    turns = before[:, 0] * behind[:, 1] != before[:, 1] * behind[:, 0]
    corners = points[turns]
    return np.concatenate((corners, corners[:1]))


def _refuse_more(count: int) -> None:
    if count > MAX_REGIONS:
        raise AnswerTooLargeError(
            f"The map has more than {MAX_REGIONS:,} regions, which is noise. Ask for the raster "
            "alone, or keep fewer `classes`."
        )
