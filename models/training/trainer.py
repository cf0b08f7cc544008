"""What learns: a network, its optimizer and its loss, on every device that is there; and the
network that is kept of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.architectures.network import Network
from models.architectures.networks import build_by_options, with_facts
from models.architectures.options import NetworkOptions
from models.architectures.start import is_exported, start_from_exported, start_from_trained
from models.training.checkpoint import load_checkpoint, objects_of_files
from models.training.deep_supervision import (
    auxiliary_strides,
    level_losses,
    with_auxiliary_logits,
)
from models.training.distillation import Distillation
from models.training.losses import SegmentationLoss
from models.training.options import Precision
from models.training.recipe import Recipe, RecipeError
from models.training.run import load_best
from models.training.schedules import WarmUpDecay

_POLICIES: dict[Precision, str] = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


class Trainer:
    """A network in training.

    `network.model` learns and may have auxiliary outputs or 16-bit layers; `ema_model` is what is
    scored and exported: float32, one output, its weights those of `network` or their running
    average. `start` says what a new one starts from, where that is a whole network.
    """

    def __init__(
        self,
        network: Network,
        optimizer: keras.optimizers.Optimizer,
        recipe: Recipe,
        loss: SegmentationLoss,
        strategy: tf.distribute.Strategy,
        start: str = "",
        distillation: Distillation | None = None,
    ) -> None:
        self.start = start
        self._distillation = distillation
        self.network = network
        self.optimizer = optimizer
        self._recipe = recipe
        self._loss = loss
        self._strategy = strategy
        model = network.model
        self._inference = (
            keras.Model(model.input, model.outputs[0], name=model.name)
            if len(model.outputs) > 1
            else model
        )
        twin = recipe.ema_decay > 0 or recipe.precision != "float32"
        self.ema_model = _in_float32(self._inference) if twin else self._inference
        self._frozen = False
        self._step = self._traced_step()

    def step(self, batch: tuple[tf.Tensor, ...]) -> float:
        """Learn from one batch of distributed data; its loss, NaN where the loss or a gradient is
        not finite."""
        return float(self._step(batch))

    def distribute(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """The batches, each shared by all devices."""
        if self._strategy.num_replicas_in_sync == 1:
            return batches
        return self._strategy.experimental_distribute_dataset(batches)

    def freeze_encoder(self, frozen: bool) -> None:
        """Let the encoder learn or not, its BatchNorm statistics as its weights."""
        if frozen != self._frozen:
            self._frozen = frozen
            self._set_encoder_trainable(not frozen)
            self._step = self._traced_step()

    @contextmanager
    def unfrozen(self) -> Iterator[None]:
        """For saving: Keras would load a frozen layer without its optimizer's state."""
        self._set_encoder_trainable(True)
        yield
        self._set_encoder_trainable(not self._frozen)

    def _set_encoder_trainable(self, trainable: bool) -> None:
        for layer in self.network.encoder():
            layer.trainable = trainable

    def _encoder_variables(self) -> list[tf.Variable]:
        layers = self.network.encoder()
        return [weight.value for layer in layers for weight in layer.trainable_weights]

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """What a checkpoint has to keep beside the network and its optimizer."""
        arrays = {f"random_{i}": np.asarray(v) for i, v in enumerate(self._random_states())}
        if self.ema_model is not self._inference:
            arrays |= {f"kept_{i}": w for i, w in enumerate(self.ema_model.get_weights())}
        return arrays

    def restore(self, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Take back what `arrays` gave."""
        for i, variable in enumerate(self._random_states()):
            if f"random_{i}" in arrays:
                variable.assign(arrays[f"random_{i}"])
        if self.ema_model is not self._inference and "kept_0" in arrays:
            self.ema_model.set_weights(
                [arrays[f"kept_{i}"] for i in range(len(self.ema_model.weights))]
            )

    def _random_states(self) -> list[keras.Variable]:
        model = self.network.model
        weights = {id(weight) for weight in model.weights}
        return [v for v in model.variables if id(v) not in weights and "seed" in v.path]

    def _traced_step(self) -> Callable[[tuple[tf.Tensor, ...]], tf.Tensor]:
        replicas = self._strategy.num_replicas_in_sync
        model = self.network.model
        variables = model.trainable_variables
        clip_norm = self._recipe.optimizer.clip_norm
        supervised = self._recipe.deep_supervision
        strides = [1, *auxiliary_strides(self.network)] if supervised else [1]
        encoder_lr_multiplier = self._recipe.optimizer.encoder_lr_multiplier
        encoder_variables = self._encoder_variables() if encoder_lr_multiplier < 1 else []

        def learn(
            images: tf.Tensor, masks: tf.Tensor, border: tf.Tensor | None = None
        ) -> tf.Tensor:
            with tf.GradientTape() as tape:
                outputs = model(images, training=True)
                levels = [outputs] if len(strides) == 1 else outputs
                loss = level_losses(self._loss, levels, strides, masks, border)
                if self._distillation is not None:
                    loss += self._distillation(images, levels[0])
                scaled = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, [v.value for v in variables])
            scale = self.optimizer.scale_loss(tf.constant(1.0))
            if replicas > 1:
                context = tf.distribute.get_replica_context()
                gradients = context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients)
            norm = tf.linalg.global_norm(gradients) / scale
            if clip_norm:
                gradients, _ = tf.clip_by_global_norm(
                    gradients, clip_norm * scale, use_norm=norm * scale
                )
            # Keras sums what the devices give it, and all of them give the same.
            self.optimizer.apply([g / replicas for g in gradients], variables)
            if self._recipe.precision == "float16":
                return loss  # the optimizer leaves out a step whose scaled gradients overflow
            return tf.where(tf.math.is_finite(norm), loss, float("nan"))

        def step(batch: tuple[tf.Tensor, ...]) -> tf.Tensor:
            before = [tf.identity(v) for v in encoder_variables]
            losses = self._strategy.run(learn, args=batch)
            # Adam's step does not shrink with the gradient, so it is the step that is shortened.
            for v, old in zip(encoder_variables, before, strict=True):
                v.assign(old + (v - old) * encoder_lr_multiplier)
            if self.ema_model is not self._inference:
                self._update_ema()
            return self._strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None)

        return tf.function(step, reduce_retracing=True)  # type: ignore[no-any-return]

    def _update_ema(self) -> None:
        """Move the averaged weights towards the network's; in the first steps faster, while they
        are mostly their start."""
        steps = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self._recipe.ema_decay, (1 + steps) / (10 + steps))
        for average, weight in zip(self.ema_model.weights, self._inference.weights, strict=True):
            average.assign(average * decay + tf.cast(weight, average.dtype) * (1 - decay))


def set_seeds(recipe: Recipe) -> None:
    """Seed this process, and have TensorFlow compute as the recipe wants: before a network is made
    for it."""
    keras.utils.set_random_seed(recipe.seed)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()


def new_trainer(
    recipe: Recipe,
    channels: int,
    class_weights: Sequence[float],
    steps: int,
    distillation: Distillation | None = None,
) -> Trainer:
    """A trainer at its first step of `steps`. Raises BackboneWeightsError and RecipeError."""
    strategy = available_strategy()
    with strategy.scope():
        with _Policy(recipe.precision):
            network, start = _new_network(recipe.network, len(class_weights), channels)
            if recipe.deep_supervision:
                network = with_auxiliary_logits(network)
        optimizer = _optimizer(recipe, steps)
        optimizer.build(network.model.trainable_variables)
        network.model.compile(optimizer)
        loss = SegmentationLoss(recipe.loss, class_weights, _progress(optimizer, steps))
        return Trainer(network, optimizer, recipe, loss, strategy, start, distillation)


def _new_network(options: NetworkOptions, classes: int, channels: int) -> tuple[Network, str]:
    """A network, and a line on what it starts from where that is a whole network."""
    start = options.initialize_from
    if start is None:
        return build_by_options(classes, channels, options), ""
    network = build_by_options(classes, channels, options.model_copy(update={"weights": None}))
    if is_exported(start):
        left = start_from_exported(network.model, start)
    else:
        left = start_from_trained(network.model, load_best(start))
    random = f"; at random, since its classes are others: {', '.join(left)}" if left else ""
    return network, f"start: the weights of {start}{random}"


def restore_trainer(
    path: Path,
    recipe: Recipe,
    class_weights: Sequence[float],
    steps: int,
    distillation: Distillation | None = None,
) -> Trainer:
    """A trainer as a checkpoint left it. Raises OtherNetworkError and RecipeError where the
    checkpoint is of another recipe or of other classes, and DamagedFileError."""
    strategy = available_strategy()
    with strategy.scope():
        checkpoint = load_checkpoint(path)
        model = checkpoint.model
        # Keras forgets which variables the optimizer was told to leave out of weight decay.
        optimizer = _optimizer(recipe, steps)
        optimizer.build(model.trainable_variables)
        for variable, kept in zip(optimizer.variables, model.optimizer.variables, strict=True):
            variable.assign(kept)
        model.compile(optimizer)
        loss = SegmentationLoss(recipe.loss, class_weights, _progress(optimizer, steps))
        network = with_facts(model, recipe.network)
        if network.classes != len(class_weights):
            raise RecipeError(
                f"the network in {path} has {network.classes} classes, and the data "
                f"{len(class_weights)}; give another --run folder to train on these"
            )
        trainer = Trainer(network, optimizer, recipe, loss, strategy, distillation=distillation)
        trainer.restore(checkpoint.arrays)
    return trainer


def devices() -> list[str]:
    """The names of all GPUs, or else of the CPU."""
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found]


class _Policy:
    """Layers made inside have a recipe's precision."""

    def __init__(self, precision: Precision) -> None:
        self._policy = _POLICIES[precision]

    def __enter__(self) -> None:
        self._before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self._policy)

    def __exit__(self, *_: object) -> None:
        keras.config.set_dtype_policy(self._before)


def available_strategy() -> tf.distribute.Strategy:
    """All `devices` in step with each other, where there is more than one."""
    names = tuple(devices())
    return _mirrored(names) if len(names) > 1 else tf.distribute.get_strategy()


@cache
def _mirrored(names: tuple[str, ...]) -> tf.distribute.Strategy:
    """One of a process: two would number their collective operations alike, and TensorFlow confuse
    them."""
    return tf.distribute.MirroredStrategy(names)


def _optimizer(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    options = recipe.optimizer
    rate = WarmUpDecay(options.learning_rate, steps, options.warmup_steps, options.decay)
    if options.name == "sgd":
        optimizer = keras.optimizers.SGD(
            rate, momentum=options.momentum, nesterov=True, weight_decay=options.weight_decay
        )
    else:
        optimizer = keras.optimizers.AdamW(rate, weight_decay=options.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if recipe.precision == "float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _progress(optimizer: keras.optimizers.Optimizer, steps: int) -> Callable[[], tf.Tensor]:
    """The share of the steps that the optimizer has taken."""
    return lambda: tf.cast(optimizer.iterations, tf.float32) / steps


def _in_float32(network: keras.Model) -> keras.Model:
    """A copy of the network with layers and weights in float32."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    with keras.saving.custom_object_scope(objects_of_files()):
        twin = keras.models.clone_model(network, clone_function=copy)
    twin.set_weights(network.get_weights())
    return twin
