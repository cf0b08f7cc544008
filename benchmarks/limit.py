"""Question: how near is the engine to what the CPU can compute at all?

    .venv/bin/python -m benchmarks.limit                  (1 minute)

The model's multiply-adds are counted from its graph: every convolution and matrix product with the
shapes it has on a 480×360 image. The CPU's peak is what the fastest of a matrix product and a dense
convolution of many channels reaches here, on the same cores, with the libraries at hand, in fp32
and, where OpenVINO is there to compute it, in int8. The share is the engine's operations a second
over that peak. What the count leaves out (normalisation, activations, resizing, argmax) counts as
time lost.
"""

import asyncio
import math
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from benchmarks.bare import loaded, seconds_an_image
from benchmarks.measuring import Run, begin, seconds_of
from benchmarks.pictures import USUAL, photographs
from benchmarks.servers import STREET, engines
from models.contract.cores import available_cores
from models.contract.openvino_core import openvino_core
from service.inference.tiling.fit import fit
from service.inputs import decode

# A product of two square matrices, and a 3×3 convolution over a square image.
SIDE = 2048
PRODUCT_OPERATIONS = 2 * SIDE**3
IMAGE_SIDE, CHANNELS = 256, 128
CONVOLUTION_OPERATIONS = 2 * IMAGE_SIDE**2 * CHANNELS**2 * 9
LEAST_SECONDS = 2.0

Shape = tuple[int, ...]


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
        peak = best.get(precision) or best["fp32"]
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
        async with loaded(flags) as model:
            contract, engine = model.model.contract, model.engine
            image = fit(decode(photographs(1)[0], contract.channels, 10**9), contract.stride)[None]
            seconds = seconds_an_image(engine, image, run.seconds(LEAST_SECONDS))
            return f"{engine.name} {engine.precision}", engine.precision, seconds

    return asyncio.run(measure())


def _peak(run: Run, operations: int, compute: Callable[[], object]) -> float:
    """Operations a second of the fastest of many calls: a peak is what is possible, not what is
    usual."""
    return operations / seconds_of(compute, run.seconds(LEAST_SECONDS), pick=min)


def _tensorflow_product(run: Run) -> float:
    import tensorflow as tf

    matrix = tf.random.uniform((SIDE, SIDE))
    multiply = tf.function(tf.matmul)
    return _peak(run, PRODUCT_OPERATIONS, lambda: multiply(matrix, matrix).numpy())


def _tensorflow_convolution(run: Run) -> float:
    import tensorflow as tf

    images = tf.random.uniform((1, IMAGE_SIDE, IMAGE_SIDE, CHANNELS))
    kernel = tf.random.uniform((3, 3, CHANNELS, CHANNELS))
    convolve = tf.function(lambda: tf.nn.conv2d(images, kernel, 1, "SAME"))
    return _peak(run, CONVOLUTION_OPERATIONS, lambda: convolve().numpy())


def _openvino_peak(shape: Shape, kernel: Shape, run: Run, *, int8: bool) -> float:
    """A product, or a convolution for shapes of four sides, with a constant.

    For int8 both sides are quantised to 256 levels, which OpenVINO then computes in integers.
    """
    import openvino
    from openvino import opset13 as ops

    weights = np.random.default_rng(0).uniform(-1, 1, kernel).astype(np.float32)
    images = ops.parameter(shape, np.float32)
    left, right = images, ops.constant(weights)
    if int8:
        left = ops.fake_quantize(left, *_levels(0.0, 1.0), levels=256)
        right = ops.fake_quantize(right, *_levels(-1.0, 1.0), levels=255)
    if len(shape) == 2:
        operations, result = PRODUCT_OPERATIONS, ops.matmul(left, right, False, True)
    else:
        operations = CONVOLUTION_OPERATIONS
        result = ops.convolution(left, right, [1, 1], [1, 1], [1, 1], [1, 1])
    # The largest value alone is the answer: copying it all out is no arithmetic.
    answer = ops.reduce_max(result, np.arange(len(shape)), False)
    hints = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": available_cores(),
    }
    compiled = openvino_core().compile_model(openvino.Model([answer], [images]), "CPU", hints)
    request = compiled.create_infer_request()
    data = np.random.default_rng(1).random(shape, np.float32)
    return _peak(run, operations, lambda: request.infer([data]))


def _levels(least: float, largest: float) -> tuple[np.ndarray[Any, Any], ...]:
    low, high = np.float32(least), np.float32(largest)
    return np.array(low), np.array(high), np.array(low), np.array(high)


_PRODUCT: tuple[Shape, Shape] = (SIDE, SIDE), (SIDE, SIDE)
_CONVOLUTION: tuple[Shape, Shape] = (
    (1, CHANNELS, IMAGE_SIDE, IMAGE_SIDE),
    (CHANNELS, CHANNELS, 3, 3),
)

# name, ending with its precision → operations a second
PEAKS: dict[str, Callable[[Run], float]] = {
    "TensorFlow, product, fp32": _tensorflow_product,
    "TensorFlow, convolution, fp32": _tensorflow_convolution,
}
if find_spec("openvino"):
    PEAKS |= {
        f"OpenVINO, {kind}, {precision}": partial(_openvino_peak, *shapes, int8=precision == "int8")
        for kind, shapes in (("product", _PRODUCT), ("convolution", _CONVOLUTION))
        for precision in ("fp32", "int8")
    }


if __name__ == "__main__":
    main()
