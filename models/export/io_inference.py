"""Find out what an external model takes and gives, from its shapes and by running it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.export.adopt_options import AdoptionError, AdoptOptions, AxisOrder, OutputKind
from models.export.external_io import ExternalModel, IOSpec, input_axes
from models.export.external_runs import first_run, least_side, output_axes_of, run_on

_SUM_TOLERANCE = 1e-2  # half precision


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
    if size is not None and options.multiple is not None:
        raise AdoptionError(
            f"the model gets {size[0]}×{size[1]} pixels alone; leave --multiple out"
        )
    _require_scaling(model, options, channels)
    known = IOSpec(axes, channels, batch_size, size, 1, 1, 1, "logits", "NHWC", 1, ())
    pictures = [image for image in images if image.shape[-1] == channels][:4] or [_noise(channels)]
    stride, sample = first_run(model, known, options, pictures[0])
    output_axes, output_channels, reduction = output_axes_of(sample, classes, axes)
    outputs = [
        sample.output,
        *(run_on(model, known, options, p, sample.size).output for p in pictures[1:]),
    ]
    if options.priority is not None:
        _require_overlap(outputs, output_axes, output_channels, classes, options)
    kind = options.output or _output_kind(
        outputs, output_axes, output_channels, overlap=options.priority is not None
    )
    if options.priority is None and options.output is None and 1 < output_channels < classes:
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
        least = least_side(model, io_spec, options, pictures[0], max(sample.size))
        io_spec = replace(io_spec, least=least)
    return replace(io_spec, notes=_notes(model, io_spec, options, other_sizes))


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


def _require_overlap(
    outputs: Sequence[NDArray[np.generic]],
    axes: AxisOrder,
    channels: int,
    classes: int,
    options: AdoptOptions,
) -> None:
    """Raise AdoptionError where the output cannot be of classes that overlap."""
    if options.output not in (None, "sigmoid", "logits"):
        raise AdoptionError(
            f"--priority is of classes that overlap, and an output of {options.output} has one "
            "class a pixel; leave one of both out"
        )
    if np.issubdtype(outputs[0].dtype, np.integer):
        raise AdoptionError(
            "--priority is of classes that overlap, and the model gives a class map, which has one "
            "class a pixel; leave it out"
        )
    if channels != classes - 1:
        raise AdoptionError(
            f"its output has {channels} channels and --priority names {classes - 1} classes that "
            "overlap; each is a channel, and the background is none"
        )
    if channels > 1 and _adds_up(outputs, axes):
        raise AdoptionError(
            "--priority is of classes that overlap, and the model's probabilities add up to 1 in "
            "each pixel; leave it out"
        )


def _adds_up(outputs: Sequence[NDArray[np.generic]], axes: AxisOrder) -> bool:
    sums = [o.astype(np.float32).sum(axis=-1 if axes == "NHWC" else 1) for o in outputs]
    return all(float(np.abs(s - 1).max()) < _SUM_TOLERANCE for s in sums)


def _output_kind(
    outputs: Sequence[NDArray[np.generic]], axes: AxisOrder, channels: int, *, overlap: bool
) -> OutputKind:
    """Whether the values can only be logits, or look like probabilities. Raises AdoptionError in
    between."""
    if np.issubdtype(outputs[0].dtype, np.integer):
        return "class_map"
    if any(o.min() < 0 for o in outputs) or any(o.max() > 1 + 1e-3 for o in outputs):
        return "logits"
    if channels == 1 or overlap:
        return "sigmoid"
    if _adds_up(outputs, axes):
        return "probabilities"
    if all(
        abs(float(one.sum(dtype=np.float64)) - 1) < _SUM_TOLERANCE for o in outputs for one in o
    ):
        raise AdoptionError(
            "its outputs add up to 1 over a whole picture, and not in each pixel, as a "
            "Softmax of ONNX opset 12 or older makes them (over all axes from its own on); save it "
            "with opset 13 or newer, or without the Softmax"
        )
    raise AdoptionError(
        "its outputs lie between 0 and 1 and do not add up to 1; set --output sigmoid where each "
        "class is for itself (and --priority where classes overlap), or --output logits"
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
