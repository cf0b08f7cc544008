"""Learning rates over the steps of a training."""

import math
from typing import Any, Self

import keras
import tensorflow as tf

from models.training.options import Decay


class WarmUpDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Linear warm-up from 0 to `peak`, then a decay to 0 at `steps`.

    "cosine" is half a cosine (Loshchilov and Hutter 2017, without restarts), "poly" is (1 - t)^0.9
    (Chen et al. 2017, DeepLab, section 4.1).
    """

    def __init__(self, peak: float, steps: int, warmup_steps: int, decay: Decay) -> None:
        self.peak = peak
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.decay = decay

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        warmup = tf.minimum((step + 1) / max(self.warmup_steps, 1), 1.0)
        span = max(self.steps - self.warmup_steps, 1)
        done = tf.clip_by_value((step - self.warmup_steps) / span, 0.0, 1.0)
        if self.decay == "cosine":
            left = 0.5 * (1 + tf.cos(math.pi * done))
        elif self.decay == "poly":
            left = (1 - done) ** 0.9
        else:
            left = tf.ones_like(done)
        return self.peak * warmup * left

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        if "warm_up_steps" in config:  # a file of release 0.1
            config = {key.replace("warm_up", "warmup"): value for key, value in config.items()}
        return cls(**config)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }
