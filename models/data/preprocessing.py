"""What has to be done to a picture before a network that is trained on a data set sees it: found
in the data, kept with the run, and written into the artefact's contract."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.contract.preprocessing import (
    FrameScale,
    NativeScale,
    PercentileIntensity,
    PhysicalScale,
    Scale,
    read_scale,
)
from models.data.dataset import Dataset
from models.data.examination import Examination
from models.data.fingerprint import THIN_PIXELS, Fingerprint, fingerprint
from models.data.scenes import read_scene
from models.data.tones import intensity_of

_ALIKE = 1.25  # long sides within a quarter are of one kind of frame
_MOST = 0.9  # of the pictures have to be
_SCENE = 0.2  # classes whose upper and lower halves differ by less may do so by chance
_BY_RECIPE = "the recipe says so"


class Preprocessing(BaseModel):
    """The contract's `scale` and `intensity`, each with the reason in words."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    scale: Scale
    scale_reason: str
    intensity: PercentileIntensity
    intensity_reason: str

    @property
    def hint(self) -> str | None:
        """What to say where the data did not show it."""
        if isinstance(self.scale, FrameScale | PhysicalScale) or self.scale_reason == _BY_RECIPE:
            return None
        return (
            "where a larger picture of yours shows the same scene with more pixels, say --scale "
            "longest=PIXELS, here or to segtrain export"
        )

    @property
    def lines(self) -> list[str]:
        """Both in a sentence each."""
        return [
            f"scale: {self.scale.text}, since {self.scale_reason}",
            f"intensity: {self.intensity_reason}",
        ]


def preprocessing_of(examination: Examination, scale: str = "auto") -> Preprocessing:
    """Of the training split of data that were examined; `scale` as a recipe has it."""
    asked = read_scale(scale)
    if asked is not None:
        found, reason = asked, _BY_RECIPE
    else:
        found, reason = _scale_on_ground(examination.dataset) or scale_of(
            fingerprint(examination.dataset, examination), _long_sides(examination)
        )
    learned = [one for one in examination.tones if one.split == "train"]
    intensity, why = intensity_of(learned)
    return Preprocessing(
        scale=found, scale_reason=reason, intensity=intensity, intensity_reason=why
    )


def _scale_on_ground(dataset: Dataset) -> tuple[Scale, str] | None:
    """Where nine in ten training pictures know about one size of their pixels on the ground."""
    samples = dataset.split("train")
    sizes = {path: _ground_pixel(path) for path in {sample.image for sample in samples}}
    known = [size for sample in samples if (size := sizes[sample.image]) is not None]
    if not known or len(known) < len(samples):
        return None
    middle = float(np.median(known))
    alike = [middle / _ALIKE <= size <= middle * _ALIKE for size in known]
    if np.mean(alike) < _MOST:
        return None
    rounded = float(f"{middle:.3g}")
    return PhysicalScale(pixel_size=rounded, unit="m"), (
        f"the training pictures are georeferenced, with pixels of about {rounded:g} m on the ground"
    )


def _ground_pixel(path: Path) -> float | None:
    try:
        scene = read_scene(path)
    except (ValueError, OSError):
        return None
    return scene.pixel_size if scene else None


def scale_of(found: Fingerprint, long_sides: NDArray[np.int64]) -> tuple[Scale, str]:
    """At which size the network knows its objects, by the long sides (n,) of the training pictures,
    and why."""
    middle = int(np.median(long_sides))
    alike = (long_sides <= middle * _ALIKE) & (long_sides * _ALIKE >= middle)
    many_sizes = alike.mean() < _MOST
    sizes = f"long sides of {long_sides.min()} to {long_sides.max()} pixels"
    if many_sizes and not (found.has_up and found.grows_with_picture):
        return NativeScale(), f"the pictures have many sizes ({sizes})"
    if not many_sizes and found.up_down <= _SCENE:
        return NativeScale(), (
            "the classes tell no up from down in these pictures, as in cut-outs of something larger"
        )
    if found.thinnest < THIN_PIXELS:
        return NativeScale(), (
            f"a common class is {found.thinnest:.1f} pixels wide, and would be lost"
        )
    if many_sizes:
        return FrameScale(long_side=max(16, middle)), (
            f"the pictures have many sizes ({sizes}) and show larger objects where they are larger "
            f"(by the power of {found.growth:.2f}); larger ones are shrunk to about {middle} pixels"
        )
    return FrameScale(long_side=max(16, middle)), (
        f"the {found.images} training pictures are one kind of frame: long sides of about {middle} "
        f"pixels, and classes whose upper and lower halves differ by {found.up_down:.0%}; larger "
        "pictures are shrunk to that"
    )


def _long_sides(examination: Examination) -> NDArray[np.int64]:
    return np.array([max(size) for size, n in examination.sizes.items() for _ in range(n)])
