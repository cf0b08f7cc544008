"""What a contract's `io` says of another maker's graph, done around it in numpy: pixels in the form
that it wants, and its output as logits."""

import math

import numpy as np
from numpy.typing import NDArray

from models.contract import ModelIO

_LEAST_PROBABILITY = 1e-7


def model_values(images: NDArray[np.uint8], io: ModelIO) -> NDArray[np.generic]:
    """Images (N, H, W, C), mirrored to a size that the graph takes, in its layout, type and
    range."""
    pixels: NDArray[np.generic] = images if io.size is not None else _mirrored(images, io)
    if io.channel_order == "bgr" and pixels.shape[-1] == 3:
        pixels = pixels[..., ::-1]
    low, high = io.range
    if (low, high) != (0.0, 255.0) or io.mean is not None or io.std is not None:
        step = (high - low) / 255
        mean = np.array(io.mean or (0.0,), np.float32)
        std = np.array(io.std or (1.0,), np.float32)
        values = pixels.astype(np.float32) * np.float32(step) + np.float32(low)
        pixels = np.divide(values - mean, std)
    if io.layout == "NCHW":
        pixels = np.moveaxis(pixels, -1, 1)
    return np.ascontiguousarray(pixels, io.dtype)


def planes_of_output(output: NDArray[np.generic], io: ModelIO) -> NDArray[np.float32]:
    """A graph's output as (N, channels, h, w)."""
    return np.ascontiguousarray(_planes(output, io), np.float32)


def logits_of_planes(planes: NDArray[np.float32], io: ModelIO, classes: int) -> NDArray[np.float32]:
    """Logits (N, classes, h, w), softmax of which are the probabilities, of an output that is no
    class map.

    Where its channels leave the first class out, that wins where all of them are below the
    threshold.
    """
    leaves_first_out = planes.shape[1] < classes
    if io.output != "logits":
        planes = planes.clip(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        log = np.log(planes)
        planes = log - np.log1p(-planes) if leaves_first_out else log
    if leaves_first_out:
        above = planes - np.float32(math.log(io.threshold / (1 - io.threshold)))
        planes = np.concatenate([np.zeros_like(above[:, :1]), above], axis=1)
    return np.ascontiguousarray(planes)


def class_ids_of_output(output: NDArray[np.generic], io: ModelIO) -> NDArray[np.uint8]:
    """Class ids (N, h, w) of a graph's output that is a class map."""
    return np.ascontiguousarray(_planes(output, io)[:, 0], np.uint8)


def _planes(output: NDArray[np.generic], io: ModelIO) -> NDArray[np.generic]:
    """The output as (N, channels, h, w)."""
    if output.ndim == 3:
        return output[:, np.newaxis]
    return np.moveaxis(output, -1, 1) if (io.output_layout or io.layout) == "NHWC" else output


def _mirrored(images: NDArray[np.uint8], io: ModelIO) -> NDArray[np.uint8]:
    widths = [(0, 0)] * 4
    for axis in (1, 2):
        own = images.shape[axis]
        padded = max(-(-own // io.multiple) * io.multiple, io.least_side)
        widths[axis] = (0, padded - own)
    if not any(after for _, after in widths):
        return images
    for axis in (1, 2):
        mode = "reflect" if images.shape[axis] > 1 else "edge"
        own_widths = [width if place == axis else (0, 0) for place, width in enumerate(widths)]
        images = np.pad(images, own_widths, mode=mode)  # type: ignore[call-overload]
    return images
