"""From logits at a low resolution to the class of every pixel at a high one: bilinear, exact, and
for most pixels free.

Bilinear weights are convex. A cell, which is what lies between four neighbouring low-resolution
pixels, whose four corners have the same strongest class has that class everywhere inside. So the
argmax is taken at the low resolution, copied into such cells, and logits are interpolated in the
other cells alone: a twentieth of a street scene, whatever its size.

Coordinates are half-pixel centers, as `tf.image.resize` has them: the pixel (y, x) of the picture
lies at ((y + ½) / factor − ½, …) of the logits, clamped to their outermost centers. Of equal logits
the first class wins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.domain.source import Window

_CHUNK_VALUES = 2**19  # interpolated at once: 2 MiB of float32, which stays in the cache
_PIXELS_TOGETHER = 2**12  # of the low resolution
_FEW_VALUES = 2**13  # for which a call a class takes longer than all the rest
# By the pixels of a cell's row, where these are a whole number that is the same in both directions.
_WORDS: dict[int, type[np.unsignedinteger[Any]]] = {2: np.uint16, 4: np.uint32, 8: np.uint64}
_MOST_WHOLE_CELLS_PIXELS = 2**23  # a second copy of more would be too much memory


@dataclass(frozen=True)
class _Axis:
    """One axis of the picture, cut into cells.

    A cell lies between the low-resolution pixels `low` and `high`, which are the same one beyond
    the outermost centers. `cells` and `next_cells` slice the edge-padded low resolution to the
    lower and the higher ones. `cell_of` (length,) is the cell of each pixel; cell i has `counts[i]`
    pixels from `starts[i]` on, which may be negative. `weights` (cells, most pixels in a cell) are
    those of the higher corner; where the factor is a whole number it is `uniform`, and all inner
    cells have the same weights; else that is 0.
    """

    cells: slice
    next_cells: slice
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    cell_of: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    weights: NDArray[np.float32]
    uniform: int


@lru_cache(maxsize=64)
def _axis(low_length: int, low_start: int, start: int, stop: int, factor: float) -> _Axis:
    """Pixels `start` to `stop` of the picture over `low_length` pixels of the logits, the first of
    which is `low_start`.
    """
    place = (np.arange(start, stop) + 0.5) / factor - 0.5 - low_start
    padded = np.clip(np.floor(place).astype(np.intp) + 1, 0, low_length)
    first, last = int(padded[0]), int(padded[-1])
    cells, cell_of = np.arange(first, last + 1), padded - first
    whole = int(factor) if factor == int(factor) else 0
    starts = np.searchsorted(padded, cells)
    if whole:  # the first cell may have begun before the window
        starts = (cells - 1 + low_start) * whole + whole // 2 - start
    counts = np.searchsorted(padded, cells, side="right") - starts
    offsets = np.arange(whole or int(counts.max()))
    places = (start + starts[:, np.newaxis] + offsets + 0.5) / factor - 0.5 - low_start
    weights = np.clip(places - (cells[:, np.newaxis] - 1), 0, 1).astype(np.float32)
    low, high = np.maximum(cells - 1, 0), np.minimum(cells, low_length - 1)
    slices = slice(first, last + 1), slice(first + 1, last + 2)
    return _Axis(*slices, low, high, cell_of, starts, counts, weights, whole)


@dataclass(frozen=True)
class Grid:
    """Where low-resolution logits (…, h, w) lie in a picture.

    Each of their pixels is `factors` (down, across) pixels of it; the first is number `origin`
    (row, column) of the grid that begins at the picture's top left corner, as the logits of a tile
    do.
    """

    factors: tuple[float, float]
    origin: tuple[int, int] = (0, 0)


class Enlarged(NamedTuple):
    """Logits (classes, h, w) float32 of a picture, and its class map (H, W) uint8."""

    logits: NDArray[np.float32]
    class_map: NDArray[np.uint8]


def upsampled_class_map(
    logits: NDArray[np.float32], grid: Grid, window: Window, out: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """The strongest class (height, width) uint8 of each pixel in `window`, of logits
    (classes, h, w) on `grid`.

    Written into `out` where that is given; it lies in one piece. Memory beside the result: up to
    ten megabytes, and one byte a low-resolution pixel.
    """
    result = np.empty((window.height, window.width), np.uint8) if out is None else out
    _write_class_maps(result[np.newaxis], logits[np.newaxis], grid, window)
    return result


def upsampled_class_maps(
    logits: NDArray[np.float32], grid: Grid, window: Window
) -> NDArray[np.uint8]:
    """As `upsampled_class_map`, of several pictures: (N, height, width) of (N, classes, h, w).

    Small ones together: what they cost is not their pixels but the calls.
    """
    result = np.empty((len(logits), window.height, window.width), np.uint8)
    at_once = max(1, _PIXELS_TOGETHER // (logits.shape[2] * logits.shape[3]))
    for start in range(0, len(logits), at_once):
        some = slice(start, start + at_once)
        _write_class_maps(result[some], logits[some], grid, window)
    return result


def _write_class_maps(
    result: NDArray[np.uint8], logits: NDArray[np.float32], grid: Grid, window: Window
) -> None:
    rows, columns = _axes(logits, grid, window)
    by_class = np.ascontiguousarray(logits.swapaxes(0, 1))
    # cell (i, j) lies between labels (i, j) and (i + 1, j + 1)
    labels = _edge_padded(strongest(by_class))
    first = labels[:, rows.cells, columns.cells]
    cells = np.flatnonzero(_mixed_cells(labels, rows, columns))
    chunks = _chunks(cells, len(by_class), rows, columns)
    row_of_cell = _WORDS.get(columns.uniform) if rows.uniform == columns.uniform else None
    if row_of_cell is not None and result.size <= _MOST_WHOLE_CELLS_PIXELS:
        whole = _WholeCells(first, row_of_cell)
        for chunk in chunks:
            whole.fill(chunk, _strongest_in(chunk, by_class, rows, columns))
        result[:] = whole.cut(rows, columns)
        return
    first.take(columns.cell_of, axis=2).take(rows.cell_of, axis=1, out=result, mode="clip")
    for chunk in chunks:
        _fill(result, chunk, _strongest_in(chunk, by_class, rows, columns), rows, columns)


def upsampled_logits(
    logits: NDArray[np.float32], grid: Grid, window: Window
) -> NDArray[np.float32]:
    """Logits (classes, height, width) at each pixel in `window`, interpolated from (classes, h, w)
    on `grid`.
    """
    down, across = _axes(logits, grid, window)
    first, last = int(down.low[0]), int(down.high[-1])
    used = logits[:, first : last + 1]  # across first: a picture has many times their rows
    left = used.take(across.low[across.cell_of], axis=2)
    right = used.take(across.high[across.cell_of], axis=2)
    right -= left
    right *= _weight_of_each(across)
    left += right
    interpolated = left.take(down.low[down.cell_of] - first, axis=1)
    below = left.take(down.high[down.cell_of] - first, axis=1)
    below -= interpolated
    below *= _weight_of_each(down)[:, np.newaxis]
    interpolated += below
    return interpolated


def upsampled_shares(
    shares: NDArray[np.float32], class_map: NDArray[np.uint8], grid: Grid, window: Window
) -> NDArray[np.float32]:
    """Of each pixel in `window` the share (height, width) of its class in `class_map` (height,
    width), interpolated from all classes' shares (classes, h, w) on `grid`.

    Between pixels of one class that is the interpolated largest share; the others are looked up.
    """
    down, across = _axes(shares, grid, window)
    largest = shares.max(axis=0, keepdims=True)
    found: NDArray[np.float32] = upsampled_logits(largest, grid, window)[0]
    mixed = _mixed_cells(_edge_padded(strongest(shares)[np.newaxis]), down, across)[0]
    there = mixed.take(across.cell_of, axis=1).take(down.cell_of, axis=0)
    y, x = np.nonzero(there)
    i, j, ids = down.cell_of[y], across.cell_of[x], class_map[y, x]
    below, right = _weight_of_each(down)[y], _weight_of_each(across)[x]
    top, bottom = (
        (1 - right) * shares[ids, rows, across.low[j]] + right * shares[ids, rows, across.high[j]]
        for rows in (down.low[i], down.high[i])
    )
    found[y, x] = top + (bottom - top) * below
    return found


def _axes(logits: NDArray[np.float32], grid: Grid, window: Window) -> tuple[_Axis, _Axis]:
    rows = window.top, window.top + window.height
    columns = window.left, window.left + window.width
    return (
        _axis(logits.shape[-2], grid.origin[0], *rows, grid.factors[0]),
        _axis(logits.shape[-1], grid.origin[1], *columns, grid.factors[1]),
    )


def _weight_of_each(axis: _Axis) -> NDArray[np.float32]:
    """Of each pixel (length,), the weight of its cell's higher corner."""
    offsets = np.arange(len(axis.cell_of)) - axis.starts[axis.cell_of]
    weights: NDArray[np.float32] = axis.weights[axis.cell_of, offsets]
    return weights


def strongest(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The first of the highest classes (…) uint8 of logits (classes, …).

    Several times as fast as numpy's argmax over a short first axis, but for a few values.
    """
    if logits.size <= _FEW_VALUES:
        first: NDArray[np.uint8] = logits.argmax(axis=0).astype(np.uint8)
        return first
    highest = np.maximum.reduce(logits)
    ids = np.zeros(highest.shape, np.uint8)
    below = np.ones(highest.shape, np.bool_)
    for of_class in logits[:-1]:
        below &= of_class != highest
        ids += below
    return ids


def _edge_padded(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (N, h, w) with one more of each edge's: (N, h + 2, w + 2)."""
    count, height, width = labels.shape
    padded = np.empty((count, height + 2, width + 2), np.uint8)
    padded[:, 1:-1, 1:-1] = labels
    padded[:, 1:-1, 0], padded[:, 1:-1, -1] = labels[:, :, 0], labels[:, :, -1]
    padded[:, 0], padded[:, -1] = padded[:, 1], padded[:, -2]
    return padded


def _mixed_cells(labels: NDArray[np.uint8], rows: _Axis, columns: _Axis) -> NDArray[np.bool_]:
    """Which cells (N, rows, columns) have corners of several classes, of edge-padded labels."""
    first = labels[:, rows.cells, columns.cells]
    mixed: NDArray[np.bool_] = first != labels[:, rows.cells, columns.next_cells]
    mixed |= first != labels[:, rows.next_cells, columns.cells]
    mixed |= first != labels[:, rows.next_cells, columns.next_cells]
    return mixed


def _chunks(
    cells: NDArray[np.intp], classes: int, rows: _Axis, columns: _Axis
) -> Iterator[NDArray[np.intp]]:
    """A few of the cells at a time."""
    pixels = rows.weights.shape[1] * columns.weights.shape[1]
    at_once = max(1, _CHUNK_VALUES // (classes * pixels))
    for start in range(0, len(cells), at_once):
        yield cells[start : start + at_once]


def _places_of(
    cells: NDArray[np.intp], rows: _Axis, columns: _Axis
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The picture, row and column numbers of cells that are counted through."""
    all_rows, j = np.divmod(cells, len(columns.low))
    n, i = np.divmod(all_rows, len(rows.low))
    return n, i, j


def _strongest_in(
    cells: NDArray[np.intp], logits: NDArray[np.float32], rows: _Axis, columns: _Axis
) -> NDArray[np.uint8]:
    """The strongest classes (cells, rows, columns) at the pixels of these cells, by logits
    (classes, N, h, w) interpolated there.
    """
    n, i, j = _places_of(cells, rows, columns)
    _, _, low_height, low_width = logits.shape
    top = (n * low_height + rows.low[i]) * low_width
    bottom = (n * low_height + rows.high[i]) * low_width
    left, right = columns.low[j], columns.high[j]
    corners = np.empty((len(cells), 4), np.intp)
    for corner, (row, column) in enumerate(
        ((top, left), (top, right), (bottom, left), (bottom, right))
    ):
        np.add(row, column, out=corners[:, corner])
    values = logits.reshape(len(logits), -1).take(corners, axis=1)  # (classes, cells, 4)
    if rows.uniform and columns.uniform:
        ids = strongest(values @ _cell_weights(rows.uniform, columns.uniform))
    else:
        ids = strongest(_interpolated(values, rows.weights[i], columns.weights[j]))
    return ids.reshape(len(cells), rows.weights.shape[1], columns.weights.shape[1])


class _WholeCells:
    """A picture of whole cells: what is beyond its edges is cut in the end.

    A cell's pixels of one row are one `word`, so that they are written at once.
    """

    def __init__(self, labels: NDArray[np.uint8], word: type[np.unsignedinteger[Any]]) -> None:
        """`labels` (N, rows, columns) are the classes of cells that are not filled."""
        self._side = np.dtype(word).itemsize
        count, down, across = labels.shape
        self._across = across
        words = np.empty((count, down, self._side, across), word)
        np.multiply(labels, word(np.iinfo(word).max // 0xFF), out=words[:, :, 0], dtype=word)
        words[:, :, 1:] = words[:, :, :1]
        self._words = words

    def fill(self, cells: NDArray[np.intp], ids: NDArray[np.uint8]) -> None:
        """Write `ids` (cells, side, side)."""
        words = self._words.reshape(-1)
        at = cells + (cells - cells % self._across) * (self._side - 1)
        of_rows = ids.view(words.dtype)[:, :, 0]
        for row in range(self._side):
            words[at + row * self._across] = of_rows[:, row]

    def cut(self, rows: _Axis, columns: _Axis) -> NDArray[np.uint8]:
        count, down, side, across = self._words.shape
        pixels = self._words.view(np.uint8).reshape(count, down * side, across * side)
        top, left = -rows.starts[0], -columns.starts[0]
        return pixels[:, top : top + len(rows.cell_of), left : left + len(columns.cell_of)]


def _fill(
    result: NDArray[np.uint8],
    cells: NDArray[np.intp],
    ids: NDArray[np.uint8],
    rows: _Axis,
    columns: _Axis,
) -> None:
    """Write `ids` (cells, rows, columns) to where these cells lie in `result` (N, height, width),
    but what is beyond its edges.
    """
    n, i, j = _places_of(cells, rows, columns)
    _, height, width = result.shape
    down, across = np.arange(ids.shape[1]), np.arange(ids.shape[2])
    y = rows.starts[i][:, np.newaxis] + down
    x = columns.starts[j][:, np.newaxis] + across
    places = ((n * height)[:, np.newaxis] + y)[:, :, np.newaxis] * width + x[:, np.newaxis]
    inside_y = (y >= 0) & (down < rows.counts[i][:, np.newaxis])
    inside_x = (x >= 0) & (across < columns.counts[j][:, np.newaxis])
    inside = inside_y[:, :, np.newaxis] & inside_x[:, np.newaxis]
    result.reshape(-1)[places[inside]] = ids[inside]


def _interpolated(
    values: NDArray[np.float32], down: NDArray[np.float32], across: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Values (classes, cells, 4) of the corners at every pixel of their cell: (classes, cells,
    rows, columns).
    """
    corners = values.reshape(*values.shape[:2], 2, 2)
    left, right = corners[..., :1], corners[..., 1:]
    edges = left + (right - left) * across[:, np.newaxis]
    top, bottom = edges[..., :1, :], edges[..., 1:, :]
    result: NDArray[np.float32] = top + (bottom - top) * down[:, :, np.newaxis]
    return result


@lru_cache(maxsize=16)
def _cell_weights(down: int, across: int) -> NDArray[np.float32]:
    """Weights (4, down·across) of a cell's corners for each of its pixels, where factors are whole
    numbers.
    """
    y, x = _offsets(down)[:, np.newaxis], _offsets(across)
    corners: list[NDArray[Any]] = [(1 - y) * (1 - x), (1 - y) * x, y * (1 - x), y * x]
    return np.stack([corner.reshape(-1) for corner in corners]).astype(np.float32)


def _offsets(factor: int) -> NDArray[np.float64]:
    """How far each pixel of a cell is from its lower corner, in low-resolution pixels."""
    return (np.arange(factor) + (0.5 if factor % 2 == 0 else 0.0)) / factor
