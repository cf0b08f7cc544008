"""What a network takes over from a trained one."""

from pathlib import Path

import keras
import numpy as np
import pytest

from models.architectures.networks import build_network
from models.architectures.start import start_from_exported, start_from_trained
from models.architectures.weights_error import BackboneWeightsError

NETWORKS = ["unet", "segnet", "fcn8s"]


def network(name: str, classes: int = 3, width: int = 2, seed: int = 0) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build_network(name, classes=classes, channels=3, width=width).model
    draw = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(weight + draw.uniform(0, 0.05, weight.shape))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_starts_with_the_answers_of_the_trained_one(name: str) -> None:
    trained, new = network(name), network(name, seed=1)
    assert start_from_trained(new, trained) == []
    image = np.random.default_rng(2).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(new(image), trained(image))


@pytest.mark.parametrize("name", NETWORKS)
def test_for_other_classes_only_their_scores_are_left(name: str) -> None:
    trained, new = network(name, classes=7), network(name, classes=5, seed=1)
    before = [weight.numpy() for weight in new.weights]
    left = start_from_trained(new, trained)
    assert left
    kept = {weight.path: weight.numpy() for weight in trained.weights}
    for weight, was in zip(new.weights, before, strict=True):
        expected = was if weight.path in left else kept[weight.path]
        np.testing.assert_array_equal(weight.numpy(), expected)
        assert (weight.path in left) == (5 in weight.shape)


@pytest.mark.parametrize("other", [network("unet", width=4), network("unet_mobile")])
def test_another_network_is_refused_and_nothing_is_taken(other: keras.Model) -> None:
    new = network("unet")
    before = new.get_weights()
    with pytest.raises(BackboneWeightsError, match=r"does not fit this unet: .* set \[network\]"):
        start_from_trained(new, other)
    for was, now in zip(before, new.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize(
    ("here", "sentence"), [(True, "no BatchNorm.* = false"), (False, "= true")]
)
def test_features_are_normalised_here_and_there_or_neither(here: bool, sentence: str) -> None:
    new, trained = (
        build_network(
            "unet_mobile", classes=2, channels=3, encoder="mobilenet_v2", feature_norm=norm
        ).model
        for norm in (here, not here)
    )
    with pytest.raises(BackboneWeightsError, match=sentence):
        start_from_trained(new, trained)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BackboneWeightsError, match="holds no model that segtrain export wrote"):
        start_from_exported(network("unet"), tmp_path)
