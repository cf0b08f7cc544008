"""The outlines of all connected regions of a class map at once.

A ring runs along pixel edges with its region on the right. It turns at corners of pixels, and how
it turns there is told by the four pixels around the corner. Along one line of the grid, and in one
direction, rings begin and end a stretch by turns, since no two lie on the same edges: so the n-th
corner in which one begins leads to the n-th in which one ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.classes import is_one_of
from service.outputs.geo.rings import Regions, first_of

_NONE = -1  # of pixels that are in no region
# The pixels around a corner, and which of them are of one class, by bits.
_UPPER_LEFT, _UPPER_RIGHT, _LOWER_LEFT, _LOWER_RIGHT = range(4)
_UPPER, _LOWER, _LEFT, _RIGHT = 1, 2, 4, 8
_CODES = np.arange(16)


@dataclass(frozen=True)
class _Turn:
    """How a ring turns: it comes and leaves in these directions, around the region's pixel `own`,
    where the four pixels have one of `codes`.
    """

    own: int
    codes: NDArray[np.bool_]
    comes: str
    leaves: str


def _convex(own: int, differs: int, comes: str, leaves: str) -> _Turn:
    return _Turn(own, (_CODES & differs) == 0, comes, leaves)


def _concave(own: int, same: int, comes: str, leaves: str) -> _Turn:
    return _Turn(own, np.equal(_CODES, same), comes, leaves)


_TURNS = (
    _convex(_UPPER_LEFT, _UPPER | _LEFT, "down", "left"),
    _convex(_UPPER_RIGHT, _UPPER | _RIGHT, "left", "up"),
    _convex(_LOWER_LEFT, _LOWER | _LEFT, "right", "down"),
    _convex(_LOWER_RIGHT, _LOWER | _RIGHT, "up", "right"),
    _concave(_UPPER_LEFT, _UPPER | _LEFT, "left", "down"),
    _concave(_UPPER_LEFT, _UPPER | _RIGHT, "up", "left"),
    _concave(_UPPER_LEFT, _LOWER | _LEFT, "down", "right"),
    _concave(_LOWER_RIGHT, _LOWER | _RIGHT, "right", "up"),
)
_ANY_TURN = bytes(any(turn.codes[code] for turn in _TURNS) for code in range(16)) + bytes(240)
# Two pixels of one class that touch at a corner alone are turned around by these.
_TOUCHING = ((0, 3), (1, 2))


@dataclass(frozen=True)
class _Corners:
    """Where rings turn: `x` and `y` (n,), which of _TURNS it is, in ascending order, and the class
    of their region.
    """

    x: NDArray[np.int64]
    y: NDArray[np.int64]
    turn: NDArray[np.int8]
    class_id: NDArray[np.int16]

    def sorted(self, way: str, when: str) -> NDArray[np.int64]:
        """Numbers of those whose ring `when` ("comes" or "leaves") that way, line by line."""
        found = np.concatenate(
            [self.of_turn(n) for n, turn in enumerate(_TURNS) if getattr(turn, when) == way]
        )
        across, along = (self.y, self.x) if way in ("left", "right") else (self.x, self.y)
        key = across[found] * (int(along[found].max()) + 1) + along[found]
        return np.asarray(found[np.argsort(key)])  # no two have one place

    def of_turn(self, turn: int) -> NDArray[np.int64]:
        """Numbers of those that turn so; they lie together."""
        return np.arange(*np.searchsorted(self.turn, (turn, turn + 1)))


def trace(class_map: NDArray[np.uint8], kept: frozenset[int], top: int = 0) -> Regions:
    """The 4-connected regions of the classes `kept` of a class map (H, W) whose first row is the
    row `top`, from their uppermost pixels down.
    """
    height, width = class_map.shape
    values = np.full((height + 2, width + 2), _NONE, np.int16)
    np.copyto(values[1:-1, 1:-1], class_map, where=is_one_of(class_map, kept))
    beside, below = values[:, 1:] == values[:, :-1], values[1:] == values[:-1]
    corners = _find_corners(values, beside, below)
    if not len(corners.x):
        return Regions.none()
    follows = np.empty(len(corners.x), np.int64)
    ends = {way: corners.sorted(way, "comes") for way in ("right", "left", "down", "up")}
    for way, comes in ends.items():
        follows[corners.sorted(way, "leaves")] = comes
    order, lengths = _walk(follows, corners)
    starts = first_of(lengths)
    ring_of = np.empty(len(order), np.int64)
    ring_of[order] = np.repeat(np.arange(len(lengths)), lengths)
    x, y = corners.x[order], corners.y[order]
    is_hole = _doubled_areas(x, y, starts, lengths) < 0
    owner = _owners(corners, order, starts, ring_of, ends["up"], is_hole, beside)
    highest = np.minimum.reduceat(y * (width + 1) + x, starts)
    sequence = np.lexsort((is_hole, highest[owner]))
    rings = np.stack((x, y + top), axis=-1).astype(np.int32)
    return Regions.assembled(
        corners.class_id[order[starts]].astype(np.uint8), rings, starts, lengths, sequence, is_hole
    )


def _find_corners(
    values: NDArray[np.int16], beside: NDArray[np.bool_], below: NDArray[np.bool_]
) -> _Corners:
    code = beside[:-1].view(np.uint8) * np.uint8(_UPPER)
    for same, bit in ((beside[1:], _LOWER), (below[:, :-1], _LEFT), (below[:, 1:], _RIGHT)):
        code |= same.view(np.uint8) * np.uint8(bit)
    at = np.flatnonzero(np.frombuffer(code.tobytes().translate(_ANY_TURN), np.bool_))
    codes = code.reshape(-1)[at]
    y, x = np.divmod(at, code.shape[1])
    around = [values[y + row, x + column] for row in (0, 1) for column in (0, 1)]
    found = [np.flatnonzero(t.codes[codes] & (around[t.own] != _NONE)) for t in _TURNS]
    every = np.concatenate(found)
    turn = np.repeat(np.arange(len(_TURNS), dtype=np.int8), [len(one) for one in found])
    owners = np.concatenate([around[t.own][one] for t, one in zip(_TURNS, found, strict=True)])
    return _Corners(x[every], y[every], turn, owners)


def _walk(
    follows: NDArray[np.int64], corners: _Corners
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The numbers of all corners ring by ring, and how many each ring has.

    A ring that comes to one corner twice is two rings that touch there: a polygon's may touch each
    other in a point, and not themselves.
    """
    order, lengths = _cycles(follows, range(len(follows)))
    one, other = _touching(corners)
    ring_of = np.empty(len(follows), np.int64)
    ring_of[order] = np.repeat(np.arange(len(lengths)), lengths)
    twice = ring_of[one] == ring_of[other]
    if not twice.any():
        return order, lengths
    one, other = one[twice], other[twice]
    follows = follows.copy()
    follows[one], follows[other] = follows[other], follows[one]
    split = np.zeros(len(lengths), np.bool_)
    split[ring_of[one]] = True
    again = np.repeat(split, lengths)
    new_order, new_lengths = _cycles(follows, order[again].tolist())
    return (
        np.concatenate((order[~again], new_order)),
        np.concatenate((lengths[~split], new_lengths)),
    )


def _cycles(
    follows: NDArray[np.int64], numbers: Iterable[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cycles of a permutation in which `numbers` are, one after the other."""
    following, seen = follows.tolist(), bytearray(len(follows))
    order, lengths = list[int](), list[int]()
    append = order.append
    for start in numbers:
        if seen[start]:
            continue
        before, place = len(order), start
        while not seen[place]:
            seen[place] = 1
            append(place)
            place = following[place]
        lengths.append(len(order) - before)
    return np.array(order, np.int64), np.array(lengths, np.int64)


def _touching(corners: _Corners) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of corners of one place and class."""
    ones, others = [], []
    columns = int(corners.x.max()) + 1
    for turns in _TOUCHING:
        numbers = [corners.of_turn(turn) for turn in turns]
        keys = [corners.y[each] * columns + corners.x[each] for each in numbers]
        _, one, other = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
        one, other = numbers[0][one], numbers[1][other]
        same = corners.class_id[one] == corners.class_id[other]
        ones.append(one[same])
        others.append(other[same])
    return np.concatenate(ones), np.concatenate(others)


def _doubled_areas(
    x: NDArray[np.int64],
    y: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Twice the area within each open ring, positive of exteriors."""
    following = np.arange(1, len(x) + 1)
    following[starts + lengths - 1] = starts
    return np.add.reduceat(x * y[following] - x[following] * y, starts)


def _owners(
    corners: _Corners,
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    ring_of: NDArray[np.int64],
    upper_ends: NDArray[np.int64],
    is_hole: NDArray[np.bool_],
    beside: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """The exterior ring of each ring's region.

    From the pixel above a hole the region goes on to the left up to an edge, whose ring is another
    of its own: the exterior, or a hole that begins higher. `upper_ends` are the corners to which
    edges lead up, column by column.
    """
    owner = np.arange(len(starts))
    holes = np.flatnonzero(is_hole)
    if not len(holes):
        return owner
    width, height = beside.shape[1], int(corners.y.max()) + 1
    highest = np.minimum.reduceat(corners.y[order] * width + corners.x[order], starts)[holes]
    # Of the row of pixels above, which has one more of `values` before it.
    edges = np.flatnonzero(~beside)
    left = edges[np.searchsorted(edges, highest, side="right") - 1] % width
    row = highest // width - 1
    tops = corners.x[upper_ends] * height + corners.y[upper_ends]
    along = np.searchsorted(tops, left * height + row, side="right") - 1
    owner[holes] = ring_of[upper_ends[along]]
    while is_hole[owner].any():
        owner = owner[owner]
    return owner
