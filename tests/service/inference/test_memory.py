"""What admission counts of a request, against what is really allocated for it."""

import gc
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.contract import SegmentationClass
from service.domain.model import Model
from service.domain.requests import ScaleRequest
from service.domain.segmentation import Need
from service.inference.inference import Inference
from service.inference.segmenter import Segmenter
from tests.service.inference.always import Always
from tests.service.inference.asking import LIMITS, ask, file_of, picture, segmenter_of
from tests.service.inference.held_engine import HeldEngine

pytestmark = pytest.mark.anyio

CLASSES = 60
SIDE = 240
MIB = 2**20


class ManyClassesEngine(HeldEngine):
    """Allocates its result and nothing beside it, and notes what is counted meanwhile."""

    segmenter: Segmenter
    counted = 0

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.counted = max(self.counted, self.segmenter.waiting_bytes)
        return np.zeros(images.shape[:3], np.uint8)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.counted = max(self.counted, self.segmenter.waiting_bytes)
        result = np.zeros((*images.shape[:3], CLASSES), np.float32)
        result[..., 1] = 1
        return result


def many_classes(model: Model, radius: int | None) -> Model:
    classes = tuple(
        SegmentationClass(id=i, name=f"kind {i}", color="#000000") for i in range(CLASSES)
    )
    changes = {"classes": classes, "receptive_field_radius": radius}
    return Model(model.contract.model_copy(update=changes), 1)


@contextmanager
def peak() -> Iterator[list[int]]:
    """The most bytes that Python and numpy had allocated at once within the block."""
    found: list[int] = []
    gc.collect()
    tracemalloc.start()
    try:
        yield found
        found.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("need", ["class_map", "confidence", "probabilities"])
@pytest.mark.parametrize("radius", [5, None], ids=["cut exactly", "blended"])
@pytest.mark.parametrize("tile_size", [1024, 96], ids=["whole", "tiled"])
async def test_what_is_counted_is_what_is_allocated(
    solvable_model: Model,
    workers: ThreadPoolExecutor,
    need: Need,
    radius: int | None,
    tile_size: int,
) -> None:
    engine = ManyClassesEngine()
    model = many_classes(solvable_model, radius)
    limits = replace(LIMITS, tile_size=tile_size)
    segmenter = segmenter_of(model, engine, limits, workers)
    engine.segmenter = segmenter
    image = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    with peak() as found:
        answer = await Inference(Always(segmenter)).predict(None, image, [need], None)
    assert (answer.tiles > 1) == (tile_size == 96)
    assert answer.blended == (answer.tiles > 1 and radius is None)
    allocated = found[0] + image.nbytes
    # what Python itself and the blocks of the stitching take is not counted
    assert allocated < 1.25 * engine.counted + 4 * MIB
    assert engine.counted < 2 * allocated
    await segmenter.close()


@pytest.mark.parametrize("need", ["class_map", "confidence", "probabilities"])
@pytest.mark.parametrize("radius", [5, None], ids=["cut exactly", "blended"])
async def test_what_is_counted_of_pixels_that_are_seen_smaller_is_what_is_allocated(
    solvable_model: Model, workers: ThreadPoolExecutor, need: Need, radius: int | None
) -> None:
    engine = ManyClassesEngine()
    model = many_classes(solvable_model, radius)
    limits = replace(LIMITS, tile_size=96)
    segmenter = segmenter_of(model, engine, limits, workers)
    engine.segmenter = segmenter
    images = np.zeros((2, 2 * SIDE, 2 * SIDE, 3), np.uint8)
    with peak() as found:
        answer = await Inference(Always(segmenter)).predict(
            None, images, [need], None, scale=ScaleRequest("factor", 0.5)
        )
    assert answer.scales == [0.5, 0.5]
    allocated = found[0] + images.nbytes
    # the bands in which logits are enlarged are not counted
    assert allocated < 1.25 * engine.counted + 16 * MIB
    assert engine.counted < 2 * allocated
    await segmenter.close()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("png", {}),
        ("confidence", {}),
        ("npz", {"probabilities": True}),
        ("npz", {"probabilities": True, "dtype": "float32"}),
    ],
)
async def test_what_is_counted_of_a_file_is_what_is_allocated_until_it_is_encoded(
    solvable_model: Model, workers: ThreadPoolExecutor, name: str, options: dict[str, Any]
) -> None:
    engine = ManyClassesEngine()
    limits = replace(LIMITS, tile_size=1024)
    segmenter = segmenter_of(many_classes(solvable_model, 5), engine, limits, workers)
    engine.segmenter = segmenter
    body = file_of(picture(0, SIDE, SIDE))
    with peak() as found:
        await ask(segmenter, body, name, **options)
    assert found[0] < 1.25 * engine.counted + 4 * MIB
    assert (engine.counted > SIDE * SIDE * CLASSES * 4) == (name != "png")
    await segmenter.close()
