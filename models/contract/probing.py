"""Which parts of a raster are looked at to find what holds for all of it."""

from collections.abc import Iterator

EXACT_PIXELS = 64_000_000  # every pixel of a smaller raster is looked at
PROBES, PROBE_SIDE = 16, 96  # of a larger one so many parts, down and across
_BAND_PIXELS = 2**21

# Of floating-point samples, which are sorted, no more are kept: every so many-th.
_FLOATING_SAMPLES = 2**24

Part = tuple[int, int, int, int]  # top, left, height, width


def looked_at(height: int, width: int) -> Iterator[Part]:
    """All of a raster in bands of rows, or of a large one a net of small parts."""
    if height * width <= EXACT_PIXELS:
        rows = max(1, _BAND_PIXELS // width)
        for top in range(0, height, rows):
            yield top, 0, min(rows, height - top), width
        return
    yield from probes(height, width)


def floating_step(height: int, width: int, bands: int) -> int:
    """Every how many-th of the floating-point samples of `looked_at` counts, those of a part in
    the order of its pixels, void left out."""
    return max(1, -(-min(height * width, EXACT_PIXELS) * bands // _FLOATING_SAMPLES))


def probes(height: int, width: int) -> Iterator[Part]:
    """A net of small parts, spread over a raster from edge to edge."""
    down, across = min(PROBE_SIDE, height), min(PROBE_SIDE, width)
    for top in _spread(height - down):
        for left in _spread(width - across):
            yield top, left, down, across


def _spread(room: int) -> list[int]:
    return sorted({round(room * place / (PROBES - 1)) for place in range(PROBES)})
