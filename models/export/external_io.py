"""What an external model takes and gives. Knows neither TensorFlow nor OpenVINO: arrays go in and
come out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions, AxisOrder, OutputKind


class ProbeError(Exception):
    """The model does not run on what it was given. The text is its own runtime's."""


class ExternalModel(Protocol):
    """A model as it was loaded. `input_shape` has None where it is open; `input_dtype` is numpy's
    name; `rescales_itself` is whether it is known to take pixel values 0–255."""

    @property
    def input_shape(self) -> tuple[int | None, ...]: ...
    @property
    def input_dtype(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def rescales_itself(self) -> bool: ...

    def probe(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Its own output for values of its own form. Raises ProbeError."""


@dataclass(frozen=True)
class IOSpec:
    """What was found out of an external model. `notes` says it in words.

    A model of any size is given multiples of `stride` that are `least` pixels a side or more. One
    output pixel stands for `reduction` input pixels along a side.
    """

    axes: AxisOrder
    channels: int
    batch_size: int | None
    size: tuple[int, int] | None  # height and width, where the model takes one size alone
    stride: int
    least: int
    reduction: int
    output: OutputKind
    output_axes: AxisOrder
    output_channels: int
    notes: tuple[str, ...]


def input_axes(model: ExternalModel, options: AdoptOptions) -> tuple[AxisOrder, int]:
    """The order of the external input's axes, and its channels. Raises AdoptionError where they
    must be said."""
    first, last = model.input_shape[1], model.input_shape[3]
    fits: dict[AxisOrder, int | None] = {"NHWC": last, "NCHW": first}
    if options.axes is not None:
        channels = fits[options.axes] or options.channels
    else:
        sure = [axes for axes, size in fits.items() if size in (1, 3)]
        if len(sure) != 1:
            raise AdoptionError(
                f"the model's input has the shape {model.input_shape}, which does not say where "
                "the channels are; say --axes NHWC or NCHW"
                + ("" if sure else ", and --channels 1 or 3")
            )
        return sure[0], fits[sure[0]] or 0
    if channels not in (1, 3):
        raise AdoptionError(
            f"the model's input has the shape {model.input_shape}: as {options.axes} it has "
            f"{channels or 'unknown'} channels, and images have 1 or 3; say --channels, or other "
            "--axes"
        )
    return options.axes, channels


def value_range(options: AdoptOptions) -> tuple[float, float]:
    """What pixel values 0 and 255 become before mean and std."""
    ranges = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
    return ranges.get(options.scaling or "none", (0.0, 255.0))


def prepared(
    pixels: NDArray[np.float32], io_spec: IOSpec, options: AdoptOptions, dtype: str
) -> NDArray[np.generic]:
    """Pixel values 0–255 (N, H, W, C) as the model wants them."""
    if options.channel_order == "bgr" and io_spec.channels == 3:
        pixels = pixels[..., ::-1]
    low, high = value_range(options)
    values: NDArray[np.float32] = pixels * np.float32((high - low) / 255) + np.float32(low)
    if options.mean is not None:
        values = values - np.array(options.mean, np.float32)
    if options.std is not None:
        std: NDArray[np.float32] = np.array(options.std, np.float32)
        values = np.divide(values, std)
    if np.issubdtype(np.dtype(dtype), np.integer):
        values = np.rint(values)
    if io_spec.axes == "NCHW":
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values.astype(dtype))
