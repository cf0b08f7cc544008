"""Classes that overlap, of a Keras file and of a SavedModel: red, green and blue are wherever their
channel is bright."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from models.cli import main
from models.contract import read_contract, verify_files
from tests.models.export.portable.irs import save_strongest
from tests.models.export.portable.test_overlap import IDS, NAMES, adopt, blocks, masks, top
from tests.service.serving import class_map_of, png_bytes, serving


def bright(size: tuple[int, int] | None, *, logits: bool) -> keras.Model:
    """RGB 0…1 to a sigmoid of each channel, or to its logit."""
    image = keras.Input((*(size or (None, None)), 3))
    values = keras.layers.Rescaling(4.0, offset=-2.0)(image)
    last = "linear" if logits else "sigmoid"
    return keras.Model(image, keras.layers.Activation(last)(values), name="bright")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`any/1` of a Keras file with sigmoids; `fixed/1` of a SavedModel with logits, 32×48 alone."""
    folder = tmp_path_factory.mktemp("overlap")
    bright(None, logits=False).save(folder / "any.keras")
    bright((32, 48), logits=True).export(folder / "fixed", verbose=False)
    assert adopt(folder / "any.keras", "any", folder / "store") == 0
    assert adopt(folder / "fixed", "fixed", folder / "store", "--output", "logits") == 0
    return folder / "store"


def test_what_is_served_has_each_class_for_itself(store: Path) -> None:
    contract = read_contract(store / "any" / "1")
    verify_files(store / "any" / "1", contract)
    assert contract.overlap is not None
    assert contract.overlap.priority == IDS
    with serving(store, default_model="any") as server:
        for model, image in (("any", blocks(61, 75)), ("fixed", blocks(32, 48))):
            served = server.segment(image, model=model, scale="native")
            np.testing.assert_array_equal(class_map_of(served), top(image))
            zipped = server.segment(image, model=model, scale="native", format="masks")
            _, pngs = masks(zipped.content)
            for place, name in enumerate(NAMES):
                np.testing.assert_array_equal(pngs[name] == 255, image[..., place] > 127)
            options = {"format": "npz", "probabilities": "true", "dtype": "float32"}
            body = server.segment(image, model=model, scale="native", **options).content
            expected = 1 / (1 + np.exp(2 - 4 * image.astype(np.float64) / 255))
            found = np.load(io.BytesIO(body))["probabilities"]
            np.testing.assert_allclose(found[..., 1:], expected, atol=1e-5)
            np.testing.assert_allclose(found[..., 0], 1 - expected.max(axis=-1), atol=1e-5)
    signature = tf.saved_model.load(str(store / "any" / "1")).signatures["serve_bytes"]
    image = blocks(20, 30)
    encoded = tf.constant([png_bytes(image)])
    class_map = np.asarray(signature(image_bytes=encoded)["class_map"])[0]
    np.testing.assert_array_equal(class_map, top(image))


@pytest.mark.parametrize("maker", ["keras", "openvino"])
def test_the_class_on_top_is_scored_against_masks_of_one_class_a_pixel(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], maker: str
) -> None:
    artefact = store / "any" / "1"
    if maker == "openvino":
        assert adopt(save_strongest(tmp_path / "any.xml"), "any", tmp_path / "store") == 0
        artefact = tmp_path / "store" / "any" / "1"
    data = tmp_path / "data"
    wrong = 0
    for split in ("train", "val"):
        for part in ("images", "masks"):
            (data / part / split).mkdir(parents=True)
        image = blocks(40, 56 if split == "val" else 48)
        mask = top(image)
        if split == "val":
            wrong = int((mask[:5] != 1).sum())
            mask[:5] = 1
        Image.fromarray(image).save(data / "images" / split / "a.png")
        Image.fromarray(mask).save(data / "masks" / split / "a.png")
    classes = [
        {"id": n, "name": name, "color": f"#{n:06x}"}
        for n, name in enumerate(("background", *NAMES))
    ]
    (data / "classes.json").write_text(json.dumps({"name": "bright", "classes": classes}))
    capsys.readouterr()
    assert main(["evaluate", str(artefact), "--data", str(data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["pixel_accuracy"]
    assert wrong
    assert found == pytest.approx(1 - wrong / (40 * 56), abs=1e-4)
    assert main(["calibrate", str(artefact), "--data", str(data)]) == 1
    said = capsys.readouterr().err
    assert "overlap" in said
    assert said.strip().count("\n") == 0


def test_a_softmax_does_not_overlap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Softmax()(image)).save(tmp_path / "soft.keras")
    capsys.readouterr()
    assert adopt(tmp_path / "soft.keras", "soft", tmp_path / "store") == 1
    assert "add up to 1 in each pixel; leave it out" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
