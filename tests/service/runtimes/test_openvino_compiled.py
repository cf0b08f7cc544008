"""A model of its own for a shape that comes often: the same numbers, and never many of them."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from models.contract.openvino_core import openvino_core
from service.runtimes import openvino_compiled
from service.runtimes.openvino_compiled import Compiled, HotShapes

SMALL, WIDE, TALL = (1, 8, 8, 3), (1, 8, 16, 3), (1, 16, 8, 3)


def compiled(*, depends_on_size: bool = False) -> Compiled:
    """A model that halves each value; or takes 1 more away where it knows its size when it is
    compiled, by what OpenVINO rounds otherwise then.
    """
    image = ops.parameter([-1, -1, -1, 3], np.uint8, name="images")
    halves = ops.multiply(ops.convert(image, "f32"), np.float32(0.5))
    model = openvino.Model([halves], [image], "halves")
    made = Compiled(openvino_core(), model, {}, streams=2)
    if depends_on_size:
        other = openvino.Model([ops.add(halves, np.float32(1))], [image], "another")
        made._model = other  # noqa: SLF001 - no graph rounds otherwise everywhere
    made.may_specialize = True
    return made


def run(model: Compiled, shape: tuple[int, ...], times: int = 1) -> NDArray[np.float32]:
    images = np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(np.uint8)
    result = np.empty(shape, np.float32)
    for _ in range(times):
        model.run(result, images)
    assert (result == images / 2).all()
    wait()
    return result


def wait() -> None:
    """For what is compiled in the background, one after the other."""
    openvino_compiled.background.submit(int).result(timeout=120)


def test_a_shape_that_comes_often_gets_a_model_of_its_own() -> None:
    model = compiled()
    run(model, SMALL, 63)
    run(model, WIDE, 5)
    assert model.shapes == []
    run(model, SMALL)
    assert model.shapes == [SMALL]
    run(model, SMALL, 3)
    run(model, WIDE, 3)


def test_a_third_shape_takes_the_place_of_one_that_comes_no_more() -> None:
    model = compiled()
    run(model, SMALL, 64)
    run(model, WIDE, 64)
    assert model.shapes == [SMALL, WIDE]
    for _ in range(5):
        run(model, WIDE, 100)
        run(model, TALL, 100)
    assert model.shapes == [SMALL, WIDE]
    for _ in range(5):
        run(model, WIDE, 100)
        run(model, TALL, 100)
    assert model.shapes == [WIDE, TALL]


def test_one_that_says_something_else_is_not_taken() -> None:
    model = compiled(depends_on_size=True)
    run(model, SMALL, 64)
    assert model.shapes == []
    run(model, WIDE, 300)
    assert model.shapes == []


def test_large_batches_are_left_to_the_model_of_any_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_compiled, "_MOST_PIXELS", 64)
    model = compiled()
    run(model, WIDE, 300)
    run(model, SMALL, 64)
    assert model.shapes == [SMALL]


def test_what_cannot_be_compiled_goes_on_with_the_model_of_any_shape(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = compiled()

    def fail(_model: openvino.Model) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(model, "_compile", fail)
    run(model, SMALL, 300)
    assert model.shapes == []
    assert caplog.text.count("was not compiled for (1, 8, 8, 3) alone") == 1


def test_a_closed_one_takes_none() -> None:
    model = compiled()
    run(model, SMALL, 63)
    model.close()
    run(model, SMALL, 100)
    assert model.shapes == []


def test_one_of_several_inputs_is_left_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    ones = [ops.parameter([-1, -1, -1, 3], np.uint8) for _ in "ab"]
    halves = ops.multiply(ops.convert(ops.add(*ones), "f32"), np.float32(0.5))
    model = Compiled(openvino_core(), openvino.Model([halves], ones, "sum"), {})
    model.may_specialize = True
    images, result = np.full(SMALL, 7, np.uint8), np.empty(SMALL, np.float32)
    for _ in range(80):
        model.run(result, images, images)
    wait()
    assert (result == 7).all()
    assert model.shapes == []
    assert not caplog.records


def test_older_runs_count_for_less() -> None:
    hot = HotShapes()
    for _ in range(256):
        hot.count(SMALL)
    assert hot.runs(SMALL) == 128
    for _ in range(512):
        hot.count(WIDE)
    assert (hot.runs(SMALL), hot.runs(WIDE)) == (32, 192)


def convolution(*, streams: int, threads: int) -> Compiled:
    """Enough work for its CPU time to be seen: (N, H, W, 64) to maps of that size."""
    image = ops.parameter([-1, -1, -1, 64], np.float32, name="images")
    weights = np.random.default_rng(1).normal(size=(64, 64, 3, 3)).astype(np.float32)
    planes = ops.transpose(image, np.array([0, 3, 1, 2]))
    found = ops.convolution(planes, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    model = openvino.Model([ops.transpose(found, np.array([0, 2, 3, 1]))], [image], "convolution")
    settings = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
    return Compiled(openvino_core(), model, settings, streams=streams)


def share_of_the_caller(model: Compiled) -> float:
    """Of the CPU time of a few runs, that of the thread that calls."""
    images = np.ones((1, 96, 96, 64), np.float32)
    result = np.empty_like(images)
    model.run(result, images)
    own, of_all = time.thread_time(), time.process_time()
    for _ in range(5):
        model.run(result, images)
    return (time.thread_time() - own) / (time.process_time() - of_all)


def test_a_stream_of_one_thread_computes_on_the_thread_that_calls() -> None:
    assert share_of_the_caller(convolution(streams=2, threads=2)) > 0.5
    assert share_of_the_caller(convolution(streams=1, threads=1)) > 0.5


def test_weights_that_are_too_large_are_not_copied_for_each_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino_compiled, "_MOST_COPIED_BYTES", 64 * 64 * 9 * 4 - 1)
    assert share_of_the_caller(convolution(streams=2, threads=2)) < 0.5
    assert share_of_the_caller(convolution(streams=1, threads=1)) > 0.5


def test_callers_beside_each_other_get_each_their_own_result() -> None:
    one, several = convolution(streams=1, threads=2), convolution(streams=3, threads=3)
    pictures = np.random.default_rng(2).normal(size=(12, 1, 16, 16, 64)).astype(np.float32)
    expected, found = np.empty_like(pictures), np.empty_like(pictures)
    for result, picture in zip(expected, pictures, strict=True):
        one.run(result, picture)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(several.run, found, pictures))
    np.testing.assert_array_equal(found, expected)
