from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.training.distillation import Distillation, Teacher, distillation_of
from models.training.options import DistillationOptions
from models.training.recipe import Recipe, RecipeError
from models.training.trainer import new_trainer

NUCLEI = Path("models/zoo/nuclei/1")
IMAGES = tf.constant(np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)), tf.float32)


@pytest.fixture(autouse=True)
def _eagerly() -> Iterator[None]:
    """Tracing these networks takes longer than the few steps they make here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def sure_of(*probabilities: float) -> Teacher:
    return lambda images: tf.broadcast_to(
        tf.constant(probabilities), (*images.shape[:3], len(probabilities))
    )


def left_is_one(images: tf.Tensor) -> tf.Tensor:
    """By place, whatever the picture shows: class 1 in the left half, class 0 in the right."""
    right = tf.range(images.shape[2]) >= images.shape[2] // 2
    return tf.broadcast_to(tf.one_hot(tf.where(right, 0, 1), 2), (*images.shape[:3], 2))


def cost(logits: Any, *teachers: Teacher, **options: Any) -> float:
    distillation = Distillation(DistillationOptions(**options), teachers)
    return float(distillation(tf.zeros((1, 4, 4, 3)), tf.broadcast_to(logits, (1, 4, 4, 2))))


def test_it_is_the_divergence_of_the_network_from_its_teachers_mean() -> None:
    wanted, found = np.array([0.6, 0.4]), np.array([0.2, 0.8])
    expected = float((wanted * np.log(wanted / found)).sum())
    teachers = sure_of(0.7, 0.3), sure_of(0.5, 0.5)
    assert cost(np.log(found), *teachers) == pytest.approx(expected, rel=1e-4)
    assert cost(np.log(found), *teachers, weight=0.5) == pytest.approx(expected / 2, rel=1e-4)
    assert cost(np.log(wanted) + 3, *teachers) == pytest.approx(0, abs=1e-6)


def test_both_are_softened_by_the_temperature() -> None:
    def soft(p: list[float]) -> NDArray[np.float64]:
        powers: NDArray[np.float64] = np.array(p) ** (1 / 4)
        return powers / np.sum(powers)

    wanted, found = soft([0.9, 0.1]), soft([0.2, 0.8])
    expected = 16 * float((wanted * np.log(wanted / found)).sum())
    assert cost(np.log([0.2, 0.8]), sure_of(0.9, 0.1), temperature=4) == pytest.approx(
        expected, rel=1e-4
    )


def test_with_flip_a_teacher_answers_the_mirror_image_too() -> None:
    even = np.log([0.5, 0.5])
    assert cost(even, left_is_one) == pytest.approx(np.log(2), rel=1e-4)
    assert cost(even, left_is_one, flip=True) == pytest.approx(0, abs=1e-5)


def test_a_network_learns_what_its_teacher_says_where_no_mask_says_anything() -> None:
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "data": "unused",
            "network": {"width": 2, "upsampling": "bilinear"},
            "optimizer": {"learning_rate": 0.02, "warmup_steps": 0},
        }
    )
    keras.utils.set_random_seed(1)
    void = tf.fill((2, 32, 32), tf.constant(255, tf.uint8))
    teacher = Distillation(DistillationOptions(), [sure_of(0.1, 0.8, 0.1)])
    trainer = new_trainer(recipe, 3, [1.0, 1.0, 1.0], steps=20, distillation=teacher)
    losses = [trainer.step((IMAGES, void)) for _ in range(12)]
    assert losses[-1] < 0.6 * losses[0]


def test_an_exported_model_teaches_data_of_its_classes_alone() -> None:
    options = DistillationOptions.model_validate({"teachers": str(NUCLEI)})
    distillation = distillation_of(options, ["background", "nucleus"], 3)
    assert distillation is not None
    sure = [np.log([[0.999, 0.001][:: 1 if even else -1]]) for even in (True, False)]
    costs = [float(distillation(tf.fill((1, 64, 64, 3), 128.0), logits)) for logits in sure]
    assert costs[0] < 0.1 < costs[1]  # even gray is background
    with pytest.raises(RecipeError, match="knows the classes background, nucleus, and the data"):
        distillation_of(options, ["nucleus", "background"], 3)
    with pytest.raises(RecipeError, match="of 3 channels, and the data have 1"):
        distillation_of(options, ["background", "nucleus"], 1)


def test_a_teacher_that_is_neither_run_nor_model_is_refused(tmp_path: Path) -> None:
    options = DistillationOptions(teachers=(tmp_path,))
    with pytest.raises(RecipeError, match="is not a run with a validated epoch"):
        distillation_of(options, ["a", "b"], 3)


def test_without_teachers_nothing_is_distilled() -> None:
    assert distillation_of(DistillationOptions(), ["a", "b"], 3) is None
