"""What a recipe can say about data and augmentation. Knows nothing of Keras, so that a command line
can be read without it."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
LayoutName = Literal[
    "csv",
    "voc",
    "cityscapes",
    "ade20k",
    "mapillary",
    "roboflow",
    "cvat_masks",
    "supervisely",
    "ultralytics",
    "folders",
    "labelme",
    "labelstudio",
    "cvat",
    "qupath",
    "geo",
    "coco",
    "hugging_face",
    "found",
]
Unlabelled = Literal["background", "ignore"]


class AugmentationOptions(BaseModel):
    """The [augmentation] table of a recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crop: Annotated[
        tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]],
        Field(description="height and width in pixels of what the network trains on"),
    ] = (256, 256)
    scale: Annotated[
        tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]],
        Field(description="smallest and largest magnification"),
    ] = (1.0, 1.0)
    flip: Annotated[bool, Field(description="mirror left and right")] = True
    vertical_flip: Annotated[bool, Field(description="mirror up and down")] = False
    rot90: Annotated[bool, Field(description="turn by 0, 90, 180 or 270 degrees")] = False
    rotation: Annotated[float, Field(ge=0, le=180, description="largest turn in degrees")] = 0.0
    elastic: Annotated[
        float, Field(ge=0, le=100, description="deviation of a 3×3 grid's shifts, in pixels")
    ] = 0.0
    fill_mode: Annotated[
        Literal["reflect", "ignore"],
        Field(description="beyond the picture: its mirror image, or gray that is ignored"),
    ] = "reflect"
    brightness: Annotated[Fraction, Field(description="largest shift, of the range 0–255")] = 0.0
    contrast: Annotated[Fraction, Field(description="largest change of contrast")] = 0.0
    saturation: Annotated[Fraction, Field(description="largest change of saturation")] = 0.0
    hue: Annotated[Fraction, Field(description="largest turn of the colour circle")] = 0.0
    blur: Annotated[float, Field(ge=0, le=10, description="widest Gaussian, sigma in pixels")] = 0.0
    noise: Annotated[
        Fraction, Field(description="largest deviation of Gaussian noise, of the range 0–255")
    ] = 0.0
    jpeg: Annotated[
        int,
        Field(ge=0, le=100, description="lowest quality of a random JPEG compression; 0: none"),
    ] = 0
    degraded: Annotated[
        Fraction, Field(description="share of the views that blur, noise and JPEG make worse")
    ] = 1.0
    class_balance: Annotated[
        Fraction,
        Field(
            description="share of the views that hold a pixel of a class drawn from those of the "
            "picture, each as likely as another"
        ),
    ] = 0.0
    copy_paste: Annotated[
        Fraction,
        Field(
            description="share of the views into which one small class of the batch's next view is "
            "pasted"
        ),
    ] = 0.0

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Self:
        low, high = self.scale
        if not 0.25 <= low <= high <= 4:
            raise ValueError(
                f"scale is [smallest, largest] between 0.25 and 4; got [{low}, {high}]"
            )
        return self


class SplitOptions(BaseModel):
    """The [split] table: how samples are divided where the data set's folders do not say it.

    Each group of samples falls by the hash of its name and the seed, so that files added later move
    none of the old, or few in a small set.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fraction: Annotated[
        float, Field(ge=0, lt=1, description="share of val, where the data has no val split")
    ] = 0.1
    test: Annotated[
        float, Field(ge=0, lt=1, description="share of test, where the data has no test split")
    ] = 0.0
    validation: Annotated[
        bool,
        Field(
            description="false: val's images are trained on too, and the last epoch is kept, not "
            "scored: for a recipe that val has chosen"
        ),
    ] = True
    seed: Annotated[int, Field(ge=0, description="another seed, another division")] = 1
    group: Annotated[
        str | None,
        Field(description="regular expression on image names; what it matches stays together"),
    ] = None

    @property
    def training_splits(self) -> tuple[str, ...]:
        """What a training reads: the split to learn from, and the one to choose an epoch by."""
        return ("train", "val") if self.validation else ("train",)

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.fraction + self.test >= 1:
            raise ValueError("fraction and test leave nothing to train on; together below 1")
        if self.group is not None:
            try:
                re.compile(self.group)
            except re.error as error:
                raise ValueError(
                    f"group {self.group!r} is not a regular expression: {error}"
                ) from None
        return self


class LayoutOptions(BaseModel):
    """The [layout] table: what the files alone do not tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[
        LayoutName | None, Field(description="the data's layout; found by its files if not set")
    ] = None
    palette: Annotated[
        Path | None,
        Field(description="file of class names and colours, where colour masks bring none"),
    ] = None
    ignore: Annotated[
        int | None,
        Field(ge=0, le=255, description="value in the masks that is ignored, before the shift"),
    ] = None
    shift: Annotated[
        int,
        Field(
            ge=-255, le=255, description="added to the masks' values; -1 where classes count from 1"
        ),
    ] = 0
    unlabelled: Annotated[
        Unlabelled,
        Field(description="what pixels are that no region of an annotation tool covers"),
    ] = "background"
    label_field: Annotated[
        str | None,
        Field(description="the column of a GeoPackage or GeoJSON that holds the classes"),
    ] = None
    images: Annotated[
        str | None,
        Field(description="glob of the images below the folder, where their names do not tell"),
    ] = None
    masks: Annotated[
        str | None, Field(description="glob of the masks, told together with that of the images")
    ] = None
