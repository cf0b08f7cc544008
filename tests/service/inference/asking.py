"""Pictures for a segmenter, and the ways to ask it."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.model import Model
from service.inference.batching import Batcher
from service.inference.inference import Answer, Inference
from service.inference.limits import InferenceLimits
from service.inference.observer import SILENT, Observer
from service.inference.scheduler import DeviceScheduler
from service.inference.segmenter import Segmenter
from service.outputs import OUTPUTS
from service.runtimes.engine import Engine
from tests.service.inference.always import Always

LIMITS = InferenceLimits(tile_size=64)


def picture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def file_of(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def class_map(answer: Answer) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(answer.encoded.body)))


def waiting(segmenter: Segmenter) -> int:
    """Images and tiles that wait for its engine."""
    assert isinstance(segmenter.runner, Batcher)
    return segmenter.runner.waiting


async def ask(
    segmenter: Segmenter,
    body: bytes,
    name: str = "png",
    deadline: float | None = None,
    **options: object,
) -> Answer:
    chosen = OUTPUTS[name]
    return await Inference(Always(segmenter)).segment(
        body, chosen, chosen.options.model_validate(options), deadline
    )


def segmenter_of(
    model: Model,
    engine: Engine,
    limits: InferenceLimits,
    workers: ThreadPoolExecutor,
    observer: Observer = SILENT,
    threads: int | None = None,
) -> Segmenter:
    """A segmenter whose engine shares the machine with no other."""
    batcher = Batcher.within(limits, model.id, engine, DeviceScheduler(), observer, threads)
    return Segmenter(model, batcher, limits, workers, observer)
