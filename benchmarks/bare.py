"""The pipeline without HTTP, in a process of its own, driven over its standard input. Not a
benchmark itself.

    python -m benchmarks.bare --engine tensorflow

A line of standard input is a `Task` as JSON, a line of standard output its rate and latencies. What
runs is either `functions` (each caller a thread that decodes, runs the engine and encodes: what one
would write by hand) or `pipeline` (the server's own flow, with its queue and batches, as `segserve
predict` runs it).
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import cycle
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.load import Load, Sample
from benchmarks.measuring import seconds_of
from benchmarks.pictures import photographs
from service.catalogue.registry import Registry
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.inference.batching import Batcher
from service.inference.inference import Inference
from service.inference.loading import InProcessLoader
from service.inference.tiling.fit import fit, unfit
from service.inputs import decode
from service.outputs.png import PNG, PngOptions
from service.parts import engine_options, image_workers, inference_limits, registry_options
from service.runtimes.engine import Engine
from service.setting_flags import read_settings

IMAGES = 16
BATCHES_A_STREAM = 4


@dataclass(frozen=True)
class Task:
    what: Literal["functions", "pipeline"]
    concurrency: int
    seconds: float
    ramp_seconds: float


@dataclass(frozen=True)
class Outcome:
    rate: float
    latencies: dict[str, float]

    @classmethod
    def of(cls, load: Load) -> "Outcome":
        return cls(load.rate, {"p50": load.latency(0.5), "p99": load.latency(0.99)})


@dataclass(frozen=True)
class Loaded:
    """A model, what runs it, and the way to it that the server takes."""

    model: Model
    engine: Engine
    inference: Inference


@contextlib.contextmanager
def bare_pipeline(flags: Sequence[str]) -> Iterator[Callable[[Task], Outcome]]:
    """Start the process with flags as of `segserve serve`, and give the function that has it do a
    task."""
    command = [sys.executable, "-m", "benchmarks.bare", *flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given, answered = process.stdin, process.stdout

        def run(task: Task) -> Outcome:
            given.write(json.dumps(asdict(task)) + "\n")
            given.flush()
            return Outcome(**json.loads(answered.readline()))

        yield run
        given.close()


@contextlib.asynccontextmanager
async def loaded(flags: Sequence[str]) -> AsyncGenerator[Loaded]:
    """The first model of the store, loaded in this process with flags as of `segserve serve`."""
    settings = read_settings(["--no-watch-models", *flags])
    with ThreadPoolExecutor(image_workers(settings)) as workers:
        loader = InProcessLoader(engine_options(settings), inference_limits(settings), workers)
        registry = Registry(settings.model_store, registry_options(settings), loader)
        await registry.start()
        await registry.wait_until_settled()
        async with registry.lease(None, None) as segmenter:
            batcher = segmenter.runner
            assert isinstance(batcher, Batcher)
            yield Loaded(segmenter.model, batcher.engine, Inference(registry))
        await registry.stop()


def seconds_an_image(engine: Engine, images: NDArray[np.uint8], least_seconds: float) -> float:
    """Of class maps of `images` again and again, as many batches at once as the engine has
    streams."""
    batches = [images] * (engine.streams * BATCHES_A_STREAM)
    with ThreadPoolExecutor(engine.streams) as threads:
        seconds = seconds_of(lambda: list(threads.map(engine.class_map, batches)), least_seconds)
    return seconds / (len(images) * len(batches))


async def _serve(flags: Sequence[str]) -> None:
    async with loaded(flags) as model:
        while line := await asyncio.to_thread(sys.stdin.readline):
            task = Task(**json.loads(line))
            if task.what == "functions":
                load = await asyncio.to_thread(_run_functions, model, task)
            else:
                load = await _run_pipeline(model.inference, task)
            print(json.dumps(asdict(Outcome.of(load))), flush=True)


def _run_functions(loaded: Loaded, task: Task) -> Load:
    streams = threading.Semaphore(loaded.engine.streams)
    contract = loaded.model.contract

    def segment(body: bytes) -> None:
        image = decode(body, contract.channels, 10**8)
        height, width = image.shape[:2]
        with streams:
            class_map = loaded.engine.class_map(fit(image, contract.stride)[None])[0]
        PNG.write(Segmentation(loaded.model, unfit(class_map, height, width)), PngOptions())

    bodies, samples = cycle(photographs(IMAGES)), []
    began = time.perf_counter() + task.ramp_seconds

    def caller() -> None:
        while (sent := time.perf_counter()) < began + task.seconds:
            segment(next(bodies))
            samples.append(Sample(200, time.perf_counter() - sent, time.perf_counter()))

    callers = [threading.Thread(target=caller) for _ in range(task.concurrency)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    return _load(samples, began, task)


async def _run_pipeline(inference: Inference, task: Task) -> Load:
    bodies, samples = cycle(photographs(IMAGES)), []
    began = time.perf_counter() + task.ramp_seconds

    async def caller() -> None:
        while (sent := time.perf_counter()) < began + task.seconds:
            await inference.segment(next(bodies), PNG, PngOptions(), deadline=None)
            samples.append(Sample(200, time.perf_counter() - sent, time.perf_counter()))

    await asyncio.gather(*(caller() for _ in range(task.concurrency)))
    return _load(samples, began, task)


def _load(samples: list[Sample], began: float, task: Task) -> Load:
    kept = [sample for sample in samples if sample.finished >= began]
    return Load(kept, began, began + task.seconds, 0.0)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1:]))
