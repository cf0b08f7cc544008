from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from models.data.augmentation import MIDDLE_GRAY, Augmentation
from models.data.copy_paste import CopyPaste
from models.data.dataset import VOID, Sample, read_image
from models.data.input import SampleReader, TrainingOrder, training_batches
from models.data.options import AugmentationOptions
from models.data.reading import read_dataset
from tests.models.conftest import COLORS, scene

EVERYTHING = AugmentationOptions(
    crop=(32, 48),
    scale=(0.6, 1.6),
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue=0.05,
)


def batches(
    folder: Path, first_step: int, steps: int, seed: int = 1
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    dataset = read_dataset(folder)
    stream = training_batches(
        dataset.split("train"),
        dataset.channels,
        Augmentation(EVERYTHING, dataset.channels),
        batch_size=3,
        seed=seed,
        first_step=first_step,
        steps=steps,
    )
    return [(image.numpy(), mask.numpy()) for image, mask in stream]


def test_the_batches_of_each_epoch_are_full(dataset_folder: Path) -> None:
    """Eight samples are three batches of three; which samples they are is tested below."""
    assert [image.shape for image, _ in batches(dataset_folder, 0, 6)] == [(3, 32, 48, 3)] * 6


def test_a_stream_that_begins_later_goes_on_with_the_same_views(dataset_folder: Path) -> None:
    """In the middle of the second of three epochs of three steps."""
    whole, resumed = batches(dataset_folder, 0, 9), batches(dataset_folder, 4, 9)
    for (image, mask), (again, mask_again) in zip(whole[4:], resumed, strict=True):
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(mask, mask_again)


def test_the_order_knows_what_each_batch_holds(dataset_folder: Path) -> None:
    order = TrainingOrder(8, 3, seed=1)
    assert order.steps_per_epoch == 3
    epochs = [[i for step in range(3) for i in order.batch(3 * epoch + step)] for epoch in (0, 1)]
    assert [set(epoch) for epoch in epochs] == [set(range(8))] * 2
    assert epochs[0] != epochs[1]
    plain = AugmentationOptions(crop=(44, 56), flip=False, fill_mode="ignore")
    samples = read_dataset(dataset_folder).split("train")
    stream = training_batches(
        samples, 3, Augmentation(plain, 3), batch_size=3, seed=1, first_step=4, steps=5
    )
    images, _ = next(iter(stream))
    for view, index in zip(images.numpy(), order.batch(4), strict=True):
        shown = view[(view != MIDDLE_GRAY).any(axis=(1, 2))]  # the rows beyond the picture are gray
        np.testing.assert_array_equal(shown, read_image(samples[index].image, 3))


def test_another_seed_gives_other_views(dataset_folder: Path) -> None:
    first, second = batches(dataset_folder, 0, 3, seed=1), batches(dataset_folder, 0, 3, seed=2)
    assert not np.array_equal(first[0][0], second[0][0])


def test_no_more_is_kept_decoded_than_is_allowed(
    dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = read_dataset(dataset_folder).split("train")
    sizes = [image.nbytes + mask.nbytes for image, mask in (sample.read(3) for sample in samples)]
    read = SampleReader(samples, 3, max_bytes=sizes[0] + sizes[1])
    first = [read(index) for index in (0, 1, 2)]
    monkeypatch.setattr(Sample, "read", lambda *_: "decoded again")
    assert read(0) is first[0]
    assert read(1) is first[1]
    with pytest.raises(ValueError, match="unpack"):
        read(2)


@pytest.mark.parametrize(
    "option",
    [
        {"flip": True},
        {"vertical_flip": True},
        {"rot90": True},
        {"rotation": 30.0},
        {"elastic": 5.0},
        {"scale": (0.6, 1.6)},
        {"brightness": 0.3},
        {"contrast": 0.3},
        {"saturation": 0.5},
        {"hue": 0.2},
        {"blur": 3.0},
        {"noise": 0.1},
    ],
    ids=lambda option: next(iter(option)),
)
def test_each_augmentation_changes_some_views_and_none_of_it_changes_none(
    option: dict[str, Any],
) -> None:
    image, mask = scene(5, 48, 48)

    def views(**options: Any) -> list[NDArray[np.float32]]:
        augment = Augmentation(
            AugmentationOptions(**{"flip": False, "crop": (48, 48)} | options), 3
        )
        seeds = (tf.constant([1, step]) for step in range(4))
        return [
            np.asarray(augment(tf.constant(image), tf.constant(mask), seed)[0]) for seed in seeds
        ]

    plain = views()
    assert all(np.array_equal(view, image) for view in plain)
    differences = [np.abs(view - image).mean() for view in views(**option)]
    assert max(differences) > 1


GEOMETRY = AugmentationOptions(
    crop=(48, 56),
    scale=(0.7, 1.6),
    vertical_flip=True,
    rot90=True,
    rotation=30,
    elastic=3,
)


@pytest.mark.parametrize("fill_mode", ["reflect", "ignore"])
def test_masks_move_with_their_images_and_keep_their_values(
    fill_mode: Literal["reflect", "ignore"],
) -> None:
    """Every pixel deep inside a class still shows that class's colour."""
    augment = Augmentation(GEOMETRY.model_copy(update={"fill_mode": fill_mode}), 3)
    image, mask = scene(5, 60, 80)
    mask[mask == 255] = 0
    spread = mask * 100  # any mixture of two of these ids is none of them
    seen_void = False
    for step in range(12):
        view, ids = (
            np.asarray(t)
            for t in augment(tf.constant(image), tf.constant(spread), tf.constant([1, step]))
        )
        assert set(np.unique(ids)) <= {0, 100, 200, VOID}
        known = ids != VOID
        seen_void |= not known.all()
        assert (view[~known] == MIDDLE_GRAY).all()
        nearest = np.abs(view[..., np.newaxis, :] - COLORS).sum(axis=-1).argmin(axis=-1)
        assert np.mean(nearest[known] * 100 == ids[known]) > 0.95  # the rest lies on edges
    assert seen_void == (fill_mode == "ignore")


def test_a_border_map_goes_the_masks_way() -> None:
    augment = Augmentation(GEOMETRY.model_copy(update={"fill_mode": "ignore"}), 3)
    image, mask = scene(5, 60, 80)
    border = mask.astype(np.float32) * 2
    _, ids, weights = augment(
        tf.constant(image), tf.constant(mask), tf.constant([1, 2]), tf.constant(border)
    )
    inside = np.asarray(ids) != VOID
    np.testing.assert_array_equal(np.asarray(weights)[inside], np.asarray(ids)[inside] * 2.0)


SQUARE = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)


def views_of_square(**options: Any) -> list[NDArray[np.float32]]:
    options = {"crop": (16, 16), "flip": False, "fill_mode": "ignore"} | options
    augment = Augmentation(AugmentationOptions(**options), 3)
    mask = np.zeros((16, 16), np.uint8)
    return [
        np.asarray(augment(tf.constant(SQUARE), tf.constant(mask), tf.constant([3, step]))[0])
        for step in range(24)
    ]


def test_a_view_without_any_change_is_the_picture() -> None:
    for view in views_of_square():
        np.testing.assert_array_equal(view, SQUARE)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"flip": True}, [SQUARE, SQUARE[:, ::-1]]),
        ({"vertical_flip": True}, [SQUARE, SQUARE[::-1]]),
        ({"rot90": True}, [np.rot90(SQUARE, turns) for turns in range(4)]),
    ],
)
def test_flips_and_quarter_turns_are_exact_and_all_occur(
    options: dict[str, bool], expected: list[NDArray[np.uint8]]
) -> None:
    found = {view.tobytes() for view in views_of_square(**options)}
    assert found == {turned.astype(np.float32).tobytes() for turned in expected}


def test_scale_magnifies_by_as_much_as_it_says() -> None:
    """A step edge's blurred width tells nothing; the distance between two edges does."""
    image = np.zeros((64, 64, 1), np.uint8)
    image[:, 24:40] = 200
    augment = Augmentation(AugmentationOptions(crop=(64, 64), scale=(2.0, 2.0), flip=False), 1)
    widths = {
        int(
            (
                np.asarray(augment(tf.constant(image), tf.constant(image[..., 0]), [0, step])[0])[
                    32
                ]
                > 100
            ).sum()
        )
        for step in range(20)
    }
    assert max(widths) == 32


def test_colors_change_within_their_limits() -> None:
    gray = views_of_square(saturation=1.0)
    luma = SQUARE @ np.array([0.299, 0.587, 0.114])
    for view in gray:
        inside = ((view > 0) & (view < 255)).all(axis=-1)  # nothing was cut off there
        found = view @ np.array([0.299, 0.587, 0.114], np.float32)
        np.testing.assert_allclose(found[inside], luma[inside], atol=0.5)
    brighter = [np.median(view - SQUARE) for view in views_of_square(brightness=0.1)]
    assert 15 < np.max(np.abs(brighter)) <= 25.5
    noisy = [np.std(view - SQUARE) for view in views_of_square(noise=0.1)]
    assert 10 < max(noisy) <= 26
    contrasts = [np.std(view) / np.std(SQUARE) for view in views_of_square(contrast=0.4)]
    assert 0.6 <= min(contrasts) < 0.8


def test_a_share_of_the_views_is_blurred_noisy_and_compressed_and_the_rest_as_it_was() -> None:
    worse = {"blur": 3.0, "noise": 0.1, "jpeg": 30}
    views = views_of_square(**worse, degraded=0.4)
    clean = [bool(np.array_equal(view, SQUARE)) for view in views]
    assert 0 < sum(clean) < len(clean)
    assert not any(np.array_equal(view, SQUARE) for view in views_of_square(**worse))
    assert all(np.array_equal(view, SQUARE) for view in views_of_square(**worse, degraded=0.0))


def test_blur_spreads_a_point_and_keeps_its_light() -> None:
    image = np.zeros((33, 33, 1), np.uint8)
    image[16, 16] = 200
    augment = Augmentation(AugmentationOptions(crop=(33, 33), blur=2.0, flip=False), 1)
    for step in range(6):
        view = np.asarray(augment(tf.constant(image), tf.constant(image[..., 0]), [0, step])[0])
        assert view.sum() == pytest.approx(200, rel=1e-3)
        np.testing.assert_allclose(view, view.transpose(1, 0, 2), atol=1e-4)
        assert view.max() >= 200 / (2 * np.pi * 2.0**2) * 0.9


def test_views_of_balanced_classes_hold_the_rare_one_as_often_as_another() -> None:
    mask = np.zeros((200, 240), np.uint8)
    mask[190, 230] = 1  # one pixel, near a corner
    mask[:20] = 7  # void
    image = np.zeros((200, 240, 1), np.uint8)

    def share_with_it(class_balance: float) -> float:
        options = AugmentationOptions(crop=(32, 32), flip=False, class_balance=class_balance)
        augment = tf.function(Augmentation(options, 1, classes=2))
        views = [augment(image, mask, tf.constant([0, step]))[1].numpy() for step in range(60)]
        return float(np.mean([(view == 1).any() for view in views]))

    assert share_with_it(0.0) < 0.1
    assert 0.3 < share_with_it(1.0) < 0.7
    void = np.full((200, 240), 7, np.uint8)
    options = AugmentationOptions(crop=(32, 32), class_balance=1.0)
    (_, ids) = Augmentation(options, 1, classes=2)(image, void, tf.constant([0, 0]))
    assert (ids.numpy() == 7).all()


def test_a_view_that_is_turned_holds_the_pixel_it_was_drawn_for() -> None:
    mask = np.zeros((200, 400), np.uint8)
    mask[100, 200] = 1
    image = np.zeros((200, 400, 1), np.uint8)
    options = AugmentationOptions(
        crop=(16, 96), rotation=90, scale=(0.9, 1.0), flip=True, class_balance=1.0
    )
    augment = tf.function(Augmentation(options, 1, classes=2))
    views = [augment(image, mask, tf.constant([1, step]))[1].numpy() for step in range(60)]
    seen = np.mean([(view == 1).any() for view in views])
    assert 0.3 < seen < 0.7  # the other class is drawn as often


def two_views() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Each of one colour; in the second a small thing of class 1, and a large one of class 2."""
    masks = np.zeros((2, 40, 40), np.uint8)
    masks[1, 4:8, 4:8], masks[1, 20:] = 1, 2
    images = np.zeros((2, 40, 40, 3), np.float32)
    images[1] = 90
    return images, masks


def test_a_small_class_of_the_next_view_is_pasted_where_it_lies_there() -> None:
    images, masks = two_views()
    border = masks * np.float32(3)
    pasted = CopyPaste(1.0, 3)(tf.constant([1, 0]), *map(tf.constant, (images, masks, border)))
    seen, ids, weights = (np.asarray(part) for part in pasted)
    expected = np.zeros((40, 40), np.uint8)
    expected[4:8, 4:8] = 1  # of class 2 there is too much
    np.testing.assert_array_equal(ids, [expected, masks[1]])
    np.testing.assert_array_equal(seen[0], np.where(expected == 1, 90, 0)[..., None].repeat(3, -1))
    np.testing.assert_array_equal(weights, ids * np.float32(3))
    np.testing.assert_array_equal(seen[1], images[1])


def test_things_are_pasted_into_a_share_of_the_views_and_never_void() -> None:
    images, masks = (tf.constant(part) for part in two_views())

    def pasted(share: float, classes: int) -> list[bool]:
        mix = CopyPaste(share, classes)
        parts = (mix(tf.constant([1, step]), images, masks) for step in range(40))
        return [bool((np.asarray(ids)[0] > 0).any()) for _, ids in parts]

    assert not any(pasted(1.0, 1))  # 1 is void now
    assert 0.25 < np.mean(pasted(0.5, 3)) < 0.75


def test_a_resumed_stream_pastes_the_same(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)

    def masks(first_step: int, share: float) -> list[NDArray[np.uint8]]:
        stream = training_batches(
            dataset.split("train"),
            3,
            Augmentation(EVERYTHING, 3),
            batch_size=3,
            seed=1,
            first_step=first_step,
            steps=6,
            copy_paste=CopyPaste(share, 3),
        )
        return [mask.numpy() for _, mask in stream]

    whole = masks(0, 1.0)
    np.testing.assert_array_equal(whole[3:], masks(3, 1.0))
    assert not np.array_equal(whole, masks(0, 0.0))


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_a_random_quality_leaves_its_marks(channels: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 1)).astype(np.uint8)
    image, mask = noise.repeat(channels, axis=-1), np.zeros((32, 32), np.uint8)
    options = AugmentationOptions(crop=(32, 32), flip=False, jpeg=30)
    views = [
        Augmentation(options, channels)(image, mask, tf.constant([0, step]))[0].numpy()
        for step in range(6)
    ]
    errors = [float(np.abs(view - image).mean()) for view in views]
    assert all(view.shape == image.shape for view in views)
    assert 0 < min(errors) < 0.8 * max(errors)


@pytest.mark.parametrize("size", [(1, 1), (20, 200), (31, 47)])
def test_an_image_smaller_than_the_crop_is_surrounded_by_void_or_its_mirror_image(
    size: tuple[int, int],
) -> None:
    image, mask = np.full((*size, 1), 9, np.uint8), np.zeros(size, np.uint8)
    options = AugmentationOptions(crop=(32, 48), flip=False, fill_mode="ignore")
    view, ids = Augmentation(options, 1)(tf.constant(image), tf.constant(mask), [0, 0])
    assert view.shape == (32, 48, 1)
    seen = np.asarray(ids) != VOID
    assert seen.sum() == min(size[0], 32) * min(size[1], 48)
    assert (np.asarray(view)[seen] == 9).all()
    mirrored = Augmentation(options.model_copy(update={"fill_mode": "reflect"}), 1)
    view, ids = mirrored(tf.constant(image), tf.constant(mask), [0, 0])
    assert (np.asarray(view) == 9).all()
    assert (np.asarray(ids) == 0).all()


def test_a_reader_decodes_each_sample_once(dataset_folder: Path) -> None:
    dataset = read_dataset(dataset_folder)
    read = SampleReader(dataset.split("train"), 3, max_bytes=1 << 20)
    assert read(4)[0] is read(4)[0]
