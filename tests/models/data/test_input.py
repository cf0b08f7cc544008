from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.data.augmentation import VOID, Augmentation
from models.data.input import SampleReader, training_batches
from models.data.options import AugmentationOptions
from models.data.reading import read_dataset
from tests.models.conftest import COLOURS, scene

EVERYTHING = AugmentationOptions(
    crop=(32, 48),
    scale=(0.6, 1.6),
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.05,
)


def batches(
    folder: Path, first_epoch: int, epochs: int, seed: int = 1
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    dataset = read_dataset(folder)
    stream = training_batches(
        dataset.split("train"),
        dataset.channels,
        Augmentation(EVERYTHING, dataset.channels),
        batch_size=3,
        seed=seed,
        first_epoch=first_epoch,
        epochs=epochs,
    )
    return [(image.numpy(), mask.numpy()) for image, mask in stream]


def test_an_epoch_sees_every_sample_and_fills_its_last_batch(dataset_folder: Path) -> None:
    assert [image.shape for image, _ in batches(dataset_folder, 0, 2)] == [(3, 32, 48, 3)] * 6


def test_a_stream_that_begins_later_goes_on_with_the_same_views(dataset_folder: Path) -> None:
    whole, resumed = batches(dataset_folder, 0, 3), batches(dataset_folder, 1, 3)
    for (image, mask), (again, mask_again) in zip(whole[3:], resumed, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, mask_again)


def test_another_seed_gives_other_views(dataset_folder: Path) -> None:
    first, second = batches(dataset_folder, 0, 1, seed=1), batches(dataset_folder, 0, 1, seed=2)
    assert not np.array_equal(first[0][0], second[0][0])


def test_masks_move_with_their_images_and_keep_their_values() -> None:
    """Geometry alone: every pixel deep inside a class still shows that class's colour."""
    geometry = EVERYTHING.model_copy(
        update={"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    )
    augment = Augmentation(geometry, 3)
    image, mask = scene(5, 60, 80)
    mask[mask == 255] = 0
    spread = mask * 100  # any mixture of two of these ids is none of them
    for step in range(12):
        view, ids = (
            np.asarray(t)
            for t in augment(tf.constant(image), tf.constant(spread), tf.constant([1, step]))
        )
        assert set(np.unique(ids)) <= {0, 100, 200, VOID}
        known = ids != VOID
        nearest = np.abs(view[..., np.newaxis, :] - COLOURS).sum(axis=-1).argmin(axis=-1)
        assert np.mean(nearest[known] * 100 == ids[known]) > 0.95  # the rest lies on edges


@pytest.mark.parametrize("size", [(1, 1), (20, 200), (31, 47)])
def test_an_image_smaller_than_the_crop_is_surrounded_by_void(size: tuple[int, int]) -> None:
    augment = Augmentation(AugmentationOptions(crop=(32, 48), flip=False), 1)
    image, mask = np.full((*size, 1), 9, np.uint8), np.zeros(size, np.uint8)
    view, ids = augment(tf.constant(image), tf.constant(mask), tf.constant([0, 0]))
    assert view.shape == (32, 48, 1)
    seen = np.asarray(ids) != VOID
    assert seen.sum() == min(size[0], 32) * min(size[1], 48)
    assert (np.asarray(view)[seen] == 9).all()


def test_a_reader_decodes_each_sample_once(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)
    read = SampleReader(dataset.split("train"), 3)
    assert read(4)[0] is read(4)[0]
