"""What a model's score loses on pictures that are worse, brighter, darker or of another size than
those it was trained on."""

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.data.dataset import Dataset
from models.training.evaluation import Images, Predictor, eval_batches
from models.training.metrics import ConfusionMatrix

BLUR_SIGMA = 2.0  # pixels
NOISE_DEVIATION = 12.0  # of the range 0–255
JPEG_QUALITY = 30

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Condition:
    """How the pictures are shown: `factor` times as large as the model's working size, each (H, W,
    C) as `degrade` makes it."""

    degrade: Callable[[Pixels], Pixels] | None = None
    factor: float = 1.0

    def __call__(self, images: Images) -> Images:
        if self.degrade is None:
            return images
        return np.stack([self.degrade(image) for image in images])


def measure_robustness(
    predictor_at: Callable[[float], Predictor], dataset: Dataset, split: str, *, batch_size: int
) -> dict[str, float]:
    """The mean IoU on a split by condition, "plain" first; `predictor_at` predicts images that are
    shown at that factor of the working size. Raises DatasetError."""
    predictors = {
        factor: predictor_at(factor) for factor in {c.factor for c in CONDITIONS.values()}
    }
    classes = len(dataset.class_list.classes)
    counted = {name: ConfusionMatrix(classes) for name in CONDITIONS}
    for shown in eval_batches(dataset, split, batch_size):
        for name, condition in CONDITIONS.items():
            class_maps = predictors[condition.factor].class_maps(condition(shown.images))
            counted[name].add(shown.masks, class_maps)
    return {name: confusion.scores().mean_iou for name, confusion in counted.items()}


def robustness_rows(mean_ious: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Condition, mean IoU, and its distance to the plain one; none of no conditions."""
    return [
        (name, f"{value:.3f}", "" if name == PLAIN else f"{value - mean_ious[PLAIN]:+.3f}")
        for name, value in mean_ious.items()
    ]


# ---- what is done to pixels (H, W, C)


def blurred(pixels: Pixels) -> Pixels:
    """By a Gaussian."""
    blur = ImageFilter.GaussianBlur(BLUR_SIGMA)
    channels = (Image.fromarray(np.ascontiguousarray(one)) for one in np.moveaxis(pixels, -1, 0))
    return np.stack([np.asarray(one.filter(blur)) for one in channels], axis=-1)


def noisy(pixels: Pixels) -> Pixels:
    """With Gaussian noise, of the same picture always the same."""
    draw = np.random.default_rng(zlib.crc32(pixels.tobytes()))
    noise = draw.normal(0, NOISE_DEVIATION, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def compressed(pixels: Pixels) -> Pixels:
    """As JPEG brings it back, three channels as a colour picture, others each for itself."""
    if pixels.shape[-1] == 3:
        return _through_jpeg(pixels)
    return np.stack([_through_jpeg(one) for one in np.moveaxis(pixels, -1, 0)], axis=-1)


def _through_jpeg(pixels: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(file))


def exposed(stops: int) -> Callable[[Pixels], Pixels]:
    """With 2^stops times the light: in linear light, by sRGB's curve (IEC 61966-2-1)."""
    value = np.arange(256) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = np.minimum(light * 2.0**stops, 1)
    value = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    table = np.rint(value * 255).astype(np.uint8)
    return lambda pixels: table[pixels]


# ---- the table

PLAIN = "plain"
CONDITIONS: dict[str, Condition] = {
    PLAIN: Condition(),
    "half the working size": Condition(factor=0.5),
    "twice the working size": Condition(factor=2.0),
    f"blur, sigma {BLUR_SIGMA:g} pixels": Condition(blurred),
    f"noise, deviation {NOISE_DEVIATION:g} of 255": Condition(noisy),
    f"JPEG of quality {JPEG_QUALITY}": Condition(compressed),
    **{f"{stops:+d} stops of light": Condition(exposed(stops)) for stops in (-2, -1, 1, 2)},
}
