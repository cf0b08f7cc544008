"""Question: does XLA make the TensorFlow engine faster?

    .venv/bin/python -m benchmarks.xla                    (1 minute)

One 480×360 image through the bundled model's frozen graph, as the engine runs it and compiled by
XLA, in turn; and how long XLA takes to compile it for one shape.
"""

import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import USUAL, photographs
from benchmarks.servers import STREET
from models.contract import read_contract
from models.contract.cores import available_cores
from service.inference.tiling.fit import fit
from service.inputs import decode
from service.runtimes.engine import EngineOptions
from service.runtimes.loading import load_engine

ROUNDS = 5
RUNS = 5


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    contract = read_contract(STREET)
    threads = available_cores()
    engine = load_engine(STREET, contract, EngineOptions("tensorflow", threads=threads, streams=1))
    images = fit(decode(photographs(1)[0], contract.channels, 10**9), contract.stride)[None]
    graph = engine._class_map  # type: ignore[attr-defined]  # noqa: SLF001
    compiled = tf.function(lambda pixels: graph(pixels)[0], jit_compile=True)

    def by_xla() -> Any:
        return compiled(tf.constant(images)).numpy()

    began = time.perf_counter()
    class_map = by_xla()
    compiling = time.perf_counter() - began
    variants: dict[str, Callable[[], object]] = {
        "plain": lambda: engine.class_map(images),
        "xla": by_xla,
    }
    seconds = alternate(
        {name: lambda variant=variant: _seconds(variant) for name, variant in variants.items()},  # type: ignore[misc]
        run.rounds(ROUNDS),
        "images",
    )
    run.write(
        "xla",
        {
            "image": "×".join(map(str, USUAL)),
            "compile_seconds": compiling,
            "equal_pixels": float(np.mean(class_map == engine.class_map(images))),
            "seconds": {name: summary(values) for name, values in seconds.items()},
            "xla_over_plain": ratio(seconds["xla"], seconds["plain"]),
        },
    )


def _seconds(variant: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(RUNS):
        variant()
    return (time.perf_counter() - began) / RUNS


if __name__ == "__main__":
    main()
