"""What of a map can be anything but void, so that the rest is neither read nor written."""

from collections.abc import Iterator

from service.domain.source import Window


def chunks(size: tuple[int, int], side: int, stored: Window | None) -> Iterator[Window]:
    """The squares of `side` pixels of a map (H, W), row by row, those at its right and its bottom
    smaller; only those that reach into what is `stored`, all of them where that is None.
    """
    height, width = size
    held = Window(0, 0, height, width) if stored is None else stored
    if not held.height or not held.width:
        return
    for top in range(held.top // side * side, held.top + held.height, side):
        for left in range(held.left // side * side, held.left + held.width, side):
            yield Window(top, left, min(side, height - top), min(side, width - left))
