"""EfficientNet-Lite0 against what its authors' network computes, and its start from a file."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from models.architectures.efficientnet_lite import (
    efficientnet_lite0_blocks,
    efficientnet_lite0_features,
    load_efficientnet_lite0,
)
from models.architectures.networks import build_network
from models.architectures.weights_error import BackboneWeightsError

PUBLISHED = (
    Path(__file__).parents[4] / "shared" / "backbones" / "efficientnet_lite0_imagenet_notop.npz"
)


def _bare_encoder() -> keras.Model:
    image = keras.Input((None, None, 3))
    return keras.Model(image, list(efficientnet_lite0_features(image, None).values()))


def _as_file(network: keras.Model, path: Path) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names of a published file."""
    draw = np.random.default_rng(0)
    kept = {}
    for weight in network.weights:
        layer, _, name = weight.path.partition("/")
        block, _, part = layer.partition("_")
        kind = "depthwise_kernel" if (part, name) == ("depthwise", "kernel") else name
        kept[f"{block}/{part}/{kind}"] = draw.uniform(0.1, 1, weight.shape).astype(np.float32)
    np.savez(path, **kept)
    return kept


@pytest.mark.skipif(
    not PUBLISHED.is_file(), reason="needs ../shared/backbones, the published weights"
)
def test_each_block_computes_what_the_original_does() -> None:
    image = keras.Input((None, None, 3))
    network = keras.Model(image, efficientnet_lite0_blocks(image))
    load_efficientnet_lite0(network, str(PUBLISHED))
    with np.load(PUBLISHED) as file:
        outputs = network(file["check/input"].astype(np.float32), training=False)
        for number in (0, 2, 4, 10, 15):
            theirs = file[f"check/block{number}"]
            np.testing.assert_allclose(outputs[number], theirs, atol=1e-3, err_msg=str(number))


def test_a_network_starts_from_a_file_by_the_names_in_it(tmp_path: Path) -> None:
    kept = _as_file(_bare_encoder(), tmp_path / "lite0.npz")
    for name in ("unet", "unet_mobile"):
        network = build_network(
            name,
            classes=2,
            channels=1,
            encoder="efficientnet_lite0",
            upsampling="bilinear",
            weights=str(tmp_path / "lite0.npz"),
        )
        got = {weight.path: np.asarray(weight) for weight in network.model.weights}
        for key, path in (
            ("stem/conv/kernel", "stem_conv/kernel"),
            ("block3/depthwise/depthwise_kernel", "block3_depthwise/kernel"),
            ("block14/project_bn/moving_variance", "block14_project_bn/moving_variance"),
        ):
            np.testing.assert_array_equal(got[path], kept[key])


def test_weights_that_do_not_fit_get_a_sentence(tmp_path: Path) -> None:
    network = _bare_encoder()
    path = tmp_path / "lite0.npz"
    kept = _as_file(network, path)
    del kept["block7/project/kernel"]
    np.savez(path, **kept)  # type: ignore[arg-type]
    (tmp_path / "text.npz").write_text("no weights")
    for weights, sentence in (
        (str(path), r"block7_project/kernel is \(1, 1, 480, 80\), and it has nothing there"),
        ("imagenet", "Keras has no ImageNet weights of EfficientNet-Lite0"),
        (str(tmp_path / "none.npz"), "no backbone weights at"),
        (str(tmp_path / "text.npz"), r"is not a \.npz file"),
        (str(tmp_path), "holds no model that segtrain export wrote"),
    ):
        with pytest.raises(BackboneWeightsError, match=sentence):
            load_efficientnet_lite0(network, weights)
