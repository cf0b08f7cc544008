"""Models as strangers make them, wrapped, against what they say themselves."""

import warnings
from collections.abc import Callable
from pathlib import Path

import httpx
import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from models.cli import main
from models.contract import MODEL_CARD_PATH, read_contract, verify_files
from models.export.adopt import parse_classes
from tests.service.serving import TIMEOUT_SECONDS, ServerProcess, class_map_of, png_bytes

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def small_unet(
    size: int | None, channels: int, last: Callable[[keras.KerasTensor], keras.KerasTensor]
) -> keras.Model:
    """A U-Net of one level, with weights strong enough for every class to occur."""
    keras.utils.set_random_seed(1)
    strong = {"kernel_initializer": keras.initializers.RandomNormal(stddev=1.0), "padding": "same"}
    x = inputs = keras.Input((size, size, channels))
    skip = keras.layers.Conv2D(6, 3, activation="relu", **strong)(x)
    x = keras.layers.MaxPooling2D()(skip)
    x = keras.layers.Conv2D(8, 3, activation="relu", **strong)(x)
    x = keras.layers.Conv2DTranspose(6, 2, strides=2)(x)
    x = keras.layers.Concatenate()([x, skip])
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(6, 3, **strong)(x))
    return keras.Model(inputs, last(x), name="their_unet")


def head(filters: int, activation: str | None) -> Callable[[keras.KerasTensor], keras.KerasTensor]:
    def convolution(x: keras.KerasTensor) -> keras.KerasTensor:
        layer = keras.layers.Conv2D(
            filters, 1, activation=activation, kernel_initializer="he_normal"
        )
        return layer(x)

    return convolution


def blobs(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (-(-height // 8), -(-width // 8), channels), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def answers(
    artefact: Path, image: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The class map (H, W) and the probabilities (H, W, classes) of an artefact's signatures."""
    signatures = tf.saved_model.load(str(artefact)).signatures
    batch = tf.constant(image[np.newaxis])
    probabilities = signatures["probabilities"](images=batch)["probabilities"]
    class_map = signatures["serving_default"](images=batch)["class_map"]
    return np.asarray(class_map)[0], np.asarray(probabilities)[0]


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Float input 0..1, fixed 128×128, softmax over three classes."""
    path = tmp_path_factory.mktemp("theirs") / "their_unet.keras"
    small_unet(128, 3, head(3, "softmax")).save(path)
    return path


def test_a_keras_unet_of_fixed_size_is_adopted_and_served(
    keras_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        Image.fromarray(blobs(90, 140, seed=seed)).save(tmp_path / f"{seed}.png")
    command = [
        *("adopt", str(keras_file), "--name", "theirs", "--classes", "ground,tree,roof"),
        *("--scaling", "0..1", "--images", "0.png", "1.png", "--store", "store"),
    ]
    assert main(command) == 1  # nobody is there to answer
    printed = capsys.readouterr()
    assert "say --yes" in printed.err
    assert not (tmp_path / "store").exists()
    assert (tmp_path / "theirs-preview.html").read_text().count("data:image/jpeg") == 2
    assert "output: probabilities, NHWC, 3 channels" in printed.out
    assert main([*command, "--yes"]) == 0
    artefact = tmp_path / "store" / "theirs" / "1"
    contract = read_contract(artefact)
    verify_files(artefact, contract)
    assert (contract.channels, contract.stride, contract.receptive_field_radius) == (3, 1, None)
    assert contract.parameters == keras.models.load_model(keras_file).count_params()
    assert "resized to it" in (artefact / MODEL_CARD_PATH).read_text()

    image = blobs(128, 128, seed=5)
    theirs = keras.models.load_model(keras_file)
    expected = np.asarray(theirs(image[np.newaxis] / 255.0))[0]
    class_map, probabilities = answers(artefact, image)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    top = np.sort(expected, axis=-1)
    clear = top[..., -1] - top[..., -2] > 1e-3
    np.testing.assert_array_equal(class_map[clear], expected.argmax(axis=-1)[clear])
    assert clear.mean() > 0.99
    assert len(np.unique(class_map)) == 3

    server = ServerProcess(
        ["--model-store", "store", "--shutdown-delay-seconds", "0"], tmp_path / "log"
    )
    try:
        url = server.wait_until_ready()
        for shown in (image, blobs(57, 83)):
            files = {"image": png_bytes(shown)}
            response = httpx.post(f"{url}/segment", files=files, timeout=TIMEOUT_SECONDS)
            np.testing.assert_array_equal(class_map_of(response), answers(artefact, shown)[0])
    finally:
        server.close()


def test_a_sigmoid_of_any_size_is_padded_and_cut_at_its_threshold(tmp_path: Path) -> None:
    theirs = small_unet(None, 1, head(1, "sigmoid"))
    theirs.export(str(tmp_path / "saved"), verbose=False)
    command = [
        *("adopt", str(tmp_path / "saved"), "--name", "cracks", "--classes", "crack", "--yes"),
        *("--scaling", "-1..1", "--threshold", "0.7", "--receptive-field-radius", "9"),
    ]
    assert main([*command, "--store", str(tmp_path / "store")]) == 0
    artefact = tmp_path / "store" / "cracks" / "1"
    contract = read_contract(artefact)
    assert [c.name for c in contract.classes] == ["background", "crack"]
    assert (contract.background, contract.stride, contract.receptive_field_radius) == (0, 2, 9)
    image = blobs(33, 46, 1)
    padded = np.pad(image, ((0, 1), (0, 0), (0, 0)), mode="reflect")
    crack = np.asarray(theirs(padded[np.newaxis] / 127.5 - 1.0))[0, :33, :, 0]
    class_map, probabilities = answers(artefact, image)
    clear = np.abs(crack - 0.7) > 1e-4
    np.testing.assert_array_equal(class_map[clear], crack[clear] > 0.7)
    assert 0 < class_map.mean() < 1
    crack = crack.clip(1e-7, 1 - 1e-7)
    odds = crack / (1 - crack) * 0.3 / 0.7  # at the threshold both classes are as probable
    np.testing.assert_allclose(probabilities[..., 1], odds / (1 + odds), atol=1e-4)


def test_an_h5_file_of_independent_sigmoids_is_run_at_the_size_that_is_said(tmp_path: Path) -> None:
    theirs = small_unet(None, 3, head(3, "sigmoid"))
    theirs.save(tmp_path / "theirs.h5")
    command = [
        *("adopt", str(tmp_path / "theirs.h5"), "--name", "theirs", "--classes", "a,b,c", "--yes"),
        *("--scaling", "0..1", "--output", "sigmoid", "--size", "48", "64"),
    ]
    assert main([*command, "--store", str(tmp_path / "store")]) == 0
    artefact = tmp_path / "store" / "theirs" / "1"
    assert "48×64; images are resized" in (artefact / MODEL_CARD_PATH).read_text()
    image = blobs(48, 64)
    scores = np.asarray(theirs(image[np.newaxis] / 255.0))[0].clip(1e-7, 1 - 1e-7)
    class_map, probabilities = answers(artefact, image)
    np.testing.assert_allclose(probabilities, scores / scores.sum(-1, keepdims=True), atol=1e-4)
    top = np.sort(scores, axis=-1)
    clear = top[..., -1] - top[..., -2] > 1e-3
    np.testing.assert_array_equal(class_map[clear], scores.argmax(axis=-1)[clear])
    assert clear.mean() > 0.5
    assert answers(artefact, blobs(70, 50))[0].shape == (70, 50)


class TwoWays(tf.Module):  # type: ignore[misc]
    """Two signatures, each with the logits and what else its maker wanted to know."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((1, 1, 3, 2), (3, 4)))

    def straight(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = tf.nn.conv2d(x, self.kernel, 1, "SAME")
        return {"features": tf.reduce_mean(logits), "mask": logits}

    def reversed(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {**self.straight(x), "mask": -self.straight(x)["mask"]}


def test_one_of_several_signatures_and_outputs_is_chosen_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = TwoWays()
    spec = tf.TensorSpec((None, None, None, 3), tf.float32, name="x")
    ways = {
        name: tf.function(getattr(theirs, name), input_signature=[spec])
        for name in ("straight", "reversed")
    }
    tf.saved_model.save(theirs, str(tmp_path / "saved"), signatures=ways)
    command = [
        *("adopt", str(tmp_path / "saved"), "--name", "theirs", "--classes", "a,b", "--yes"),
        *("--scaling", "0..1", "--output", "logits", "--store", str(tmp_path / "store")),
    ]
    assert main(command) == 1
    assert "it has straight, reversed. Say --signature" in capsys.readouterr().err
    assert main([*command, "--signature", "reversed"]) == 1
    assert "2 outputs (features, mask); say --output-name" in capsys.readouterr().err
    assert main([*command, "--signature", "reversed", "--output-name", "mask"]) == 0
    image = blobs(16, 24)
    logits = theirs.reversed(tf.constant(image[np.newaxis] / 255.0, tf.float32))["mask"][0]
    probabilities = answers(tmp_path / "store" / "theirs" / "1", image)[1]
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits), atol=1e-4)


class ChannelFirst(tf.Module):  # type: ignore[misc]
    """BGR (1, 3, H, W) less a mean to logits (1, 4, H/4, W/4): a batch of one, as converters write
    them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((4, 4, 3, 4), (1, 2)))

    @tf.function(input_signature=[tf.TensorSpec((1, 3, None, None), tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        size = tf.shape(x)[2:]
        tf.debugging.assert_equal(size % 4, tf.zeros_like(size))
        y = tf.nn.conv2d(tf.transpose(x, (0, 2, 3, 1)), self.kernel, 4, "VALID")
        return tf.transpose(y, (0, 3, 1, 2))


def test_a_channel_first_model_of_a_quarter_size_is_adopted(tmp_path: Path) -> None:
    theirs = ChannelFirst()
    tf.saved_model.save(theirs, str(tmp_path / "saved"))
    command = [
        *("adopt", str(tmp_path / "saved"), "--name", "theirs", "--classes", "a,b,c,d", "--yes"),
        *("--scaling", "0..1", "--channel-order", "bgr", "--store", str(tmp_path / "store")),
        *("--mean", *map(str, IMAGENET_MEAN), "--std", *map(str, IMAGENET_STD)),
    ]
    assert main(command) == 0
    artefact = tmp_path / "store" / "theirs" / "1"
    assert read_contract(artefact).stride == 4
    image = blobs(32, 44)
    normalized = (image[..., ::-1] / 255.0 - IMAGENET_MEAN) / IMAGENET_STD
    quarter = theirs(tf.constant(normalized.transpose(2, 0, 1)[np.newaxis], tf.float32))
    logits = tf.image.resize(tf.transpose(quarter, (0, 2, 3, 1)), (32, 44))
    class_map, probabilities = answers(artefact, image)
    np.testing.assert_allclose(probabilities, tf.nn.softmax(logits)[0], atol=1e-4)
    assert len(np.unique(class_map)) == 4
    # Two images in one batch, though the model takes one at a time
    batch = tf.constant(np.stack([image, image[::-1]]))
    both = tf.saved_model.load(str(artefact)).signatures["serving_default"](images=batch)
    np.testing.assert_array_equal(both["class_map"][0], class_map)


def test_normalization_is_told_of_a_model_that_rescales_itself_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = keras.Input((32, 32, 3))
    inner = small_unet(32, 3, head(3, "softmax"))
    theirs = keras.Model(inputs, inner(keras.layers.Rescaling(1 / 255)(inputs)))
    theirs.save(tmp_path / "theirs.keras")
    Image.fromarray(blobs(32, 32)).save(tmp_path / "0.png")
    command = [
        *("adopt", str(tmp_path / "theirs.keras"), "--name", "theirs", "--classes", "a,b,c"),
        *("--mean", "1", "2", "3", "--std", "2", "--channel-order", "bgr", "--yes"),
        *("--store", str(tmp_path / "store"), "--images", str(tmp_path / "0.png")),
        *("--preview", str(tmp_path / "preview.html")),
    ]
    assert main(command) == 0
    told = "0–255, since it rescales them itself, less (1.0, 2.0, 3.0), over (2.0,), BGR"
    assert f"values: {told}" in capsys.readouterr().out
    artefact = tmp_path / "store" / "theirs" / "1"
    assert told in (tmp_path / "preview.html").read_text()
    assert told in (artefact / MODEL_CARD_PATH).read_text()
    image = blobs(32, 32, seed=3)
    expected = theirs((image[np.newaxis, ..., ::-1] - np.array([1.0, 2.0, 3.0])) / 2.0)
    np.testing.assert_allclose(answers(artefact, image)[1], expected[0], atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--classes", "a,b,c"], "what range of pixel values"),
        (["--classes", "a,b", "--scaling", "0..1"], "which is not 2 classes"),
        (["--classes", "a,a,b", "--scaling", "0..1"], "class names must differ"),
        (["--classes", "a,b,c", "--scaling", "0..1", "--size", "64", "64"], "128×128 pixels alone"),
        (
            ["--classes", "a,b,c", "--scaling", "0..1", "--mean", "1", "2"],
            "one value, or one a channel",
        ),
        (["--classes", "a,b,c", "--scaling", "0..1", "--output-name", "x"], "no output 'x'"),
        (
            ["--classes", "a,b,c", "--scaling", "0..1", "--axes", "NCHW"],
            "as NCHW it has 128 channels",
        ),
        (["--classes", "gone.json"], "gone.json is missing"),
        (["--classes", "a,b,c", "--name", "a/b"], "cannot stand in a URL"),
    ],
)
def test_what_cannot_be_found_out_or_is_wrong_is_one_sentence(
    keras_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    command = [
        "adopt",
        str(keras_file),
        "--name",
        "x",
        "--yes",
        "--store",
        str(tmp_path),
        *arguments,
    ]
    assert main(command) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_model_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.keras").write_text("no model")
    (tmp_path / "x.zip").write_text("no model")
    for name, sentence in {
        "x.keras": "cannot be loaded",
        "x.zip": "is no network that segtrain adopts",
        "gone": "is not there",
    }.items():
        assert main(["adopt", str(tmp_path / name), "--name", "x", "--classes", "a,b"]) == 1
        assert sentence in capsys.readouterr().err


class Reflecting(tf.Module):  # type: ignore[misc]
    """The mean of 9×9 pixels, mirrored at the edges: REFLECT takes no picture of under 5 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = tf.Variable(tf.random.stateless_normal((9, 9, 3, 3), (5, 6)))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        x = tf.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), "REFLECT")
        return tf.nn.conv2d(x, self.kernel, 1, "VALID")


def test_a_model_that_takes_no_small_pictures_gets_them_mirrored_up_to_its_least_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = Reflecting()
    tf.saved_model.save(theirs, str(tmp_path / "saved"))
    command = [
        *("adopt", str(tmp_path / "saved"), "--name", "theirs", "--classes", "a,b,c", "--yes"),
        *("--scaling", "0..1", "--store", str(tmp_path / "store")),
    ]
    assert main(command) == 0
    assert "size: any, and to 5 at least" in capsys.readouterr().out
    artefact = tmp_path / "store" / "theirs" / "1"
    for height, width in ((1, 1), (2, 7), (5, 5), (33, 20)):
        image = blobs(height, width, seed=height)
        padding = ((0, max(5 - height, 0)), (0, max(5 - width, 0)), (0, 0))
        values = np.pad(image, padding, mode="reflect" if min(height, width) > 1 else "edge")
        expected = theirs(tf.constant(values[np.newaxis] / 255.0, tf.float32))[0]
        class_map = answers(artefact, image)[0]
        wanted = np.asarray(expected).argmax(axis=-1)[:height, :width]
        np.testing.assert_array_equal(class_map, wanted)


@pytest.mark.parametrize(
    ("interpolation", "size", "ending"),
    [("bilinear", 2, "keras"), ("bicubic", (2, 3), "keras"), ("bilinear", 2, "h5")],
)
def test_a_keras_network_of_any_size_may_enlarge_by_interpolating(
    tmp_path: Path, interpolation: str, size: int | tuple[int, int], ending: str
) -> None:
    """Keras itself cannot export these; the second is part of a network within the network."""
    keras.utils.set_random_seed(1)
    down = (size, size) if isinstance(size, int) else size
    x = inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(8, 3, down, padding="same", activation="relu")(x)
    inner = keras.Input((None, None, 8))
    enlarged = keras.layers.UpSampling2D(size, interpolation=interpolation)(inner)
    x = keras.Model(inner, enlarged)(x)
    theirs = keras.Model(inputs, keras.layers.Conv2D(3, 1)(x))
    file = tmp_path / f"theirs.{ending}"
    theirs.save(file)
    command = ["adopt", str(file), "--name", "up", "--classes", "a,b,c", "--scaling", "0..1"]
    command += ["--yes", "--multiple", "6", "--store", str(tmp_path / "store")]
    assert main(command) == 0
    image = blobs(48, 66)
    expected = tf.nn.softmax(theirs(image[np.newaxis] / np.float32(255)))[0]
    probabilities = answers(tmp_path / "store" / "up" / "1", image)[1]
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_what_cannot_be_written_for_any_size_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = keras.Input((None, None, 3))
    theirs = keras.Model(inputs, keras.layers.Conv2D(3, 1)(inputs))
    monkeypatch.setattr(keras.models, "load_model", lambda *_, **__: theirs)
    (tmp_path / "theirs.keras").write_bytes(b"")
    monkeypatch.setattr(theirs.layers[1], "call", lambda x: x[:, : x.shape[1] + 0])
    command = ["adopt", str(tmp_path / "theirs.keras"), "--name", "x", "--classes", "a,b,c"]
    command += ["--scaling", "0..1", "--output", "logits", "--yes"]
    command += ["--store", str(tmp_path / "store")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "cannot be written as a SavedModel for pictures of any size" in said
    assert ": unsupported operand type" in said
    assert "say --size HEIGHT WIDTH" in said
    assert not (tmp_path / "store").exists()
    assert main([*command, "--size", "32", "48"]) == 0


def test_an_output_of_all_pixels_in_a_row_or_of_one_value_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fixed, any_size = keras.Input((32, 40, 3)), keras.Input((None, None, 3))
    row = keras.layers.Reshape((32 * 40, 2))(keras.layers.Conv2D(2, 1)(fixed))
    one = keras.layers.Softmax()(keras.layers.Conv2D(1, 1)(any_size))
    keras.Model(fixed, row).save(tmp_path / "row.keras")
    keras.Model(any_size, one).save(tmp_path / "one.keras")
    for name, sentence in (
        ("row", "gave an output of shape (1, 1280, 2), with all pixels in one row"),
        ("one", "its output is 1 for every pixel of every picture"),
    ):
        command = ["adopt", str(tmp_path / f"{name}.keras"), "--name", "m", "--classes", "a,b"]
        store = ["--scaling", "0..1", "--yes", "--store", str(tmp_path / "store")]
        with warnings.catch_warnings(action="ignore"):  # Keras' own, of that softmax
            assert main([*command, *store]) == 1
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_an_output_of_a_dict_is_chosen_by_its_key(tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    heads = {"main": keras.layers.Conv2D(3, 1)(x), "aux": keras.layers.Conv2D(2, 1)(x)}
    theirs = keras.Model(inputs, heads)
    theirs.save(tmp_path / "theirs.keras")
    command = ["adopt", str(tmp_path / "theirs.keras"), "--name", "m", "--classes", "a,b,c"]
    store = ["--output-name", "main", "--yes", "--store", str(tmp_path / "store")]
    assert main([*command, *store]) == 0
    image = blobs(40, 48)
    expected = np.asarray(theirs(image[np.newaxis].astype(np.float32))["main"])[0]
    class_map, _ = answers(tmp_path / "store" / "m" / "1", image)
    np.testing.assert_array_equal(class_map, expected.argmax(axis=-1))


def test_names_with_commas_are_given_in_quotes() -> None:
    class_list = parse_classes('ground, "palm, palm tree", sea')
    assert [c.name for c in class_list.classes] == ["ground", "palm, palm tree", "sea"]
