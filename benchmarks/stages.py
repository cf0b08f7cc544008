"""Question: which stage of a request takes how long?

    .venv/bin/python -m benchmarks.stages                 (5 minutes)

Each stage alone at 480×360, 1024² and 4096²: decode a JPEG, mirror-pad to the stride, encode each
format; the engines by batch at 480×360, and one image of 1024² and of a tile's size (larger ones
run in tiles), by streams where they have them. Then whole requests through the server, and each
stage's share as their Server-Timing header tells.
"""

import asyncio
import io
import multiprocessing
import re
import statistics
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from benchmarks.bare import loaded, seconds_an_image
from benchmarks.measuring import Run, begin, seconds_of
from benchmarks.pictures import USUAL, photographs, source
from benchmarks.servers import STREET, engines, running, segserve
from models.contract import read_contract
from service.domain.model import Model
from service.domain.segmentation import Segmentation
from service.inference.runner import TileSides
from service.inference.tiling.fit import fit
from service.inputs import decode
from service.outputs import OUTPUTS

SIZES = (USUAL, (1024, 1024), (4096, 4096))
BATCHES = (1, 2, 4, 8, 16)
LEAST_SECONDS = 1.0
REQUESTS = 10
REQUESTS_OF_MANY_TILES = 3
TILE_SIDE = TileSides.of(None, light_class_maps=True).class_map


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    sizes = SIZES[: 1 if run.quick else None]
    by_batch, by_side = {}, {}
    for flags in tqdm(_ways(), unit="engine"):
        # in a process of its own: TensorFlow's threads are set once a process
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            name, by_batch_here, by_side_here = process.submit(_engine_seconds, run, flags).result()
            by_batch[name], by_side[name] = by_batch_here, by_side_here
    shares, class_map = _shares(run, sizes)
    run.write(
        "stages",
        {
            "images": source(),
            "alone": {f"{w}×{h}": _alone(run, (w, h), class_map) for w, h in sizes},
            "engine_seconds_by_batch": by_batch,
            "engine_seconds_by_side": by_side,
            "share_of_a_request": shares,
        },
    )


def _ways() -> list[tuple[str, ...]]:
    """Flags for each engine, with the streams that it chooses and with one."""
    return [(*flags, *more) for flags in engines().values() for more in ((), ("--streams", "1"))]


def _engine_seconds(
    run: Run, flags: tuple[str, ...]
) -> tuple[str, dict[str, float], dict[str, float]]:
    """The engine's name, seconds an image by the batch's size at 480×360, and of one image by its
    side."""

    async def measure() -> tuple[str, dict[str, float], dict[str, float]]:
        async with loaded(flags) as model:
            contract, engine = model.model.contract, model.engine

            def seconds(size: tuple[int, int], batch: int) -> float:
                image = decode(photographs(1, size)[0], contract.channels, 10**9)
                images = np.repeat(fit(image, contract.stride)[None], batch, axis=0)
                return seconds_an_image(engine, images, run.seconds(LEAST_SECONDS))

            batches = BATCHES[: 2 if run.quick else None]
            sides = () if run.quick else (1024, TILE_SIDE)
            streams = f", {engine.streams} at once" if engine.streams > 1 else ""
            return (
                f"{engine.name} {engine.precision}{streams}",
                {str(batch): seconds(USUAL, batch) for batch in batches},
                {str(side): seconds((side, side), 1) for side in sides},
            )

    return asyncio.run(measure())


def _alone(run: Run, size: tuple[int, int], small_map: NDArray[np.uint8]) -> dict[str, Any]:
    """Milliseconds of each stage but the engine."""
    contract = read_contract(STREET)
    photo = photographs(1, size)[0]
    image = decode(photo, contract.channels, 10**9)
    class_map = _mosaic(small_map, size)
    confidence = image[..., 0]  # as uneven as a photograph: an upper bound
    segmentation = Segmentation(Model(contract, 1), class_map, confidence=confidence, image=image)
    seconds = run.seconds(LEAST_SECONDS)
    encode = {
        name: seconds_of(lambda: format.write(segmentation, format.options()), seconds)  # noqa: B023 - called at once
        for name, format in OUTPUTS.items()
    }
    return {
        "decode": seconds_of(lambda: decode(photo, contract.channels, 10**9), seconds),
        "fit": seconds_of(lambda: fit(image, contract.stride), seconds),
        "encode": encode,
    }


def _mosaic(class_map: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A class map of `size`, width and height, with as many borders a pixel as `class_map`, which
    lies in it many times."""
    width, height = size
    times = -(-height // class_map.shape[0]), -(-width // class_map.shape[1])
    return np.ascontiguousarray(np.tile(class_map, times)[:height, :width])


def _shares(
    run: Run, sizes: tuple[tuple[int, int], ...]
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Median seconds of each stage in whole requests, and the class map of one of the usual
    size."""
    shares: dict[str, Any] = {}
    with running(segserve("ours", "--request-timeout-seconds", "600"), photographs(1)[0]) as server:
        reply = server.fetch(photographs(1)[0])
        class_map = np.asarray(Image.open(io.BytesIO(reply.body)))
        for width, height in sizes:
            photo = photographs(1, (width, height))[0]
            many_tiles = width * height > TILE_SIDE**2
            count = run.rounds(REQUESTS_OF_MANY_TILES if many_tiles else REQUESTS)
            timings = [
                server_timing(server.fetch(photo, 600.0).headers["server-timing"])
                for _ in range(count)
            ]
            shares[f"{width}×{height}"] = {
                stage: statistics.median(one[stage] for one in timings) for stage in timings[0]
            }
        shares = {"engine": server.engine(), "seconds": shares}
    return shares, class_map


def server_timing(header: str) -> dict[str, float]:
    """Seconds by stage of a Server-Timing header."""
    return {
        stage: float(milliseconds) / 1000
        for stage, milliseconds in re.findall(r"(\w+);dur=([\d.]+)", header)
    }


if __name__ == "__main__":
    main()
