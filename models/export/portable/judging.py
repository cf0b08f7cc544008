"""Whether what will be served is what the network's own runtime says of the same pictures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.contract import Overlap
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.external_io import IOSpec, ProbeError, prepared
from models.export.portable.network import PortableNetwork
from models.export.portable.wrapping import LEAST_PROBABILITY

REQUIRED_AGREEMENT = 0.999  # of pixels
_LONGEST_SIDE = 640  # pixels, of a picture that is judged
_ODD_SIZES = ((1, 1), (37, 53), (131, 97), (200, 259))  # H, W of what is judged beside the pictures

Answer = tuple[NDArray[np.uint8], NDArray[np.float32]]
Answers = Callable[[NDArray[np.uint8]], Answer]


@dataclass(frozen=True)
class Agreement:
    """Over `pixels`, the share with the same class, and the largest difference of a probability."""

    pixels: int
    equal: float
    largest_difference: float
    runtime: str

    def __str__(self) -> str:
        return (
            f"{self.equal:.3%} of {self.pixels:,} pixels have the class that {self.runtime} gives; "
            f"the largest difference of a probability is {self.largest_difference:.2g}"
        )


def own_answers(
    network: PortableNetwork,
    io_spec: IOSpec,
    options: AdoptOptions,
    classes: int,
    overlap: Overlap | None = None,
) -> Answers:
    """The class ids (H, W) and probabilities (H, W, classes) of an image (H, W, C) of a size that
    it takes, by the network's own runtime and numpy. They raise AdoptionError where that cannot run
    it."""

    def answer(image: NDArray[np.uint8]) -> Answer:
        height, width = image.shape[:2]
        if io_spec.size is None:
            image = _mirrored(image, io_spec)
        values = prepared(
            image[np.newaxis].astype(np.float32), io_spec, options, network.input_dtype
        )
        try:
            raw = network.probe(values)[0]
        except ProbeError as error:
            raise AdoptionError(
                f"{network.runtime} cannot run it on a picture of {height}×{width} (height×width): "
                f"{error}; say --size HEIGHT WIDTH where it is of one size, or --multiple"
            ) from error
        if raw.ndim == 2:
            raw = raw[..., np.newaxis]
        elif io_spec.output_axes == "NCHW":
            raw = np.moveaxis(raw, 0, -1)
        if io_spec.output == "class_map":
            ids = raw[..., 0].repeat(io_spec.reduction, 0).repeat(io_spec.reduction, 1)
            ids = ids[:height, :width].astype(np.uint8)
            return ids, np.eye(classes, dtype=np.float32)[ids]
        scores = _enlarged(raw.astype(np.float32), io_spec.reduction)[:height, :width]
        if overlap is not None:
            return _overlapping(scores, io_spec, overlap)
        probabilities = _probabilities(scores, io_spec, options, classes)
        return probabilities.argmax(axis=-1).astype(np.uint8), probabilities

    return answer


def _overlapping(scores: NDArray[np.float32], io_spec: IOSpec, overlap: Overlap) -> Answer:
    """Of scores (H, W, channels), each channel for itself."""
    if io_spec.output == "logits":
        scores = np.divide(np.float32(1), np.float32(1) + np.exp(-scores))
    ids = np.zeros(scores.shape[:2], np.uint8)
    for class_id in reversed(overlap.priority):
        ids[scores[..., class_id - 1] > overlap.threshold] = class_id
    return ids, np.concatenate([1 - scores.max(axis=-1, keepdims=True), scores], axis=-1)


def judge(
    served: Answers,
    own: Answers,
    io_spec: IOSpec,
    images: Sequence[NDArray[np.uint8]],
    runtime: str,
) -> Agreement:
    """Compare both on the images, and on blobs of odd sizes where the network takes any."""
    pixels = same = 0
    largest = 0.0
    shown = [_to_size(image, io_spec.size) for image in images]
    draw = np.random.default_rng(0)
    sizes = [io_spec.size] if io_spec.size else _ODD_SIZES
    shown += [_blobs(draw, *size, io_spec.channels) for size in sizes]
    for image in shown:
        (class_map, probabilities), (own_map, own_probabilities) = served(image), own(image)
        pixels += class_map.size
        same += int((class_map == own_map).sum())
        difference = float(np.abs(probabilities - own_probabilities).max())
        largest = max(largest, difference if math.isfinite(difference) else math.inf)
    return Agreement(pixels, same / pixels, largest, runtime)


def require_agreement(agreement: Agreement, *, force: bool) -> None:
    """Raise AdoptionError where too many pixels differ, or the network gives what is no number."""
    if force:
        return
    if not math.isfinite(agreement.largest_difference):
        raise AdoptionError(
            f"the model, or {agreement.runtime}, gives probabilities that are no numbers; is "
            "--scaling right? --force writes it all the same"
        )
    if agreement.equal < REQUIRED_AGREEMENT:
        raise AdoptionError(
            f"only {agreement}; {REQUIRED_AGREEMENT:.1%} of the pixels are required. Nothing was "
            "written; --runtime onnx has ONNX Runtime serve an ONNX file, --force writes it all "
            "the same"
        )


def _mirrored(image: NDArray[np.uint8], io_spec: IOSpec) -> NDArray[np.uint8]:
    wanted = [
        max(-(-side // io_spec.stride) * io_spec.stride, io_spec.least) for side in image.shape[:2]
    ]
    for axis, side in enumerate(wanted):
        own = image.shape[axis]
        widths = [(0, 0)] * 3
        widths[axis] = (0, side - own)
        image = np.pad(image, widths, mode="reflect" if own > 1 else "edge")
    return image


def _enlarged(scores: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Bilinearly, at half-pixel centers, (h, w, channels)."""
    if factor == 1:
        return scores
    height, width = scores.shape[0] * factor, scores.shape[1] * factor
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane)).resize(
                (width, height), Image.Resampling.BILINEAR
            )
        )
        for plane in np.moveaxis(scores, -1, 0)
    ]
    return np.stack(planes, axis=-1)


def _probabilities(
    scores: NDArray[np.float32], io_spec: IOSpec, options: AdoptOptions, classes: int
) -> NDArray[np.float32]:
    if io_spec.output != "logits":
        scores = scores.clip(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    if io_spec.output_channels < classes:
        if io_spec.output != "logits":
            scores = np.log(scores) - np.log1p(-scores)
        above = scores - np.float32(math.log(options.threshold / (1 - options.threshold)))
        scores = np.concatenate([np.zeros_like(above[..., :1]), above], axis=-1)
    elif io_spec.output != "logits":
        shares: NDArray[np.float32] = scores / scores.sum(axis=-1, keepdims=True)
        return shares
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    softmax: NDArray[np.float32] = powers / powers.sum(axis=-1, keepdims=True)
    return softmax


def _to_size(image: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """An image of the one size that is taken; else a large one shrunk."""
    height, width = image.shape[:2]
    if size is None:
        factor = min(1.0, _LONGEST_SIDE / max(height, width))
        size = max(1, round(height * factor)), max(1, round(width * factor))
    planes = [
        np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(image, -1, 0)
    ]
    return np.stack(planes, axis=-1)


def _blobs(draw: np.random.Generator, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Blobs of random color: noise alone would leave each pixel's class to chance."""
    coarse = draw.integers(0, 256, (-(-height // 16), -(-width // 16), channels), np.uint8)
    return coarse.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]
