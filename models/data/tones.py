"""Which values the pictures of a data set have, and how those deeper than 8 bits became 8."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.contract.intensity import percentiles
from models.contract.preprocessing import PercentileIntensity, Values
from models.data.dataset import Issue, Picture
from models.data.depth import BY_PERCENTILES, Depth

_SAME_CHANNELS = 8  # what JPEG makes of a gray picture's three channels differs by no more


@dataclass(frozen=True)
class Tones:
    """Of one picture: its file as the data set calls it, and the 8-bit values below and above which
    a thousandth of its samples lies. `depth` is None where the file has 8 bits."""

    name: str
    split: str
    is_gray: bool
    dark: int
    bright: int
    depth: Depth | None

    @property
    def are_its_own(self) -> bool:
        """Whether the 8-bit values are the file's own, and not what its percentiles became."""
        return self.depth is None or self.depth.by != "percentiles"


def tones_of(name: str, split: str, picture: Picture) -> Tones:
    """Look at a decoded picture."""
    pixels = picture.pixels
    counts = np.bincount(pixels.reshape(-1), minlength=256).tolist()
    dark, bright = percentiles(counts, BY_PERCENTILES)
    return Tones(name, split, _is_gray(pixels), dark, bright, picture.depth)


def _is_gray(pixels: NDArray[np.uint8]) -> bool:
    if pixels.shape[2] == 1:
        return True
    red, green, blue = (pixels[..., channel].astype(np.int16) for channel in range(3))
    differ = max(int(np.abs(red - green).max()), int(np.abs(green - blue).max()))
    return differ <= _SAME_CHANNELS and int(np.abs(red - blue).max()) <= _SAME_CHANNELS


def intensity_of(tones: Sequence[Tones]) -> tuple[PercentileIntensity, str]:
    """How pictures deeper than 8 bits are to be seen by a network that is trained on these, and
    why: their percentiles become what the others have there, gray ones and those in colour."""
    own = [one for one in tones if one.are_its_own and one.dark < one.bright]
    gray, color = (
        _median([one for one in own if one.is_gray is is_gray]) for is_gray in (True, False)
    )
    either = gray or color
    if either is None:
        return BY_PERCENTILES, (
            "0.1 and 99.9 % of a deep picture's values become black and white, since no training "
            "picture has 8-bit values of its own"
        )
    rule = PercentileIntensity(gray=gray or either, color=color or either)
    found = " and ".join(
        f"{values[0]} and {values[1]} in {name}"
        for name, values in (("gray", gray), ("colour", color))
        if values
    )
    return rule, (
        f"0.1 and 99.9 % of a deep picture's values become {found}, as the training's pictures of "
        "8 bits have them"
    )


def _median(tones: Sequence[Tones]) -> Values | None:
    if not tones:
        return None
    dark, bright = np.median([(one.dark, one.bright) for one in tones], axis=0)
    return int(dark + 0.5), int(bright + 0.5)


def mixed_depths(tones: Sequence[Tones]) -> Iterator[Issue]:
    """A warning where some pictures are deeper than others, or became 8 bits in other ways."""
    deep = [one for one in tones if one.depth is not None]
    if not deep:
        return
    kinds = sorted(depth_counts(tones).items(), key=lambda kind: -kind[1])
    if len(kinds) > 1:
        text = (
            "the set mixes depths: " + ", ".join(f"{count} of {name}" for name, count in kinds)
        ) + (
            "; those by percentiles are brought to the values that the others have, as serving "
            "does. Where one instrument made them, save them alike"
        )
        yield Issue("warning", "mixed depths", text)


def depth_counts(tones: Sequence[Tones]) -> dict[str, int]:
    """How many pictures there are of each depth, in words."""
    counts: dict[str, int] = {}
    for one in tones:
        name = "8 bits"
        if one.depth is not None:
            kind = "floating-point bits" if one.depth.is_floating else "bits"
            name = f"{one.depth.bits} {kind} by {one.depth.by}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def depth_lines(tones: Sequence[Tones]) -> list[str]:
    """A line for each depth: what values its pictures have, and what became black and white."""
    lines = []
    for name, count in depth_counts(tones).items():
        these = [one for one in tones if name in depth_counts([one])]
        lines.append(f"{name} ({count}): values {_range(these)}")
    return lines


def number(value: float) -> str:
    """Whole, or as floating-point samples have it."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _range(tones: Sequence[Tones]) -> str:
    """The lowest and the highest of their percentiles, and their windows where they have them."""
    lows = [one.depth.low if one.depth else one.dark for one in tones]
    highs = [one.depth.high if one.depth else one.bright for one in tones]
    text = f"{number(min(lows))}…{number(max(highs))} (0.1 to 99.9 % of a picture's)"
    windows = {one.depth.window for one in tones if one.depth}
    if len(windows) == 1:
        low, high = windows.pop()
        text += f", of which {number(low)} is black and {number(high)} white"
    elif windows:
        text += ", each spread by its own"
    return text
