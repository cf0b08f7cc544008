"""How sure the model is, through every door: calibrated, with what it is not sure of left out."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rasterio.features import rasterize

from models.contract import (
    Calibration,
    FrameScale,
    OperatingPoint,
    Reference,
    Spread,
    read_contract,
    write_contract,
)
from service.inference.tiling.mirrored import MirrorCanvas, MirrorMean
from service.inference.tiling.plan import plan_tiles
from service.inference.tiling.stitch import Maps
from tests.service.serving import ServerThread, class_map_of, picture, png_bytes, serving
from tests.solvable import save_solvable_model, solve

TEMPERATURES = (0.5, 2.0, 3.0)
HEIGHT, WIDTH = 40, 56


def around(value: float, reach: float) -> Spread:
    return Spread(mean=value, p05=value - reach, p50=value, p95=value + reach)


CALIBRATION = Calibration(
    temperature=1.5,
    class_temperatures=TEMPERATURES,
    split="val",
    error_before=0.1,
    error_after=0.05,
)
REFERENCE = Reference(
    split="val",
    images=10,
    class_shares=(0.33, 0.33, 0.34),
    confidence=around(0.5, 0.4),
    brightness=around(125, 20),
    long_side=around(WIDTH, 5),
    limit=1.5,
)
POINT = OperatingPoint(
    min_confidence=0.6, wished_precision=0.9, precision=0.91, recall=0.8, split="val"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    plain: dict[str, Any] = {"calibration": {"fp32": CALIBRATION}}
    facts: dict[str, dict[str, Any]] = {
        "sure": plain | {"reference": REFERENCE, "operating_points": {"fp32": {"green": POINT}}},
        "bare": plain,
        "framed": plain | {"scale": FrameScale(long_side=32), "reference": REFERENCE},
        "blended": plain,
    }
    for name, told in facts.items():
        artefact = save_solvable_model(
            store,
            name,
            ignore=None if name == "bare" else 255,
            receptive_field_radius=None if name == "blended" else 5,
        )
        write_contract(artefact, read_contract(artefact).model_copy(update=told))
    return store


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[ServerThread]:
    with serving(store, default_model="sure", tile_side_pixels=64) as running:
        yield running


def ask(server: ServerThread, image: NDArray[np.uint8], query: str = "") -> httpx.Response:
    response = server.client.post(f"/segment?{query}", content=png_bytes(image))
    assert response.status_code == 200, response.text
    return response


def expected(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The calibrated probabilities (H, W, 3) of the solvable model."""
    shares = image + 1e-3
    shares = shares / shares.sum(axis=-1, keepdims=True)
    temperatures = np.asarray(TEMPERATURES)[solve(image)][..., np.newaxis]
    powers = shares ** (1 / temperatures)
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def gray(response: httpx.Response) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(response.content)))


def test_confidence_is_calibrated_and_no_class_changes(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH)
    confidence = gray(ask(server, image, "format=confidence")).astype(int)
    assert np.abs(confidence - expected(image).max(axis=-1) * 255).max() <= 1
    np.testing.assert_array_equal(class_map_of(ask(server, image)), solve(image))


@pytest.mark.parametrize("model", ["sure", "blended", "framed"])
def test_every_format_shows_the_same_classes_with_and_without_confidence(
    server: ServerThread, model: str
) -> None:
    image = picture(100, 130, seed=2)  # several tiles
    plain = class_map_of(ask(server, image, f"model={model}"))
    archive = np.load(
        io.BytesIO(ask(server, image, f"model={model}&format=npz&probabilities=true").content)
    )
    np.testing.assert_array_equal(archive["class_map"], plain)
    threshold = class_map_of(ask(server, image, f"model={model}&min_confidence=0.001"))
    np.testing.assert_array_equal(threshold, plain)


def test_probabilities_are_calibrated_in_archives_and_tensors(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH, seed=3)
    query = "format=npz&probabilities=true&dtype=float32"
    archive = np.load(io.BytesIO(ask(server, image, query).content))
    np.testing.assert_allclose(archive["probabilities"], expected(image), atol=1e-4)
    document = {
        "inputs": [
            {
                "name": "image",
                "shape": [1, HEIGHT, WIDTH, 3],
                "datatype": "UINT8",
                "data": image.reshape(-1).tolist(),
            }
        ],
        "outputs": [{"name": "probabilities"}],
    }
    found = server.client.post("/v2/models/sure/infer", json=document).json()
    tensor = np.asarray(found["outputs"][0]["data"]).reshape(HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(tensor, expected(image), atol=1e-4)


def test_uncertainty_is_the_entropy(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH, seed=4)
    image[0, 0] = 100  # undecided
    probabilities = expected(image)
    entropy = -(probabilities * np.log(probabilities)).sum(axis=-1) / np.log(3)
    for model in ("sure", "framed"):
        query = f"model={model}&format=uncertainty&scale=native"
        shown = gray(ask(server, image, query)).astype(int)
        assert np.abs(shown - entropy * 255).max() <= 1
    assert shown[0, 0] == 255


@pytest.mark.parametrize(("model", "left_out"), [("sure", 255), ("bare", 255)])
def test_what_is_not_sure_enough_gets_the_ignore_id(
    server: ServerThread, model: str, left_out: int
) -> None:
    image = picture(HEIGHT, WIDTH, seed=5)
    confidence = gray(ask(server, image, f"model={model}&format=confidence"))
    cases = {"0.6": (0.6, 0.6, 0.6), "red:0.7,blue:0.5": (0.7, 0.0, 0.5)}
    for text, limits in cases.items():
        least = np.ceil(np.asarray(limits) * 255 - 1e-9)[solve(image)]
        answer = np.where(confidence < least, left_out, solve(image))
        assert 0 < np.mean(answer == left_out) < 1
        found = ask(server, image, f"model={model}&min_confidence={text}")
        np.testing.assert_array_equal(class_map_of(found), answer)
        document = ask(server, image, f"model={model}&format=rle&min_confidence={text}").json()
        (entry,) = [one for one in document["classes"] if one["name"] == "ignore"]
        assert (entry["id"], entry["pixels"]) == (left_out, np.sum(answer == left_out))
        shown = gray(ask(server, image, f"model={model}&format=confidence&min_confidence={text}"))
        np.testing.assert_array_equal(shown, np.where(confidence < least, 0, confidence))


def test_pixels_by_another_protocol_are_held_to_it_too(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH, seed=7)
    document = {
        "inputs": [
            {
                "name": "image",
                "shape": [1, HEIGHT, WIDTH, 3],
                "datatype": "UINT8",
                "data": image.reshape(-1).tolist(),
            }
        ],
        "parameters": {"min_confidence": "0.6"},
    }
    found = server.client.post("/v2/models/sure/infer", json=document).json()
    tensor = np.asarray(found["outputs"][0]["data"], np.uint8).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(
        tensor, class_map_of(ask(server, image, "model=sure&min_confidence=0.6"))
    )


def test_operating_points_are_taken_by_name(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH, seed=8)
    by_name = class_map_of(ask(server, image, "min_confidence=auto"))
    np.testing.assert_array_equal(
        by_name, class_map_of(ask(server, image, "min_confidence=green:0.6"))
    )


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("min_confidence=1.5", "above 0 and at most 1"),
        ("min_confidence=nan", "above 0 and at most 1"),
        ("min_confidence=red:", "above 0 and at most 1"),
        ("min_confidence=red:0.5,red:0.6", "class 'red' is named twice"),
        ("min_confidence=car:0.5", "names class 'car', which sure does not have"),
        ("model=bare&min_confidence=auto", "keeps no operating points in fp32"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_a_sentence(
    server: ServerThread, query: str, sentence: str
) -> None:
    response = server.client.post(f"/segment?{query}", content=png_bytes(picture(8, 8)))
    assert response.status_code == 400
    assert sentence in response.json()["detail"]


def test_an_answer_says_whether_the_picture_is_like_the_model_s_own(server: ServerThread) -> None:
    usual = ask(server, picture(HEIGHT, WIDTH), "format=rle")
    assert 0 < float(usual.headers["X-Atypical"]) < 1
    assert "X-Atypical-Reasons" not in usual.headers
    assert usual.json()["atypical"] == pytest.approx(float(usual.headers["X-Atypical"]))
    dark = ask(server, picture(HEIGHT, WIDTH) // 5, "format=rle")
    score = float(dark.headers["X-Atypical"])  # 100 darker, of 20, of the limit 1.5
    assert score == pytest.approx(100 / 20 / 1.5, rel=0.05)
    assert dark.headers["X-Atypical-Reasons"] == "brightness"
    assert dark.json()["atypical_reasons"] == ["brightness"]
    assert "X-Atypical" not in ask(server, picture(HEIGHT, WIDTH), "model=bare").headers


def test_an_answer_says_how_sure_it_is_where_that_costs_nothing(server: ServerThread) -> None:
    image = picture(HEIGHT, WIDTH)
    asked = ask(server, image, "format=confidence")
    mean = gray(asked).mean() / 255
    assert float(asked.headers["X-Confidence"]) == pytest.approx(mean, abs=2e-3)
    framed = ask(server, image, "model=framed&format=rle")
    assert framed.json()["confidence"] == pytest.approx(float(framed.headers["X-Confidence"]))
    exact = gray(ask(server, image, "model=framed&format=confidence")).mean() / 255
    assert framed.json()["confidence"] == pytest.approx(exact, abs=0.05)


def test_json_says_the_mean_of_each_class_and_of_each_region(server: ServerThread) -> None:
    image = np.asarray(
        Image.fromarray(picture(6, 8, seed=9)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    )
    confidence = gray(ask(server, image, "format=confidence")) / 255
    classes = solve(image)
    for query, entries, score in (
        ("format=rle", "classes", "confidence"),
        ("format=coco", "annotations", "score"),
    ):
        document = ask(server, image, f"{query}&confidence=true").json()
        assert document[entries]
        for entry in document[entries]:
            class_id = entry["category_id"] - 1 if "category_id" in entry else entry["id"]
            mean = confidence[classes == class_id].mean()
            assert entry[score] == pytest.approx(mean, abs=1e-3)
        assert score not in ask(server, image, query).json()[entries][0]
    regions = ask(server, image, "format=polygons&confidence=true&tolerance=3").json()["features"]
    whole = ask(server, image, "format=polygons").json()["features"]
    assert len(regions) == len(whole) > 3
    for region, outline in zip(regions, whole, strict=True):
        mask = rasterize([outline["geometry"]], (HEIGHT, WIDTH)).astype(bool)
        mean = confidence[mask].mean()
        assert region["properties"]["confidence"] == pytest.approx(mean, abs=1e-3)
    annotations = ask(server, image, "format=qupath&confidence=true").json()["features"]
    assert all("confidence" in one["properties"]["measurements"] for one in annotations)


def test_a_picture_and_its_mirror_image_give_their_mean(server: ServerThread) -> None:
    image = picture(100, 130, seed=11)
    for model in ("sure", "blended", "framed"):
        plain = ask(server, image, f"model={model}&format=confidence")
        both = ask(server, image, f"model={model}&format=confidence&augment=flip")
        off = np.abs(gray(plain).astype(int) - gray(both))  # the solvable model is symmetric
        assert np.mean(off) < 2
        assert both.headers["X-Atypical" if model != "blended" else "X-Model"]
    probabilities = np.random.default_rng(1).dirichlet((1, 1, 1), (2, 4, 6)).astype(np.float32)
    plan, maps = plan_tiles(4, 6, 1, None, 8), Maps.empty((4, 6), "probabilities", 3)
    mean = MirrorMean(plan, maps, None, 3, None)
    (tile,) = plan
    MirrorCanvas(mean, 1).put(tile, probabilities[1])
    MirrorCanvas(mean, 0).put(tile, probabilities[0])
    expected_mean = (probabilities[0] + probabilities[1][:, ::-1]) / 2
    np.testing.assert_array_equal(maps.class_map, expected_mean.argmax(axis=-1))
    assert maps.probabilities is not None
    np.testing.assert_allclose(maps.probabilities, expected_mean, atol=1e-5)


def test_metrics_count_what_is_seen(server: ServerThread) -> None:
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[..., 2] = 255  # all blue

    def value(name: str) -> float:
        lines = server.client.get("/metrics").text.splitlines()
        return float(next((line for line in lines if line.startswith(name)), "0 0").split()[-1])

    blue = 'segserve_class_pixels_total{class="blue",model="framed/1"}'
    atypical = 'segserve_atypical_images_total{model="framed/1"}'
    before = value(blue), value(atypical)
    for _ in range(20):
        ask(server, image, "model=framed")
    assert value(blue) - before[0] == 20 * HEIGHT * WIDTH
    assert value(atypical) - before[1] == 20
    assert value('segserve_class_share_psi{model="framed/1"}') > 0.25
    assert value('segserve_image_confidence_count{model="framed/1"}') >= 20


def test_json_lines_of_a_batch_say_it_too(server: ServerThread) -> None:
    part = ("image", ("a.png", png_bytes(picture(HEIGHT, WIDTH)), "image/png"))
    response = server.client.post("/segment/batch?container=ndjson&format=rle", files=[part])
    line = json.loads(response.text)
    assert line["atypical"] == line["result"]["atypical"]
