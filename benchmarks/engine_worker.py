"""One commit's engine, asked over its standard input. Not a benchmark itself: `engine.py` starts it
with that commit's files on the path, so it names nothing that has moved without saying both places.

A line is how many threads call at once and how many pictures each runs; the answer is milliseconds
of CPU a picture, of all threads. "memory SIDE" gives the bytes a pixel that a square of that side
leaves the engine with.
"""

import os
import sys
import threading
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from models.contract import read_contract

THREADS = 2
STRIDE = 32
WARM_RUNS = 100  # a caller, after which a shape has what the engine has for those that come often
WARM_SECONDS = 3.0


def _engine(artefact: Path) -> Any:
    try:
        engine, loading = "service.runtimes.engine", "service.runtimes.loading"
        options = import_module(engine).EngineOptions(threads=THREADS)
    except ImportError:  # before the service was built anew
        engine, loading = "service.engines.engine", "service.engines.loading"
        options = import_module(engine).EngineOptions(threads=THREADS)
    return import_module(loading).load_engine(artefact, read_contract(artefact), options)


def main() -> None:
    artefact, *files = map(Path, sys.argv[1:])
    engine = _engine(artefact)
    pictures = [_padded(np.asarray(Image.open(file).convert("RGB"))) for file in files]
    for picture in pictures:
        engine.class_map(picture)
    for callers in (1, THREADS):
        _milliseconds(engine, pictures, callers, WARM_RUNS)
        time.sleep(WARM_SECONDS)
    print("ready", flush=True)
    for line in sys.stdin:
        first, second = line.split()
        if first == "memory":
            print(_bytes_a_pixel(engine, int(second)), flush=True)
        else:
            print(_milliseconds(engine, pictures, int(first), int(second)), flush=True)


def _milliseconds(
    engine: Any, pictures: list[NDArray[np.uint8]], callers: int, count: int
) -> float:
    def work() -> None:
        for index in range(count):
            engine.class_map(pictures[index % len(pictures)])

    threads = [threading.Thread(target=work) for _ in range(callers)]
    began = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - began) / callers / count * 1e3


def _bytes_a_pixel(engine: Any, side: int) -> float:
    image = np.full((1, side, side, 3), 127, np.uint8)
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    class_map = engine.class_map(image)
    return float(process.memory_info().rss - before - class_map.nbytes) / side**2


def _padded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As the batcher does: (1, H, W, 3), H and W multiples of the stride."""
    height, width = image.shape[:2]
    margins = ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0))
    return np.ascontiguousarray(np.pad(image, margins, mode="reflect")[np.newaxis])


if __name__ == "__main__":
    main()
