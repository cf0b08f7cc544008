"""Learning from trained networks beside the masks (Hinton et al. 2015, "Distilling the Knowledge in
a Neural Network", section 2)."""

from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from models.architectures.loading import load_saved_model
from models.architectures.start import is_exported
from models.contract import read_contract
from models.training.options import DistillationOptions
from models.training.recipe import RecipeError
from models.training.run import Run, load_best

# Images float32 (N, H, W, C), 0 to 255, to probabilities float32 (N, H, W, classes).
Teacher = Callable[[tf.Tensor], tf.Tensor]

_LEAST_PROBABILITY = 1e-7


class Distillation:
    """What it costs a network to answer otherwise than its teachers do on the mean."""

    def __init__(self, options: DistillationOptions, teachers: Sequence[Teacher]) -> None:
        self._options = options
        self._teachers = tuple(teachers)

    def __call__(self, images: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Map images float32 (N, H, W, C) and the network's logits (N, H, W, classes) to one
        float32.

        It is weight · T² · KL(teachers ‖ network), of both softened by the temperature T, the mean
        over all pixels: teachers know void ones too.
        """
        temperature = self._options.temperature
        wanted = tf.stop_gradient(tf.nn.softmax(self._log_probabilities(images) / temperature))
        found = tf.nn.log_softmax(tf.cast(logits, tf.float32) / temperature)
        apart = tf.math.xlogy(wanted, wanted) - wanted * found
        cost = tf.reduce_mean(tf.reduce_sum(apart, axis=-1))
        return self._options.weight * temperature**2 * cost

    def _log_probabilities(self, images: tf.Tensor) -> tf.Tensor:
        answers = [teacher(images) for teacher in self._teachers]
        if self._options.flip:
            mirrored = images[:, :, ::-1]
            answers += [teacher(mirrored)[:, :, ::-1] for teacher in self._teachers]
        return tf.math.log(tf.maximum(tf.add_n(answers) / len(answers), _LEAST_PROBABILITY))


def distillation_of(
    options: DistillationOptions, class_names: Sequence[str], channels: int
) -> Distillation | None:
    """With the recipe's teachers loaded; None where it names none.

    Raises RecipeError where one is neither a run nor an exported model, or was trained on other
    classes or channels; DamagedFileError and ContractError.
    """
    if not options.teachers:
        return None
    return Distillation(
        options, [_teacher(path, list(class_names), channels) for path in options.teachers]
    )


def _teacher(path: Path, class_names: list[str], channels: int) -> Teacher:
    if is_exported(path):
        contract = read_contract(path)
        _require_same(path, [c.name for c in contract.classes], class_names)
        _require_same_channels(path, contract.channels, channels)
        return _exported(path)
    network = load_best(path)
    _require_same(path, Run.open(path).class_names() or class_names, class_names)
    _require_same_channels(path, network.input_shape[-1], channels)
    return lambda images: tf.nn.softmax(tf.cast(network(images, training=False), tf.float32))


def _exported(path: Path) -> Teacher:
    try:
        loaded = load_saved_model(path)
        signature = loaded.signatures["probabilities"]
    except (OSError, KeyError) as error:
        raise RecipeError(
            f"the teacher {path} holds no SavedModel with probabilities; give a run, or MODEL/"
            "VERSION that segtrain export wrote"
        ) from error

    def answer(images: tf.Tensor) -> tf.Tensor:
        # `loaded` is named here since variables live as long as their module.
        assert loaded is not None
        return signature(images=tf.cast(tf.round(images), tf.uint8))["probabilities"]

    return answer


def _require_same(path: Path, theirs: Sequence[str], ours: Sequence[str]) -> None:
    if list(theirs) != list(ours):
        raise RecipeError(
            f"the teacher {path} knows the classes {', '.join(theirs)}, and the data have "
            f"{', '.join(ours)}; a teacher's classes are those of the data, in their order"
        )


def _require_same_channels(path: Path, theirs: int, ours: int) -> None:
    if theirs != ours:
        raise RecipeError(
            f"the teacher {path} sees pictures of {theirs} channels, and the data have {ours}"
        )
