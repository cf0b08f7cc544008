"""Question: how near is the engine to what the CPU can compute at all?

    .venv/bin/python -m benchmarks.limit                  (1 minute)

The model's multiply-adds are counted from its graph: every convolution and matrix product with the shapes it has on a 480×360 image.
The CPU's peak is what matrix products of 2048² reach here, the fastest of the libraries at hand, on the same cores, in fp32 and, where
OpenVINO is there to run them, in int8. The share is the engine's operations a second over that peak. What the count leaves out
(normalisation, activations, resizing, argmax) counts as time lost.
"""

import asyncio
import math
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.bare import loaded
from benchmarks.measuring import Run, begin, seconds_of
from benchmarks.pictures import USUAL, photographs
from benchmarks.servers import STREET, engines
from service.pipeline.decode import decode
from service.pipeline.fit import fit

SIDE = 2048
LEAST_SECONDS = 2.0


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    counted = _alone(count_multiply_adds, STREET, *reversed(USUAL))
    operations = 2 * sum(counted.values())
    peaks = {name: _alone(measure, run) for name, measure in PEAKS.items()}
    best = {
        precision: max((peaks[name] for name in peaks if name.endswith(precision)), default=None)
        for precision in ("fp32", "int8")
    }
    measured = {}
    for flags in engines().values():
        name, precision, seconds = _alone(_engine, run, flags)
        peak = best[precision] or best["fp32"]
        speed = operations / seconds
        measured[name] = {
            "seconds": seconds,
            "operations_a_second": speed,
            "share_of_peak": speed / peak,
        }
    run.write(
        "limit",
        {
            "image": "×".join(map(str, USUAL)),
            "multiply_adds": counted,
            "operations": operations,
            "peak_operations_a_second": peaks,
            "engines": measured,
        },
    )


def _alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """`work` in a process of its own, so that no library finds another's threads there."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def count_multiply_adds(artefact: Path, height: int, width: int) -> dict[str, int]:
    """Multiply-adds of one image (height, width) by kind of operation.

    Shapes come from running the frozen graph, since padding makes them depend on the image.
    """
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    model = tf.saved_model.load(str(artefact))
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        model.signatures["serving_default"]
    )
    counted = [op for op in frozen.graph.get_operations() if op.type in MULTIPLY_ADDS]
    tensors = [tensor for op in counted for tensor in (op.inputs[0], op.inputs[1], op.outputs[0])]
    shapes = frozen.prune(frozen.inputs, [_shape(frozen.graph, tensor) for tensor in tensors])(
        tf.zeros((1, height, width, 3), tf.uint8)
    )
    found = [tuple(int(side) for side in shape) for shape in shapes]
    totals: Counter[str] = Counter()
    for op, first, second, result in zip(
        counted, found[::3], found[1::3], found[2::3], strict=True
    ):
        totals[op.type] += MULTIPLY_ADDS[op.type](first, second, result)
    return dict(totals)


def _shape(graph: Any, tensor: Any) -> Any:
    import tensorflow as tf

    with graph.as_default():
        return tf.shape(tensor)


Shape = tuple[int, ...]


def _convolution(_images: Shape, kernel: Shape, result: Shape) -> int:
    return math.prod(result) * math.prod(kernel[:3])


def _depthwise(_images: Shape, kernel: Shape, result: Shape) -> int:
    return math.prod(result) * math.prod(kernel[:2])


def _product(left: Shape, _right: Shape, result: Shape) -> int:
    return math.prod(result) * left[-1]


# (first input, second input, output) → multiply-adds; kernels are (height, width, in, out)
MULTIPLY_ADDS: dict[str, Callable[[Shape, Shape, Shape], int]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2dNative": _depthwise,
    "MatMul": _product,
    "BatchMatMulV2": _product,
}


def _engine(run: Run, flags: tuple[str, ...]) -> tuple[str, str, float]:
    async def measure() -> tuple[str, str, float]:
        async with loaded(flags) as segmenter:
            contract, engine = segmenter.model.contract, segmenter.engine
            image = fit(decode(photographs(1)[0], contract.channels, 10**9), contract.stride)[None]
            seconds = seconds_of(lambda: engine.class_map(image), run.seconds(LEAST_SECONDS))
            return f"{engine.name} {engine.precision}", engine.precision, seconds

    return asyncio.run(measure())


def _peak(run: Run, multiply: Callable[[], object]) -> float:
    """Operations a second of the fastest of many products: a peak is what is possible, not what is usual."""
    return 2 * SIDE**3 / seconds_of(multiply, run.seconds(LEAST_SECONDS), pick=min)


def _tensorflow_peak(run: Run) -> float:
    import tensorflow as tf

    matrix = tf.random.uniform((SIDE, SIDE))
    multiply = tf.function(tf.matmul)
    return _peak(run, lambda: multiply(matrix, matrix).numpy())


def _openvino_peak(run: Run, *, int8: bool) -> float:
    """A product with a constant; for int8 both sides are quantised to 256 levels, which OpenVINO runs in integers."""
    import openvino
    from openvino import opset13 as ops

    weights = np.random.default_rng(0).uniform(-1, 1, (SIDE, SIDE)).astype(np.float32)
    images = ops.parameter((SIDE, SIDE), np.float32)
    left, right = images, ops.constant(weights)
    if int8:
        left = ops.fake_quantize(left, *_levels(0.0, 1.0), levels=256)
        right = ops.fake_quantize(right, *_levels(-1.0, 1.0), levels=255)
    # A sum makes the answer small: copying it out is no arithmetic.
    product = ops.reduce_max(ops.matmul(left, right, False, True), np.array([0, 1]), False)
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
    }
    compiled = openvino.Core().compile_model(openvino.Model([product], [images]), "CPU", hints)
    request, data = (
        compiled.create_infer_request(),
        np.random.default_rng(1).random((SIDE, SIDE), np.float32),
    )
    return _peak(run, lambda: request.infer([data]))


def _levels(least: float, largest: float) -> tuple[np.ndarray[Any, Any], ...]:
    low, high = np.float32(least), np.float32(largest)
    return np.array(low), np.array(high), np.array(low), np.array(high)


def _openvino_fp32(run: Run) -> float:
    return _openvino_peak(run, int8=False)


def _openvino_int8(run: Run) -> float:
    return _openvino_peak(run, int8=True)


# name, ending with its precision → operations a second
PEAKS: dict[str, Callable[[Run], float]] = {
    "tensorflow fp32": _tensorflow_peak,
}
if find_spec("openvino"):
    PEAKS.update({"openvino fp32": _openvino_fp32, "openvino int8": _openvino_int8})


if __name__ == "__main__":
    main()
