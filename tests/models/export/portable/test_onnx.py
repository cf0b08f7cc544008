"""ONNX files as PyTorch writes them (networks/make.py), served, against ONNX Runtime."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.cli import main
from models.contract import (
    OPENVINO_OUTPUTS,
    FrameScale,
    PercentileIntensity,
    PhysicalScale,
    onnx_path,
    openvino_path,
    read_contract,
)
from models.contract.openvino_core import openvino_core
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine
from service.runtimes.openvino_graph import cut_at_logits
from tests.service.serving import ServerThread, class_map_of, serving

onnx = pytest.importorskip("onnx", reason="the onnx extra is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

from service.runtimes.onnx_runtime import providers_of

NETWORKS = Path(__file__).parent / "networks"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = ("--scaling", "0..1", "--mean", *map(str, MEAN), "--std", *map(str, STD), "--yes")
CLASSES = {"plain_unet": 4, "global_context": 5, "quarter": 6, "fixed": 4}
STRIDES = {"plain_unet": 2, "global_context": 1, "quarter": 4, "fixed": 1}


def names(count: int) -> str:
    return ",".join("abcdef"[:count])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("onnx") / "store"
    for name, classes in CLASSES.items():
        file = str(NETWORKS / f"{name}.onnx")
        command = ["adopt", file, "--name", name, "--classes", names(classes), *IMAGENET]
        assert main([*command, "--store", str(store)]) == 0
    command = ["adopt", str(NETWORKS / "reflected.onnx"), "--name", "reflected", "--yes"]
    command += ["--classes", "crack", "--scaling", "-1..1", "--threshold", "0.6"]
    assert main([*command, "--store", str(store)]) == 0
    return store


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(store) as running:
        yield running


def blobs(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    draw = np.random.default_rng(seed)
    coarse = draw.integers(0, 256, (-(-height // 8), -(-width // 8), channels), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def own_output(name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """What ONNX Runtime gives for values (H, W, C): (channels, h, w)."""
    session = onnxruntime.InferenceSession(NETWORKS / f"{name}.onnx")
    image = np.ascontiguousarray(values.transpose(2, 0, 1)[np.newaxis], np.float32)
    output: NDArray[np.float32] = session.run(None, {"image": image})[0][0]
    return output


@pytest.mark.parametrize("name", list(CLASSES))
@pytest.mark.parametrize("size", [(96, 128), (67, 45), (130, 201)])
def test_what_is_served_is_what_onnx_runtime_says(
    server: ServerThread, name: str, size: tuple[int, int]
) -> None:
    if name == "fixed":
        size = (96, 128)  # its tiles are blended elsewhere
    height, width = size
    image = blobs(height, width, seed=height)
    served = class_map_of(server.segment(image, model=name, scale="native"))
    below, right = -height % STRIDES[name], -width % STRIDES[name]
    padded = np.pad(image, ((0, below), (0, right), (0, 0)), mode="reflect")
    logits = own_output(name, (padded / 255 - MEAN) / STD)
    if name == "quarter":
        logits = _four_times(logits)
    expected = logits.argmax(axis=0)[:height, :width]
    assert np.mean(served == expected) >= 0.999
    assert len(np.unique(expected)) > 1


def _four_times(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bilinearly, at half-pixel centers."""
    for axis in (1, 2):
        length = logits.shape[axis]
        place = np.clip((np.arange(4 * length) + 0.5) / 4 - 0.5, 0, length - 1)
        low = np.floor(place).astype(int)
        part = (place - low).reshape((-1, 1) if axis == 1 else (-1,))
        high = np.minimum(low + 1, length - 1)
        logits = logits.take(low, axis) * (1 - part) + logits.take(high, axis) * part
    return logits


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (50, 61)])
def test_a_sigmoid_that_pads_by_reflection_takes_small_pictures(
    server: ServerThread, size: tuple[int, int]
) -> None:
    height, width = size
    image = blobs(height, width, channels=1, seed=2)
    served = class_map_of(server.segment(image, model="reflected"))
    padded = image
    for axis in (0, 1):
        missing = max(7 - image.shape[axis], 0)
        widths = [(0, missing if other == axis else 0) for other in range(3)]
        padded = np.pad(padded, widths, mode="reflect" if image.shape[axis] > 1 else "edge")
    share = own_output("reflected", padded / 127.5 - 1)[0, :height, :width]
    clear = np.abs(share - 0.6) > 1e-4
    np.testing.assert_array_equal(served[clear], (share > 0.6)[clear])


@pytest.mark.parametrize(
    ("name", "factor"), [("plain_unet", 1), ("quarter", 4), ("fixed", 1), ("reflected", 1)]
)
def test_class_maps_are_those_of_the_logits_that_the_graph_is_cut_at(
    store: Path, name: str, factor: int
) -> None:
    contract = read_contract(store / name / "1")
    model = openvino_core().read_model(store / name / "1" / openvino_path("fp32"))
    cut = cut_at_logits(model, OPENVINO_OUTPUTS.index("class_map"), contract.stride)
    assert cut is not None
    assert cut.factor == factor
    engine = load_engine(store / name / "1", contract, EngineOptions("openvino", threads=2))
    for size in [contract.only_size] if contract.only_size else [(4, 8), (61, 35), (96, 128)]:
        image = blobs(*size, channels=contract.channels, seed=3)[np.newaxis]
        probabilities = engine.probabilities(image)
        np.testing.assert_array_equal(engine.class_map(image), probabilities.argmax(axis=-1))
        height, width = (side - side % factor for side in size)
        logits, found = engine.logits(image[:, :height, :width])
        assert logits.shape == (1, len(contract.classes), height // found, width // found)
    engine.close()


def test_a_large_picture_of_a_fixed_network_is_tiled_and_the_answer_says_so(
    server: ServerThread,
) -> None:
    image = blobs(200, 300)
    response = server.segment(image, model="fixed", scale="native")
    assert class_map_of(response).shape == (200, 300)
    assert response.headers["X-Tiles-Blended"] == "true"
    assert float(server.segment(image, model="fixed").headers["X-Scale"]) < 1


def test_the_file_is_kept_and_the_contract_says_what_it_takes(store: Path) -> None:
    artefact = store / "quarter" / "1"
    contract = read_contract(artefact)
    assert contract.runtimes == {"openvino": ("fp32",), "onnx": ("fp32",)}
    kept = onnx.load(artefact / onnx_path("fp32"))
    assert kept.graph == onnx.load(NETWORKS / "quarter.onnx").graph
    io = contract.io
    assert io is not None
    assert (io.layout, io.multiple, io.input_name, io.output_name) == ("NCHW", 4, "image", "mask")
    assert (io.mean, io.std, io.output) == (MEAN, STD, "logits")
    assert contract.parameters == 16 * 3 * 49 + 16 + 6 * 16 + 6


def conv_file(path: Path, **changes: Any) -> Path:
    """A 1×1 convolution of three channels to three classes; `changes` spoil it."""
    helper, kinds = onnx.helper, onnx.TensorProto
    shape = ["n", 3, "h", "w"]
    weights = onnx.numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "w")
    nodes = changes.get("nodes") or [helper.make_node("Conv", ["image", "w"], ["mask"])]
    inputs = [
        helper.make_tensor_value_info(name, kinds.FLOAT, changes.get("shape", shape))
        for name in changes.get("inputs", ["image"])
    ]
    outputs = [helper.make_tensor_value_info("mask", kinds.FLOAT, shape)]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weights])
    opsets = [helper.make_opsetid("", changes.get("opset", 17)), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, path, **changes.get("save", {}))
    return path


def resize(**attributes: Any) -> list[Any]:
    """Half of the size and back, with such attributes."""
    helper = onnx.helper
    half = helper.make_tensor("half", onnx.TensorProto.FLOAT, [4], [1, 1, 0.5, 0.5])
    return [
        helper.make_node("Constant", [], ["scales"], value=half),
        helper.make_node("Resize", ["image", "", "scales"], ["mask"], mode="linear", **attributes),
    ]


def softmax() -> list[Any]:
    """Over the axis of the classes, and before opset 13 over those behind it too."""
    helper = onnx.helper
    return [
        helper.make_node("Conv", ["image", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["mask"], axis=1),
    ]


def bad_files(folder: Path) -> dict[Path, str]:
    """Each file, and what is to be said of it."""
    external = {"save_as_external_data": True, "size_threshold": 0}
    conv_file(folder / "lost.onnx", save={**external, "location": "lost.data"})
    (folder / "lost.data").unlink()
    there = conv_file(folder / "away.onnx", save={**external, "location": "away.data"})
    (folder / "away.data").rename(folder.parent / "away.data")
    model = onnx.load(there, load_external_data=False)
    model.graph.initializer[0].external_data[0].value = "../away.data"
    there.write_bytes(model.SerializeToString())
    (folder / "text.onnx").write_text("no model")
    (folder / "empty.onnx").write_bytes(b"")
    custom = onnx.helper.make_node("Sharpen", ["image"], ["mask"], domain="own")
    return {
        folder / "lost.onnx": "weights in lost.data, which is missing",
        folder / "away.onnx": "'../away.data', which is outside its folder",
        folder / "text.onnx": "is no ONNX file",
        folder / "empty.onnx": "is no ONNX file",
        conv_file(folder / "custom.onnx", nodes=[custom]): "its maker's own: own.Sharpen",
        conv_file(folder / "two.onnx", inputs=["image", "depth"]): "2 inputs (image, depth)",
        conv_file(folder / "old.onnx", opset=9): "is of opset 9, and segtrain adopts those of 11",
        conv_file(folder / "rank.onnx", shape=["n", 3]): "has the shape (None, 3)",
        conv_file(
            folder / "antialias.onnx", nodes=resize(antialias=1), opset=18
        ): "Resize antialias=1, which OpenVINO leaves out",
        conv_file(
            folder / "softmax.onnx", nodes=softmax(), opset=11
        ): "a Softmax of ONNX opset 12 or older",
        conv_file(folder / "batch.onnx", shape=[4, 3, "h", "w"]): "takes batches of 4 images alone",
    }


def test_what_cannot_be_adopted_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "made").mkdir()
    for file, sentence in bad_files(tmp_path / "made").items():
        command = ["adopt", str(file), "--name", "x", "--classes", "a,b,c", *IMAGENET]
        assert main([*command, "--store", str(tmp_path / "store")]) == 1, file
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_external_data_in_the_folder_is_read_and_kept_with_the_model(tmp_path: Path) -> None:
    external = {"save_as_external_data": True, "size_threshold": 0, "location": "conv.data"}
    file = conv_file(tmp_path / "conv.onnx", save=external)
    command = ["adopt", str(file), "--name", "x", "--classes", "a,b,c", *IMAGENET]
    assert main([*command, "--store", str(tmp_path / "store")]) == 0
    kept = onnx.load(tmp_path / "store" / "x" / "1" / onnx_path("fp32"), load_external_data=False)
    assert onnx.numpy_helper.to_array(kept.graph.initializer[0]).tolist() == [
        [[[float(i == j)]] for j in range(3)] for i in range(3)
    ]


def test_a_model_that_gives_other_classes_when_it_is_served_is_refused_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's reading of another file stands for an operator that it gets wrong."""
    from models.export.portable import onnx_files

    swapped = conv_file(tmp_path / "swapped.onnx")
    model = onnx.load(swapped)
    weights = np.eye(3, dtype=np.float32)[[1, 0, 2]].reshape(3, 3, 1, 1)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weights, "w"))
    by_openvino = onnx_files._by_openvino  # noqa: SLF001
    monkeypatch.setattr(
        onnx_files,
        "_by_openvino",
        lambda path, proto, _data: by_openvino(path, proto, model.SerializeToString()),
    )
    file = str(conv_file(tmp_path / "conv.onnx"))
    command = ["adopt", file, "--name", "x", "--classes", "a,b,c", *IMAGENET]
    command += ["--store", str(tmp_path / "store")]
    assert main(command) == 1
    assert "have the class that ONNX Runtime gives" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
    assert main([*command, "--force"]) == 0


def test_a_scale_that_is_said_goes_before_the_size_that_the_model_takes(
    store: Path, tmp_path: Path
) -> None:
    own = read_contract(store / "fixed" / "1")
    assert isinstance(own.scale, FrameScale)
    assert own.intensity == PercentileIntensity()
    command = ["adopt", str(NETWORKS / "fixed.onnx"), "--name", "fixed", *IMAGENET]
    command += ["--classes", names(CLASSES["fixed"]), "--store", str(tmp_path)]
    assert main([*command, "--scale", "0.5 µm"]) == 0
    scale = read_contract(tmp_path / "fixed" / "1").scale
    assert scale == PhysicalScale(pixel_size=0.5, unit="µm")


# ---- ONNX Runtime as what serves


@pytest.mark.parametrize("name", [*CLASSES, "reflected"])
@pytest.mark.parametrize("size", [(96, 128), (67, 45), (1, 3)])
def test_onnx_runtime_serves_the_same(store: Path, name: str, size: tuple[int, int]) -> None:
    artefact = store / name / "1"
    contract = read_contract(artefact)
    if contract.only_size is not None:
        size = contract.only_size
    images = np.stack([blobs(*size, channels=contract.channels, seed=seed) for seed in (1, 2)])
    answers = []
    for engine_name in ("openvino", "onnx"):
        engine = load_engine(artefact, contract, EngineOptions(engine_name, threads=2))
        class_maps, probabilities = engine.class_map(images), engine.probabilities(images)
        np.testing.assert_array_equal(class_maps, probabilities.argmax(axis=-1))
        answers.append((class_maps, probabilities))
        engine.close()
    (by_openvino, expected), (by_onnx, probabilities) = answers
    assert np.mean(by_openvino == by_onnx) >= 0.999
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


def test_what_openvino_leaves_out_is_served_by_onnx_runtime(tmp_path: Path) -> None:
    file = conv_file(tmp_path / "antialias.onnx", nodes=halved_and_back(), opset=18)
    command = ["adopt", str(file), "--name", "smooth", "--classes", "a,b,c", *IMAGENET]
    command += ["--store", str(tmp_path / "store"), "--multiple", "2"]
    assert main(command) == 1
    assert main([*command, "--runtime", "onnx"]) == 0
    assert read_contract(tmp_path / "store" / "smooth" / "1").runtimes == {"onnx": ("fp32",)}
    session = onnxruntime.InferenceSession(file)
    with serving(tmp_path / "store") as server:
        for height, width in ((64, 96), (38, 130), (201, 57)):
            image = blobs(height, width, seed=width)
            served = class_map_of(server.segment(image, model="smooth"))
            padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="reflect")
            values = ((padded / 255 - MEAN) / STD).transpose(2, 0, 1)[np.newaxis]
            logits = session.run(None, {"image": values.astype(np.float32)})[0][0]
            expected = logits.argmax(axis=0)[:height, :width]
            assert np.mean(served == expected) >= 0.999
        said = server.client.get("/models/smooth").json()
    assert said["versions"][0]["engine"]["name"] == "onnx"


def halved_and_back() -> list[Any]:
    """Half the size by an antialiased Resize, and twice that by another."""
    helper = onnx.helper
    constants = [
        helper.make_node(
            "Constant",
            [],
            [name],
            value=helper.make_tensor(name, onnx.TensorProto.FLOAT, [4], [1, 1, factor, factor]),
        )
        for name, factor in (("down", 0.5), ("up", 2.0))
    ]
    return [
        *constants,
        helper.make_node("Resize", ["image", "", "down"], ["small"], mode="linear", antialias=1),
        helper.make_node("Resize", ["small", "", "up"], ["mask"], mode="linear"),
    ]


@pytest.mark.parametrize(("window", "is_doubted"), [(2, False), (4, True)])
def test_windows_that_may_be_a_frozen_adaptive_pool_are_of_one_size_or_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], window: int, is_doubted: bool
) -> None:
    file = conv_file(tmp_path / "pools.onnx", nodes=pooled_and_back(window))
    command = ["adopt", str(file), "--name", "pools", "--classes", "a,b,c", *IMAGENET]
    command += ["--store", str(tmp_path / "store"), "--multiple", str(window)]
    assert main(command) == int(is_doubted)
    said = capsys.readouterr().err
    assert ("pools windows of 4×4 that lie side by side" in said) is is_doubted
    if is_doubted:
        assert not (tmp_path / "store").exists()
        assert main([*command, "--force"]) == 0
        assert read_contract(tmp_path / "store" / "pools" / "1").only_size is None
        assert main([*command[:-2], "--size", "32", "48"]) == 0
        assert read_contract(tmp_path / "store" / "pools" / "2").only_size == (32, 48)


def pooled_and_back(window: int) -> list[Any]:
    """Means over windows side by side, and as large as before again."""
    helper = onnx.helper
    sizes = helper.make_tensor("factors", onnx.TensorProto.FLOAT, [4], [1, 1, window, window])
    return [
        helper.make_node("Constant", [], ["scales"], value=sizes),
        helper.make_node(
            "AveragePool",
            ["image"],
            ["small"],
            kernel_shape=[window, window],
            strides=[window, window],
        ),
        helper.make_node("Resize", ["small", "", "scales"], ["mask"], mode="linear"),
    ]


def test_a_gpu_comes_first_and_looks_for_its_algorithms_once() -> None:
    known = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    providers = providers_of(known)
    assert providers == [
        ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}),
        ("CPUExecutionProvider", {}),
    ]
    assert providers_of(["AzureExecutionProvider"]) == [("CPUExecutionProvider", {})]
