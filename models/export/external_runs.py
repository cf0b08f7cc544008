"""Run an external model at sizes that it may take or not: its stride, the least size, and where its
output has what."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.export.adopt_options import AdoptionError, AdoptOptions, AxisOrder
from models.export.external_io import ExternalModel, IOSpec, ProbeError, prepared

_TRIED_STRIDES = (1, 2, 4, 8, 16, 32, 64)
_PROBE_SIDES = (64, 256, 512)  # pixels; the next where the model runs on nothing of the last


@dataclass(frozen=True)
class Run:
    size: tuple[int, int]  # height and width that went in
    output: NDArray[np.generic]


def run_on(
    model: ExternalModel,
    io_spec: IOSpec,
    options: AdoptOptions,
    image: NDArray[np.uint8],
    size: tuple[int, int],
) -> Run:
    """Run the model on one image, brought to `size`. Raises ProbeError."""
    height, width = size
    channels = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(image, -1, 0)
    ]
    pixels = np.stack(channels, axis=-1)[np.newaxis].astype(np.float32)
    return Run(size, model.probe(prepared(pixels, io_spec, options, model.input_dtype)))


def first_run(
    model: ExternalModel, io_spec: IOSpec, options: AdoptOptions, image: NDArray[np.uint8]
) -> tuple[int, Run]:
    """The least stride at which the model runs and gives back whole multiples, and its output
    there."""
    fault = "its output is of another size"
    for stride, size in _tried_sizes(io_spec.size, options.multiple):
        try:
            run = run_on(model, io_spec, options, image, size)
        except ProbeError as error:
            fault = str(error)
            continue
        _require_rows(run)
        if io_spec.size or reduction_of(run, "NHWC") or reduction_of(run, "NCHW"):
            return stride, run
        fault = f"a {run.size[0]}×{run.size[1]} image gave an output of shape {run.output.shape}"
    raise AdoptionError(
        f"the model runs on no size that was tried ({fault}); "
        + (
            "check --axes and --channels"
            if io_spec.size
            else "say --size HEIGHT WIDTH if it takes one alone"
        )
    )


def _require_rows(run: Run) -> None:
    """Raise AdoptionError where the output has all pixels in one row, as losses once wanted it."""
    pixels = run.size[0] * run.size[1]
    if run.output.ndim == 3 and pixels in run.output.shape[1:] and pixels > max(run.size):
        raise AdoptionError(
            f"a {run.size[0]}×{run.size[1]} image gave an output of shape {run.output.shape}, with "
            "all pixels in one row; save the model without its last Reshape, or with one to "
            "(height, width, classes)"
        )


def _tried_sizes(
    fixed: tuple[int, int] | None, multiple: int | None
) -> Iterator[tuple[int, tuple[int, int]]]:
    """A stride, and an odd multiple of it on each side, so that no multiple of twice as much is
    tried for it. Where a `multiple` is said, that alone."""
    if fixed is not None:
        yield 1, fixed
        return
    for side in _PROBE_SIDES:
        for stride in (multiple,) if multiple else _TRIED_STRIDES:
            steps = -(-side // stride) | 1
            yield stride, (steps * stride, (steps + 2) * stride)


def least_side(
    model: ExternalModel,
    io_spec: IOSpec,
    options: AdoptOptions,
    image: NDArray[np.uint8],
    enough: int,
) -> int:
    """The least multiple of the stride that the model takes on both sides: reflected padding and
    halvings rule small ones out. It takes `enough`."""
    stride = io_spec.stride

    def runs(steps: int) -> bool:
        try:
            run = run_on(model, io_spec, options, image, (steps * stride, steps * stride))
        except ProbeError:
            return False
        return reduction_of(run, io_spec.output_axes) == io_spec.reduction

    too_few, will_do = 0, enough // stride
    while will_do - too_few > 1:
        middle = (too_few + will_do) // 2
        too_few, will_do = (too_few, middle) if runs(middle) else (middle, will_do)
    return will_do * stride


def reduction_of(run: Run, axes: AxisOrder) -> int | None:
    """The input pixels along a side that an output pixel stands for; None where that is no whole
    number."""
    first = 2 if axes == "NCHW" and run.output.ndim == 4 else 1
    sides = run.output.shape[first : first + 2]
    if len(sides) < 2 or any(
        side == 0 or full % side for side, full in zip(sides, run.size, strict=True)
    ):
        return None
    across, down = (full // side for side, full in zip(sides, run.size, strict=True))
    return across if across == down else None


def output_axes_of(run: Run, classes: int, likely: AxisOrder) -> tuple[AxisOrder, int, int]:
    """Where the output's channels are, how many, and the output's reduction. Raises AdoptionError
    where they are not the classes'."""
    shape = run.output.shape
    is_class_map = np.issubdtype(run.output.dtype, np.integer)
    wanted = (1,) if is_class_map else (classes, classes - 1)
    by_axes: dict[AxisOrder, int | None] = {"NHWC": None, "NCHW": None}
    if run.output.ndim == 3:
        by_axes["NHWC"] = 1
    elif run.output.ndim == 4:
        by_axes = {"NHWC": shape[3], "NCHW": shape[1]}
    orders: tuple[AxisOrder, ...] = ("NHWC", "NCHW") if likely == "NHWC" else ("NCHW", "NHWC")
    for axes in orders:
        channels, reduction = by_axes[axes], reduction_of(run, axes)
        if channels in wanted and channels and reduction is not None:
            return axes, channels, reduction
    if is_class_map and classes in by_axes.values():
        raise AdoptionError(
            f"its output has {classes} channels of {run.output.dtype}, as that of a quantized "
            "model; save it with float32 inputs and outputs"
        )
    raise AdoptionError(
        f"a {run.size[0]}×{run.size[1]} image gave an output of shape {shape}, which is not "
        f"{classes} classes over the image or over a whole fraction of it; does --classes name "
        "them all, background included?"
    )
