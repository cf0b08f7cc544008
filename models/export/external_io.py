"""What an external model takes and gives: read off its shapes, and by running it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.export.adopt_options import AdoptOptions, AxisOrder, OutputKind
from models.export.external import AdoptionError, ExternalModel, IOSpec, first_line, prepare

_TRIED_STRIDES = (1, 2, 4, 8, 16, 32, 64)
_PROBE_SIDE_PIXELS = 64
_SUM_TOLERANCE = 1e-2  # half precision


def infer_io_spec(
    model: ExternalModel,
    classes: int,
    options: AdoptOptions,
    images: Sequence[NDArray[np.uint8]] = (),
) -> IOSpec:
    """Find out what the model takes and gives, by its shapes and by running it. Raises
    AdoptionError."""
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
    known = IOSpec(axes, channels, batch_size, size, 1, 1, "logits", "NHWC", 1, ())
    pictures = [image for image in images if image.shape[-1] == channels][:4] or [_noise(channels)]
    stride, sample = _first_run(model, known, options, pictures[0])
    output_axes, output_channels, reduction = _output_axes(sample, classes, axes)
    outputs = [
        sample.output,
        *(_run(model, known, options, p, stride).output for p in pictures[1:]),
    ]
    kind = options.output or _output_kind(outputs, output_axes, output_channels)
    io_spec = IOSpec(
        axes,
        channels,
        batch_size,
        size,
        stride,
        reduction,
        kind,
        output_axes,
        output_channels,
        (),
    )
    return replace(io_spec, notes=_notes(model, io_spec, options))


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


def _require_scaling(model: ExternalModel, options: AdoptOptions, channels: int) -> None:
    for name, values in (("mean", options.mean), ("std", options.std)):
        if values is not None and len(values) not in (1, channels):
            raise AdoptionError(
                f"--{name} has {len(values)} values and the input {channels} channel"
            )
    if options.scaling is None and not (model.rescales_itself or model.input_type.is_integer):
        raise AdoptionError(
            "nothing in the file says what range of pixel values it was trained on; say --scaling "
            "0..1, -1..1 or none (and --mean, --std where it was trained with them)"
        )


def _notes(model: ExternalModel, io_spec: IOSpec, options: AdoptOptions) -> tuple[str, ...]:
    """What was found out and what was said, for the user and the model card."""
    if io_spec.size is None:
        size = f"any, padded to a multiple of {io_spec.stride}" if io_spec.stride > 1 else "any"
    else:
        size = (
            f"{io_spec.size[0]}×{io_spec.size[1]}; images are resized to it and class scores "
            "back, both bilinearly"
        )
    each = (
        f", each for {io_spec.reduction}×{io_spec.reduction} pixels"
        if io_spec.reduction > 1
        else ""
    )
    return (
        f"model: {model.description}",
        f"input: {io_spec.axes}, {_channels(io_spec.channels)}, {model.input_type.name}",
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
    output: NDArray[np.float32]


def _run(
    model: ExternalModel,
    io_spec: IOSpec,
    options: AdoptOptions,
    image: NDArray[np.uint8],
    stride: int,
) -> _Run:
    """Run the model on one image, brought to its size, or to an odd multiple of `stride` on each
    side."""
    if io_spec.size is not None:
        size = io_spec.size
    else:
        steps = -(-_PROBE_SIDE_PIXELS // stride) | 1
        size = (steps * stride, (steps + 2) * stride)
    pixels = tf.image.resize(tf.constant(image[np.newaxis], tf.float32), size)
    output = model.run(prepare(pixels, io_spec, options, model.input_type))
    return _Run(size, np.asarray(tf.cast(output, tf.float32)))


def _first_run(
    model: ExternalModel, io_spec: IOSpec, options: AdoptOptions, image: NDArray[np.uint8]
) -> tuple[int, _Run]:
    """The least stride at which the model runs and gives back whole multiples, and its output
    there."""
    fault = "its output is of another size"
    for stride in (1,) if io_spec.size else _TRIED_STRIDES:
        try:
            run = _run(model, io_spec, options, image, stride)
        except (ValueError, TypeError, tf.errors.OpError) as error:
            fault = first_line(error)
            continue
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
    wanted = (classes, 1) if classes == 2 else (classes,)
    shape = run.output.shape
    by_axes: dict[AxisOrder, int | None] = {"NHWC": None, "NCHW": None}
    if run.output.ndim == 3:
        by_axes["NHWC"] = 1
    elif run.output.ndim == 4:
        by_axes = {"NHWC": shape[3], "NCHW": shape[1]}
    orders: tuple[AxisOrder, ...] = ("NHWC", "NCHW") if likely == "NHWC" else ("NCHW", "NHWC")
    for axes in orders:
        channels, reduction = by_axes[axes], _reduction(run, axes)
        if channels in wanted and channels is not None and reduction is not None:
            return axes, channels, reduction
    raise AdoptionError(
        f"a {run.size[0]}×{run.size[1]} image gave an output of shape {shape}, which is not "
        f"{classes} classes over the image or over a whole fraction of it; does --classes name "
        "them all, background included?"
    )


def _output_kind(
    outputs: Sequence[NDArray[np.float32]], axes: AxisOrder, channels: int
) -> OutputKind:
    """Whether the values can only be logits, or look like probabilities. Raises AdoptionError in
    between."""
    if min(float(o.min()) for o in outputs) < 0 or max(float(o.max()) for o in outputs) > 1 + 1e-3:
        return "logits"
    if channels == 1:
        return "sigmoid"
    sums = [o.sum(axis=-1 if axes == "NHWC" else 1) for o in outputs]
    if all(float(np.abs(s - 1).max()) < _SUM_TOLERANCE for s in sums):
        return "probabilities"
    raise AdoptionError(
        "its outputs lie between 0 and 1 and do not add up to 1; set --output sigmoid where each "
        "class is for itself, or --output logits"
    )


def _noise(channels: int) -> NDArray[np.uint8]:
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (96, 96, channels), np.uint8)
