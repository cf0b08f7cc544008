"""Pictures that are kept, and those that come back: over real HTTP, on a real disk."""

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

from models.data.reading import read_dataset
from tests.service.protocols.test_problems import assert_problem
from tests.service.serving import ServerThread, picture, png_bytes, serving, wait_until
from tests.solvable import solve

SHAPE = 12, 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept"


@pytest.fixture
def keeping(store: Path, folder: Path) -> Iterator[ServerThread]:
    """A server that keeps every picture."""
    with serving(
        store,
        default_model="solvable",
        capture_folder=folder,
        capture_policies=("every=1",),
        capture_pause_seconds=0,
    ) as running:
        yield running


def mask_bytes(ids: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(ids).save(file, "PNG")
    return file.getvalue()


def send(server: ServerThread, query: str = "", **parts: Any) -> httpx.Response:
    return server.client.post(f"/feedback{query}", files=parts)


def test_a_picture_is_kept_as_it_came_with_its_mask_and_a_line(
    keeping: ServerThread, folder: Path
) -> None:
    image = picture(*SHAPE)
    answer = keeping.segment(image, classes="red")
    kept = answer.headers["X-Captured"]
    top = folder / "solvable" / "captured"
    wait_until((top / "notes" / f"{kept}.json").exists, "the note")
    assert (top / "images" / f"{kept}.png").read_bytes() == png_bytes(image)
    np.testing.assert_array_equal(np.array(Image.open(top / "masks" / f"{kept}.png")), solve(image))
    note = json.loads((top / "notes" / f"{kept}.json").read_text())
    assert note["model"] == "solvable/1"
    assert note["policy"] == "every"
    assert (note["height"], note["width"]) == SHAPE
    assert sum(note["classes"].values()) == pytest.approx(1, abs=1e-3)
    labels = {"model": "solvable/1", "policy": "every"}
    counted = "segserve_captured_images_total"
    wait_until(lambda: keeping.metric(counted, labels) == 1, "the count")
    assert (top / "images" / f"{kept}.png").stat().st_mode & 0o077 == 0


def test_feedback_becomes_a_data_set_that_segtrain_reads(
    keeping: ServerThread, folder: Path
) -> None:
    image = picture(*SHAPE)
    kept = keeping.segment(image).headers["X-Captured"]
    note = folder / "solvable" / "captured" / "notes" / f"{kept}.json"
    wait_until(note.exists, "the note")
    ids = (solve(image) + 1) % 3
    first = send(keeping, id=(None, kept), mask=mask_bytes(ids))
    assert first.status_code == 201, first.text
    assert first.json() == {**first.json(), "model": "solvable", "replaced": False, "images": 1}
    again = send(keeping, image=png_bytes(image), mask=mask_bytes(solve(image)))
    assert again.json() == {**first.json(), "replaced": True}
    other = picture(*SHAPE, seed=1)
    assert send(keeping, image=png_bytes(other), mask=mask_bytes(ids)).json()["images"] == 2
    dataset = read_dataset(folder / "solvable" / "labeled")
    assert [one.name for one in dataset.class_list.classes] == ["red", "green", "blue"]
    read = {
        sample.image.stem: sample.read(3)
        for split in dataset.splits
        for sample in dataset.split(split)
    }
    assert len(read) == 2
    pixels, mask = read[first.json()["name"]]
    np.testing.assert_array_equal(pixels, image)
    np.testing.assert_array_equal(mask, solve(image))
    assert keeping.metric("segserve_feedback_images_total", {"model": "solvable"}) == 3


def rgb_png() -> bytes:
    return png_bytes(picture(*SHAPE))


IDS = np.zeros(SHAPE, np.uint8)
IMAGE = png_bytes(picture(*SHAPE))
REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another size": (
        {"image": IMAGE, "mask": mask_bytes(IDS[1:])},
        "invalid-option",
        "10 × 11 pixels, and the picture 10 × 12",
    ),
    "a strange id": (
        {"image": IMAGE, "mask": mask_bytes(IDS + 7)},
        "invalid-option",
        "the id 7 on 120 pixels",
    ),
    "colors": ({"image": IMAGE, "mask": rgb_png()}, "unreadable-image", "mode RGB"),
    "no PNG": ({"image": IMAGE, "mask": b"GIF89a"}, "unreadable-image", "not a PNG"),
    "half a mask": (
        {
            "image": IMAGE,
            "mask": mask_bytes(np.random.default_rng(0).integers(0, 3, SHAPE, np.uint8))[:60],
        },
        "unreadable-image",
        "mask",
    ),
    "half a picture": ({"image": IMAGE[:200], "mask": mask_bytes(IDS)}, "unreadable-image", ""),
    "no picture": ({"mask": mask_bytes(IDS)}, "malformed-request", "either image or id"),
    "no mask": ({"image": IMAGE}, "malformed-request", "the parts image"),
    "a stranger": ({"picture": IMAGE}, "malformed-request", "image and id and mask"),
    "an id of nothing": (
        {"id": (None, "20261128T213055123-1f0a9c3e"), "mask": mask_bytes(IDS)},
        "unknown-capture",
        "has left",
    ),
    "a path": ({"id": (None, "../../x"), "mask": mask_bytes(IDS)}, "unknown-capture", "../../x"),
}


def test_what_does_not_fit_is_refused_and_nothing_is_written(
    keeping: ServerThread, folder: Path
) -> None:
    for name, (parts, slug, words) in REFUSALS.items():
        assert words in assert_problem(send(keeping, **parts), slug), name
    assert_problem(
        send(keeping, "?classes=red", image=IMAGE, mask=mask_bytes(IDS)), "malformed-request"
    )
    assert_problem(
        send(keeping, "?model=strete", image=IMAGE, mask=mask_bytes(IDS)), "unknown-model"
    )
    assert not (folder / "solvable" / "labeled").exists()


def test_a_folder_that_is_full_or_of_other_classes_refuses(
    keeping: ServerThread, folder: Path
) -> None:
    top = folder / "solvable" / "labeled"
    top.mkdir(parents=True)
    (top / "classes.json").write_text('{"classes": [], "ignore": null}')
    parts: dict[str, Any] = {"image": IMAGE, "mask": mask_bytes(IDS)}
    assert "other classes" in assert_problem(send(keeping, **parts), "feedback-refused")
    (top / "classes.json").unlink()
    with (top / "large").open("wb") as file:
        file.truncate(2**30)
    assert "may take 1073741824" in assert_problem(send(keeping, **parts), "feedback-refused")


def test_a_server_that_keeps_nothing_says_so(server: ServerThread) -> None:
    answer = send(server, image=IMAGE, mask=mask_bytes(IDS))
    assert "SEGSERVE_CAPTURE_FOLDER" in assert_problem(answer, "not-supported")
    assert "X-Captured" not in server.segment(picture(*SHAPE)).headers
