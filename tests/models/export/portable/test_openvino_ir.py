"""OpenVINO IR files, adopted and served without TensorFlow."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.cli import main
from models.contract import FrameScale, NativeScale, read_contract, verify_files
from models.contract.openvino_core import openvino_core
from service.runtimes.engine import EngineOptions, EngineUnavailableError
from service.runtimes.loading import load_engine
from tests.models.export.portable.irs import save_strongest
from tests.service.serving import class_map_of, picture, png_bytes, serving
from tests.solvable import solve

ADOPT = ("--classes", "red,green,blue", "--scaling", "0..1", "--yes")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`any/1` takes any size and `fixed/1` 32×48 alone, an image at a time."""
    folder = tmp_path_factory.mktemp("ir")
    files = {
        "any": save_strongest(folder / "any.xml"),
        "fixed": save_strongest(folder / "fixed.xml", (32, 48), batch=1),
    }
    for name, file in files.items():
        command = ["adopt", str(file), "--name", name, "--store", str(folder / "store"), *ADOPT]
        assert main(command) == 0
    return folder / "store"


def test_the_contract_says_what_the_network_takes(store: Path) -> None:
    contract = read_contract(store / "fixed" / "1")
    verify_files(store / "fixed" / "1", contract)
    assert contract.runtimes == {"openvino": ("fp32",)}
    assert contract.io is not None
    assert (contract.io.layout, contract.io.range, contract.io.size) == ("NCHW", (0, 1), (32, 48))
    assert contract.scale == FrameScale(long_side=48)
    contract = read_contract(store / "any" / "1")
    assert contract.io is not None
    assert (contract.io.size, contract.io.multiple) == (None, 1)
    assert contract.receptive_field_radius == 0  # so that tiles need no blending
    assert contract.scale == NativeScale()


@pytest.mark.parametrize("size", [None, (32, 48)])
def test_the_scale_that_is_said_holds(tmp_path: Path, size: tuple[int, int] | None) -> None:
    file = save_strongest(tmp_path / "any.xml", size)
    command = ["adopt", str(file), "--name", "any", "--store", str(tmp_path / "store"), *ADOPT]
    assert main([*command, "--scale", "longest=200"]) == 0
    contract = read_contract(tmp_path / "store" / "any" / "1")
    assert contract.scale == FrameScale(long_side=200)
    assert contract.intensity is not None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (20, 31), (32, 48), (33, 48), (90, 131)])
def test_both_are_served_at_any_size(store: Path, height: int, width: int) -> None:
    image = picture(height, width)
    with serving(store, tile_side_pixels=64) as server:
        for model in ("any", "fixed"):
            response = server.segment(image, model=model, scale="native")
            np.testing.assert_array_equal(class_map_of(response), solve(image))
            is_cut = model == "fixed" and (height > 32 or width > 48)
            assert (response.headers.get("X-Tiles-Blended") == "true") == is_cut


def test_a_large_picture_is_seen_at_the_size_that_a_fixed_network_takes(store: Path) -> None:
    image = np.zeros((640, 960, 3), np.uint8)
    image[:, :400, 0] = image[:, 400:, 2] = 200
    with serving(store) as server:
        response = server.segment(image, model="fixed")
        class_map = class_map_of(response)
        assert class_map.shape == (640, 960)
        assert np.mean(class_map == solve(image)) > 0.99
        assert float(response.headers["X-Scale"]) == 0.05
        together = server.client.post(
            "/segment/batch?model=fixed&format=npz&scale=native",
            files=[("image", png_bytes(picture(32, 48, n))) for n in range(3)],
        )
        assert together.status_code == 200


def test_a_network_of_one_image_at_a_time_runs_a_batch_of_several(store: Path) -> None:
    images = np.stack([picture(32, 48, seed) for seed in range(3)])
    engine = load_engine(
        store / "fixed" / "1", read_contract(store / "fixed" / "1"), EngineOptions()
    )
    np.testing.assert_array_equal(engine.class_map(images), [solve(image) for image in images])
    shares = engine.probabilities(images)
    expected = np.exp(4 * (images / 255))
    np.testing.assert_allclose(shares, expected / expected.sum(-1, keepdims=True), atol=1e-5)
    engine.close()


def test_tensorflow_says_that_it_has_nothing_to_run(store: Path) -> None:
    contract = read_contract(store / "any" / "1")
    with pytest.raises(EngineUnavailableError, match="holds no SavedModel"):
        load_engine(store / "any" / "1", contract, EngineOptions("tensorflow"))


def test_neither_adopting_nor_serving_imports_tensorflow(tmp_path: Path) -> None:
    file = save_strongest(tmp_path / "any.xml")
    code = f"""
import sys
from pathlib import Path
from models.cli import main
from models.contract import read_contract
from service.app import create_app
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine
store = Path({str(tmp_path / "store")!r})
assert main(["adopt", {str(file)!r}, "--name", "any", "--store", str(store), *{ADOPT!r}]) == 0
load_engine(store / "any" / "1", read_contract(store / "any" / "1"), EngineOptions())
assert not {{"tensorflow", "keras"}} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--classes", "a,b"], "which is not 2 classes"),
        (["--classes", "a,b,c,d"], "say --output sigmoid"),
        (["--output", "class_map"], "no class map of 3 classes: it has 3 channels"),
        (["--receptive-field-radius", "3"], "leave it out"),
        (["--axes", "NHWC"], "as NHWC it has unknown channels"),
        (["--size", "0", "3"], "--size"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    file = save_strongest(tmp_path / "any.xml")
    store = ["--store", str(tmp_path / "store"), "--name", "any"]
    assert main(["adopt", str(file), *ADOPT, *store, *arguments]) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_files_that_are_no_networks_are_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    save_strongest(tmp_path / "alone.xml")
    (tmp_path / "alone.bin").unlink()
    save_strongest(tmp_path / "two.xml", outputs=2)
    (tmp_path / "text.xml").write_text("<text/>")
    (tmp_path / "text.bin").write_bytes(b"")
    (tmp_path / "part.xml").write_text("<net")
    (tmp_path / "part.bin").write_bytes(b"")
    (tmp_path / "text.tflite").write_text("no model")
    (tmp_path / "folder.xml").mkdir()
    for name, sentence in {
        "alone.xml": "alone.bin is missing",
        "two.xml": "2 outputs (scores0, scores1); say --output-name",
        "text.xml": "is not the XML of an OpenVINO network",
        "part.xml": "cannot be read",
        "text.tflite": "is no LiteRT file, or a part of one",
        "folder.xml": "is not a file",
        "gone.xml": "is not there",
    }.items():
        store = ["--store", str(tmp_path / "store"), "--name", "any"]
        assert main(["adopt", str(tmp_path / name), *ADOPT, *store]) == 1
        said = capfd.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()


NETWORKS = Path(__file__).parent / "networks"


@pytest.mark.parametrize("name", ["floating", "int8"])
def test_a_litert_file_is_adopted(tmp_path: Path, name: str) -> None:
    file = str(NETWORKS / f"{name}.tflite")
    assert main(["adopt", file, "--name", "lite", *ADOPT, "--store", str(tmp_path)]) == 0
    contract = read_contract(tmp_path / "lite" / "1")
    assert contract.io is not None
    assert (contract.io.layout, contract.io.size) == ("NHWC", (96, 96))
    engine = load_engine(tmp_path / "lite" / "1", contract, EngineOptions())
    image = picture(12, 12).repeat(8, axis=0).repeat(8, axis=1)
    class_map = engine.class_map(image[np.newaxis])[0]
    engine.close()
    raw = openvino_core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    logits = raw([image[np.newaxis].astype(np.float32) / 255])[0][0]
    assert np.mean(class_map == logits.argmax(axis=-1)) > 0.999
    assert len(np.unique(class_map)) > 1


def test_whole_numbers_of_a_quantized_model_are_not_taken_for_a_class_map(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["adopt", str(NETWORKS / "uint8.tflite"), "--name", "lite", "--store", str(tmp_path)]
    assert main([*command, *ADOPT]) == 1
    assert "takes pixel values as they are; leave --scaling" in capsys.readouterr().err
    assert main([*command, "--classes", "a,b,c", "--yes"]) == 1
    assert "channels of int8, as that of a quantized model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pt2"])
def test_pytorch_files_are_not_opened_and_the_way_to_export_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    opened = tmp_path / "opened"
    (tmp_path / f"theirs{suffix}").write_bytes(pickle.dumps(_Opened(opened)))
    command = ["adopt", str(tmp_path / f"theirs{suffix}"), "--name", "x", *ADOPT]
    assert main([*command, "--store", str(tmp_path / "store")]) == 1
    said = capsys.readouterr().err
    assert "torch.onnx.export" in said
    assert said.count("\n") == 1
    assert not opened.exists()


class _Opened:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)
