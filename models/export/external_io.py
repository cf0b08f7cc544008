"""What an external model takes and gives, found out from its shapes and by running it. Knows
neither TensorFlow nor OpenVINO: arrays go in and come out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.export.adopt_options import AdoptionError, AdoptOptions, AxisOrder, OutputKind

_TRIED_STRIDES = (1, 2, 4, 8, 16, 32, 64)
_PROBE_SIDES = (64, 256, 512)  # pixels; the next where the model runs on nothing of the last
_SUM_TOLERANCE = 1e-2  # half precision


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


def infer_io_spec(
    model: ExternalModel,
    classes: int,
    options: AdoptOptions,
    images: Sequence[NDArray[np.uint8]] = (),
    *,
    other_sizes: str,
) -> IOSpec:
    """Find out what the model takes and gives, by its shapes and by running it.

    `other_sizes` says what is done with pictures of other sizes where it takes one alone. Raises
    AdoptionError.
    """
    axes, channels = input_axes(model, options)
    batch_size, *rest = model.input_shape
    if batch_size not in (None, 1):
        raise AdoptionError(
            f"the model takes batches of {batch_size} images alone; export it with a batch of 1, "
            "or of any size"
        )
    height, width = rest[:2] if axes == "NHWC" else rest[1:]
    size = (height, width) if height is not None and width is not None else options.size
    if size is not None and options.size not in (None, size):
        raise AdoptionError(f"the model takes {height}×{width} pixels alone; leave --size out")
    _require_scaling(model, options, channels)
    known = IOSpec(axes, channels, batch_size, size, 1, 1, 1, "logits", "NHWC", 1, ())
    pictures = [image for image in images if image.shape[-1] == channels][:4] or [_noise(channels)]
    stride, sample = _first_run(model, known, options, pictures[0])
    output_axes, output_channels, reduction = _output_axes(sample, classes, axes)
    outputs = [
        sample.output,
        *(_run(model, known, options, p, sample.size).output for p in pictures[1:]),
    ]
    kind = options.output or _output_kind(outputs, output_axes, output_channels)
    if options.output is None and 1 < output_channels < classes:
        raise AdoptionError(
            f"its output has {output_channels} channels and --classes names {classes}; where each "
            "channel is for itself and the first name is what none of them finds, say --output "
            "sigmoid, or --output logits if a sigmoid is to follow"
        )
    _require_possible(kind, outputs, output_channels, classes)
    io_spec = replace(
        known,
        stride=stride,
        reduction=reduction,
        output=kind,
        output_axes=output_axes,
        output_channels=output_channels,
    )
    if size is None:
        least = _least_side(model, io_spec, options, pictures[0], max(sample.size))
        io_spec = replace(io_spec, least=least)
    return replace(io_spec, notes=_notes(model, io_spec, options, other_sizes))


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


def _require_scaling(model: ExternalModel, options: AdoptOptions, channels: int) -> None:
    for name, values in (("mean", options.mean), ("std", options.std)):
        if values is not None and len(values) not in (1, channels):
            raise AdoptionError(
                f"--{name} has {len(values)} values and the input {channels} channel"
            )
    takes_integers = np.issubdtype(np.dtype(model.input_dtype), np.integer)
    if options.scaling is None and not (model.rescales_itself or takes_integers):
        raise AdoptionError(
            "nothing in the file says what range of pixel values it was trained on; say --scaling "
            "0..1, -1..1 or none (and --mean, --std where it was trained with them)"
        )


def _notes(
    model: ExternalModel, io_spec: IOSpec, options: AdoptOptions, other_sizes: str
) -> tuple[str, ...]:
    """What was found out and what was said, for the user and the model card."""
    if io_spec.size is not None:
        size = f"{io_spec.size[0]}×{io_spec.size[1]}; {other_sizes}"
    elif io_spec.stride > 1:
        size = f"any, padded to a multiple of {io_spec.stride}"
    else:
        size = "any"
    if io_spec.least > io_spec.stride:
        size += f", and to {io_spec.least} at least"
    each = (
        f", each for {io_spec.reduction}×{io_spec.reduction} pixels"
        if io_spec.reduction > 1
        else ""
    )
    return (
        f"model: {model.description}",
        f"input: {io_spec.axes}, {_channels(io_spec.channels)}, {model.input_dtype}",
        f"size: {size}",
        f"values: {_values_note(model, options, io_spec.channels)}",
        (
            f"output: {io_spec.output}, {io_spec.output_axes}, "
            f"{_channels(io_spec.output_channels)}{each}"
        ),
    )


def _values_note(model: ExternalModel, options: AdoptOptions, channels: int) -> str:
    if options.scaling is None:
        why = "it rescales them itself" if model.rescales_itself else "it takes integers"
        words = [f"0–255, since {why}"]
    elif options.scaling == "none":
        words = ["0–255 as they are"]
    else:
        words = [f"scaled to {options.scaling}"]
    if options.mean is not None:
        words.append(f"less {options.mean}")
    if options.std is not None:
        words.append(f"over {options.std}")
    return ", ".join(words) + (f", {options.channel_order.upper()}" if channels == 3 else "")


def _channels(number: int) -> str:
    return f"{number} channel{'s' if number > 1 else ''}"


@dataclass(frozen=True)
class _Run:
    size: tuple[int, int]  # height and width that went in
    output: NDArray[np.generic]


def _run(
    model: ExternalModel,
    io_spec: IOSpec,
    options: AdoptOptions,
    image: NDArray[np.uint8],
    size: tuple[int, int],
) -> _Run:
    """Run the model on one image, brought to `size`. Raises ProbeError."""
    height, width = size
    channels = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(image, -1, 0)
    ]
    pixels = np.stack(channels, axis=-1)[np.newaxis].astype(np.float32)
    return _Run(size, model.probe(prepared(pixels, io_spec, options, model.input_dtype)))


def _first_run(
    model: ExternalModel, io_spec: IOSpec, options: AdoptOptions, image: NDArray[np.uint8]
) -> tuple[int, _Run]:
    """The least stride at which the model runs and gives back whole multiples, and its output
    there."""
    fault = "its output is of another size"
    for stride, size in _tried_sizes(io_spec.size):
        try:
            run = _run(model, io_spec, options, image, size)
        except ProbeError as error:
            fault = str(error)
            continue
        _require_rows(run)
        if io_spec.size or _reduction(run, "NHWC") or _reduction(run, "NCHW"):
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


def _require_rows(run: _Run) -> None:
    """Raise AdoptionError where the output has all pixels in one row, as losses once wanted it."""
    pixels = run.size[0] * run.size[1]
    if run.output.ndim == 3 and pixels in run.output.shape[1:] and pixels > max(run.size):
        raise AdoptionError(
            f"a {run.size[0]}×{run.size[1]} image gave an output of shape {run.output.shape}, with "
            "all pixels in one row; save the model without its last Reshape, or with one to "
            "(height, width, classes)"
        )


def _tried_sizes(fixed: tuple[int, int] | None) -> Iterator[tuple[int, tuple[int, int]]]:
    """A stride, and an odd multiple of it on each side, so that no multiple of twice as much is
    tried for it."""
    if fixed is not None:
        yield 1, fixed
        return
    for side in _PROBE_SIDES:
        for stride in _TRIED_STRIDES:
            steps = -(-side // stride) | 1
            yield stride, (steps * stride, (steps + 2) * stride)


def _least_side(
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
            run = _run(model, io_spec, options, image, (steps * stride, steps * stride))
        except ProbeError:
            return False
        return _reduction(run, io_spec.output_axes) == io_spec.reduction

    too_few, will_do = 0, enough // stride
    while will_do - too_few > 1:
        middle = (too_few + will_do) // 2
        too_few, will_do = (too_few, middle) if runs(middle) else (middle, will_do)
    return will_do * stride


def _reduction(run: _Run, axes: AxisOrder) -> int | None:
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


def _output_axes(run: _Run, classes: int, likely: AxisOrder) -> tuple[AxisOrder, int, int]:
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
        channels, reduction = by_axes[axes], _reduction(run, axes)
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


def _output_kind(
    outputs: Sequence[NDArray[np.generic]], axes: AxisOrder, channels: int
) -> OutputKind:
    """Whether the values can only be logits, or look like probabilities. Raises AdoptionError in
    between."""
    if np.issubdtype(outputs[0].dtype, np.integer):
        return "class_map"
    if any(o.min() < 0 for o in outputs) or any(o.max() > 1 + 1e-3 for o in outputs):
        return "logits"
    if channels == 1:
        return "sigmoid"
    sums = [o.astype(np.float32).sum(axis=-1 if axes == "NHWC" else 1) for o in outputs]
    if all(float(np.abs(s - 1).max()) < _SUM_TOLERANCE for s in sums):
        return "probabilities"
    raise AdoptionError(
        "its outputs lie between 0 and 1 and do not add up to 1; set --output sigmoid where each "
        "class is for itself, or --output logits"
    )


def _require_possible(
    kind: OutputKind, outputs: Sequence[NDArray[np.generic]], channels: int, classes: int
) -> None:
    """Raise AdoptionError where the values cannot be of that kind."""
    least, most = min(float(o.min()) for o in outputs), max(float(o.max()) for o in outputs)
    if kind in ("probabilities", "sigmoid") and (least < -1e-3 or most > 1 + 1e-3):
        raise AdoptionError(
            f"its outputs lie between {least:.3g} and {most:.3g}, so they are no {kind} yet; say "
            "--output logits"
        )
    if channels == 1 and kind != "class_map" and least == most:
        raise AdoptionError(
            f"its output is {least:g} for every pixel of every picture that was tried, as that of "
            "a softmax of one channel is; save it with a sigmoid, or without an activation"
        )
    if kind == "probabilities" and channels != classes:
        raise AdoptionError(
            f"its output has {channels} channels of probabilities that add up to 1, and --classes "
            f"names {classes}"
        )
    if kind == "class_map" and (channels != 1 or most >= classes or least < 0):
        raise AdoptionError(
            f"its output is no class map of {classes} classes: it has {channels} channels, and "
            f"values from {least:g} to {most:g}"
        )


def _noise(channels: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (96, 96, channels), np.uint8)
