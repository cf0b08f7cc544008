"""A recipe chosen from the data and the machine, each choice with its reason.

The rules are few and plain; nnU-Net (Isensee et al. 2021) is the model for deriving crop, batch and
network from the data's fingerprint. A field that the user sets is never chosen.
"""

import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from models.architectures.table import KERAS, SCALED_BY_WIDTH
from models.contract.cores import available_cores
from models.data.examination import Examination, examine
from models.data.fingerprint import ORIENTATION_THRESHOLD, THIN_PIXELS, Fingerprint, fingerprint
from models.data.input import TrainingOrder
from models.data.memory import memory_bytes
from models.data.reading import read_dataset
from models.training.recipe import Recipe, RecipeError, recipe_of
from models.training.run import recipe_of_trained
from models.training.trainer import devices, new_trainer, set_seeds

RARE = 10  # times fewer pixels than the most frequent class
FEW_IMAGES = 60
FINE_TUNING_RATE = 3e-4  # of a network that starts trained
ENCODER_RATE = 0.2  # of the learning rate, for an encoder that starts trained
# decays of the averaged weights, by the steps of a training from which on they are kept
EMA_DECAYS = {0: 0.9, 500: 0.99, 5000: 0.998}
MEMORY_SHARE = 0.25
BYTES_PER_FEATURE = (
    4 * 40
)  # of a training step, a pixel and feature at full resolution; an estimate
TIMED_STEPS = 3
EPOCHS = (3, 400)
MAX_VALIDATION_SHARE = 0.1  # of the time, at most
MIN_VALIDATIONS = 10  # of val in a training, where it has as many epochs


@dataclass(frozen=True)
class Choice:
    """One field as the recipe has it, and why."""

    field: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Chosen:
    """A recipe with the reasons for it, and what was found in its data."""

    recipe: Recipe
    choices: list[Choice]
    examination: Examination


def choose_recipe(
    folder: Path, minutes: float, changes: Mapping[str, Any], trained: Path | None = None
) -> Chosen:
    """Choose a recipe for the data set in `folder` that trains about `minutes` here; `changes`,
    nested as a recipe, stay.

    `trained` is a model whose MobileNetV2 encoder may be started from where no weights are given.
    Raises DatasetError, RecipeError and BackboneWeightsError.
    """
    document = {"name": run_name(folder), "data": str(folder)}
    # A network's options are to fit the encoder, which may not be chosen yet.
    before_choice = recipe_of(document, {k: v for k, v in changes.items() if k != "network"})
    dataset = read_dataset(folder, before_choice.split, before_choice.layout)
    examination = examine(dataset, before_choice.split.training_splits)
    examination.raise_on_error()
    found = fingerprint(dataset, examination)
    given = _fields(changes)
    choices = [
        choice for choice in choose_by_data(found, given, trained) if choice.field not in given
    ]
    recipe = recipe_of(_nested(document, choices), changes)
    if "batch_size" not in given:
        choices.append(_batch(found, recipe))
        recipe = recipe_of(_nested(document, choices), changes)
    step, recipe, smaller = _fitting_step(found, recipe, "batch_size" in given)
    choices = [c for c in choices if not (smaller and c.field == "batch_size")] + smaller
    choices += _epochs(found, recipe, step, len(dataset.splits.get("val", ())), minutes, given)
    return Chosen(recipe_of(_nested(document, choices), changes), choices, examination)


def run_name(folder: Path) -> str:
    """A model name out of a folder's."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.resolve().name).strip("-_.")[:64] or "model"


# ---- choices


def choose_by_data(
    found: Fingerprint, given: Mapping[str, Any], trained: Path | None = None
) -> list[Choice]:
    """What the data decides, before anything is timed. `given` are the fields that the user set, by
    their dotted names, and `trained` a model whose encoder may be started from."""
    network = []
    if given.get("network.initialize_from") is not None:
        network = _network_of(Path(given["network.initialize_from"]), given)
    elif given.get("network.name", "unet") == "unet":
        network = _network(found, given, trained)
    return [*network, *_precision(given), *_views(found, given), *_loss(found)]


def _network_of(start: Path, given: Mapping[str, Any]) -> list[Choice]:
    """The network of the run or exported model that is started from. Raises RecipeError."""
    network = recipe_of_trained(start).network
    if given.get("network.name", network.name) != network.name:
        return []  # an FCN, from the next coarser one
    fields = ["name", "encoder", "width", "upsampling", "padding", "dropout", "feature_norm"]
    reason = f"as in {start}, which is started from"
    rate = Choice("optimizer.learning_rate", FINE_TUNING_RATE, "the network is trained already")
    return [
        *(Choice(f"network.{field}", getattr(network, field), reason) for field in fields),
        rate,
        *([] if network.encoder == "plain" else [_encoder_rate()]),
    ]


def _encoder_rate() -> Choice:
    reason = "the encoder is trained already, and is to keep much of what it knows"
    return Choice("optimizer.encoder_lr_multiplier", ENCODER_RATE, reason)


def _network(found: Fingerprint, given: Mapping[str, Any], trained: Path | None) -> list[Choice]:
    if "network.weights" in given:
        return _on_mobilenet("weights for it were given")
    why_plain = _why_plain(found, given, trained)
    if why_plain is None:
        reason = "the encoder of a bundled model, which has seen ImageNet"
        return [
            *_on_mobilenet("it can start trained"),
            Choice("network.weights", str(trained), reason),
        ]
    if _gpus():
        width, machine = (32 if found.images < FEW_IMAGES else 64), f"{_gpus()} GPUs"
    else:
        width, machine = (
            (16 if available_cores() < 8 else 24),
            f"{available_cores()} cores and no GPU",
        )
    dropout = 0.3 if found.images < FEW_IMAGES else 0.1
    return [
        Choice("network.encoder", "plain", why_plain),
        Choice("network.width", width, f"{machine}, {found.images} images"),
        Choice("network.upsampling", "bilinear", "smooth at once, where few images teach it"),
        Choice("network.dropout", dropout, f"{found.images} images"),
    ]


def _why_plain(found: Fingerprint, given: Mapping[str, Any], trained: Path | None) -> str | None:
    """Why not to start from a trained MobileNetV2; None where there is no reason."""
    if trained is None:
        return "no weights were given (--network.weights FILE)"
    if given.get("network.encoder") == "mobilenet_v2":
        return None
    for field in ("network.encoder", "network.width", "network.padding"):
        if field in given:
            return f"{field} was given"
    if given.get("network.upsampling") == "max_unpool":
        return "max_unpool wants an encoder that pools"
    if found.thinnest < THIN_PIXELS:
        return (
            f"a common class is {found.thinnest:.1f} pixels wide, and this decoder goes up to full "
            "resolution, mobilenet_v2's to half"
        )
    return None


def _on_mobilenet(reason: str) -> list[Choice]:
    return [
        Choice("network.encoder", "mobilenet_v2", reason),
        Choice("network.upsampling", "bilinear", "it has no weights to learn"),
        Choice("network.dropout", 0.1, "the encoder is trained already"),
        Choice("network.feature_norm", True, "a decoder learns sooner from features of one size"),
        _encoder_rate(),
    ]


def _precision(given: Mapping[str, Any]) -> list[Choice]:
    if _gpus() or "amx_bf16" not in _cpu_flags():
        return []
    if str(given.get("network.encoder")).startswith(KERAS):
        return []  # many of them have depthwise convolutions, whose gradients are slow in it
    return [Choice("precision", "bfloat16", "this CPU multiplies it in hardware (amx_bf16)")]


def _views(found: Fingerprint, given: Mapping[str, Any]) -> list[Choice]:
    limit = 512 if _gpus() else 256
    crop = [min(limit, max(32, round(side / 32) * 32)) for side in found.size]
    height, width = found.size
    choices = [
        Choice(
            "augmentation.crop",
            crop,
            f"images of {height}×{width} (height×width), regions of about {found.object_side:.0f} "
            f"pixels; at most {limit} {'on a GPU' if _gpus() else 'on a CPU'}",
        )
    ]
    reason = "objects are to be known at half and at twice their size too"
    choices.append(Choice("augmentation.scale", [0.5, 2.0], reason))
    flip = found.left_right <= ORIENTATION_THRESHOLD
    choices.append(
        Choice("augmentation.flip", flip, f"left and right halves differ by {found.left_right:.0%}")
    )
    turning = flip and not found.has_up
    difference = (
        f"upper and lower halves differ by {found.up_down:.1%}, {found.up_down_t:.1f} times what "
        "chance does to their mean"
    )
    if given.get("augmentation.vertical_flip") is False:
        turning, difference = False, "by augmentation.vertical_flip, the images have an up"
    hint = "; say false where the images have an up" if turning else ""
    choices.append(Choice("augmentation.vertical_flip", turning, difference + hint))
    choices.append(Choice("augmentation.rot90", turning, difference))
    if turning and found.images < FEW_IMAGES:
        reason = f"no up or down, and only {found.images} images"
        choices += [
            Choice("augmentation.rotation", 180.0, reason),
            Choice("augmentation.elastic", round(min(crop) / 32, 1), reason),
        ]
    choices += [
        Choice("augmentation.brightness", 0.2, "light varies"),
        Choice("augmentation.contrast", 0.3, "light varies"),
    ]
    if found.channels == 3:
        choices.append(Choice("augmentation.saturation", 0.3, "colour images"))
    if found.thinnest >= THIN_PIXELS:
        choices.append(Choice("augmentation.blur", 1.5, "pictures may be softer than these"))
    choices += [
        Choice("augmentation.noise", 0.05, "pictures may be noisier than these"),
        Choice("augmentation.jpeg", 30, "pictures may be compressed more than these"),
    ]
    return choices


def _loss(found: Fingerprint) -> list[Choice]:
    present = found.class_pixels[found.class_pixels > 0]
    ratio = float(present.max() / present.min())
    reason = "no class has many fewer pixels than another"
    if ratio >= 1.5:
        reason = f"the rarest class has {ratio:.0f} times fewer pixels than the most frequent"
    weighting = "inverse_log" if ratio > RARE else "none"
    terms = [{"name": "cross_entropy"}, {"name": "dice", "weight": 0.5}]
    return [
        Choice("class_weights", weighting, reason),
        Choice("loss.terms", terms, "dice counts classes alike, however many pixels they have"),
    ]


def _batch(found: Fingerprint, recipe: Recipe) -> Choice:
    height, width = recipe.augmentation.crop
    options = recipe.network
    features = options.width if options.encoder in SCALED_BY_WIDTH else max(options.width // 4, 16)
    image_bytes = height * width * features * BYTES_PER_FEATURE
    memory = MEMORY_SHARE * memory_bytes()
    fitting = max(int(memory / image_bytes), 1)
    most = (16 if _gpus() else 8) * max(_gpus(), 1)
    batch = min(fitting, most, max(found.images // 4, 1))
    devices_used = len(devices())
    batch = max(1 << batch.bit_length() - 1, 1)
    batch = max(batch // devices_used, 1) * devices_used
    return Choice(
        "batch_size",
        batch,
        f"about {image_bytes / 2**20:.0f} MB an image, {memory / 2**30:.1f} GB of memory to use, "
        f"{found.images} images",
    )


def _fitting_step(
    found: Fingerprint, recipe: Recipe, is_given: bool
) -> tuple[float, Recipe, list[Choice]]:
    """The seconds of a step, with the recipe and batch size that the device's memory takes. Raises
    RecipeError."""
    asked = recipe.batch_size
    while True:
        try:
            step = _step_seconds(found, recipe)
            break
        except tf.errors.ResourceExhaustedError:
            half = recipe.batch_size // 2 // len(devices()) * len(devices())
            if is_given or half < 1:
                raise RecipeError(
                    f"a step of batch_size {recipe.batch_size} does not fit into the memory of "
                    f"{', '.join(devices())}; set a smaller batch_size, augmentation.crop or "
                    "network.width"
                ) from None
            recipe = recipe.model_copy(update={"batch_size": half})
    if recipe.batch_size == asked:
        return step, recipe, []
    reason = f"{asked} images did not fit into the device's memory"
    return step, recipe, [Choice("batch_size", recipe.batch_size, reason)]


def _epochs(
    found: Fingerprint,
    recipe: Recipe,
    step: float,
    val_images: int,
    minutes: float,
    given: Mapping[str, Any],
) -> list[Choice]:
    """What the time allows, at `step` seconds a step, where the epochs are not given; and what goes
    by their number."""
    order = TrainingOrder(found.images, recipe.batch_size, recipe.seed)
    # A prediction is about a third of a step, by the pixel.
    crop = recipe.augmentation.crop[0] * recipe.augmentation.crop[1]
    image = step / recipe.batch_size / 3 * found.size[0] * found.size[1] / crop
    learning, scoring = order.steps_per_epoch * step, val_images * image

    def epochs_within(every: int) -> int:
        within = int(np.clip(minutes * 60 / (learning + scoring / every), *EPOCHS))
        return int(given.get("epochs", within))

    every = max(math.ceil(scoring / learning / MAX_VALIDATION_SHARE), 1)
    every = int(given.get("eval_every", min(every, max(epochs_within(1) // MIN_VALIDATIONS, 1))))
    epochs = epochs_within(every)
    seconds = learning + scoring / every
    steps = epochs * order.steps_per_epoch
    choices = [
        Choice(
            "epochs",
            epochs,
            f"{step:.2f} s a step were measured, {seconds:.0f} s an epoch; {minutes:g} minutes "
            "were asked for",
        ),
        Choice(
            "eval_every",
            every,
            f"a validation takes about {scoring:.0f} s, the steps of an epoch {learning:.0f} s",
        ),
        Choice("optimizer.warmup_steps", min(100, steps // 10), f"{steps} steps in all"),
        Choice(
            "ema_decay",
            decay := next(d for least, d in reversed(EMA_DECAYS.items()) if steps >= least),
            f"averaged weights are steadier; over about {1 / (1 - decay):.0f} of {steps} steps",
        ),
    ]
    unneeded = set(given) if val_images else {*given, "eval_every"}
    return [choice for choice in choices if choice.field not in unneeded]


def _step_seconds(found: Fingerprint, recipe: Recipe) -> float:
    classes = len(found.class_pixels)
    set_seeds(recipe)
    trainer = new_trainer(recipe, found.channels, [1.0] * classes, steps=100)
    shape = (recipe.batch_size, *recipe.augmentation.crop)
    images, masks = tf.zeros((*shape, found.channels)), tf.zeros(shape, tf.uint8)
    batch = next(iter(trainer.distribute(tf.data.Dataset.from_tensors((images, masks)))))
    trainer.step(batch)  # traces
    began = time.perf_counter()
    for _ in range(TIMED_STEPS):
        trainer.step(batch)
    return (time.perf_counter() - began) / TIMED_STEPS


# ---- the machine


def _gpus() -> int:
    return len(tf.config.list_logical_devices("GPU"))


def _cpu_flags() -> frozenset[str]:
    """What Linux says that this CPU can do."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def _fields(changes: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as {"table.field": value}."""
    fields: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, Mapping):
            fields |= _fields(value, f"{prefix}{key}.")
        else:
            fields[prefix + key] = value
    return fields


def _nested(document: Mapping[str, Any], choices: list[Choice]) -> dict[str, Any]:
    nested: dict[str, Any] = dict(document)
    for choice in choices:
        *tables, key = choice.field.split(".")
        place = nested
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = choice.value
    return nested
