"""How long networks take for one image as int8 graphs. Not a benchmark itself."""

import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
from tqdm import tqdm

from models.contract.amx import avoid_amx
from models.contract.openvino_core import openvino_core

ROUNDS = 15


def int8_milliseconds(models: dict[str, keras.Model]) -> dict[str, list[float]]:
    """The time of one 480×384 image through each in int8, one thread, all in turn in every
    round."""
    avoid_amx()
    import nncf
    import openvino

    draw = np.random.default_rng(0)
    images = [draw.uniform(0, 255, (1, 384, 480, 3)).astype(np.float32) for _ in range(4)]
    compiled: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        with tempfile.TemporaryDirectory() as folder:
            model.export(folder, verbose=False)
            converted = openvino.convert_model(folder, input=[1, 384, 480, 3])
        int8 = nncf.quantize(converted, nncf.Dataset(images), subset_size=len(images))
        one = openvino_core().compile_model(int8, "CPU", {"INFERENCE_NUM_THREADS": 1})
        request = one.create_infer_request()
        compiled[name] = lambda request=request: request.infer([images[0]])  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in tqdm(range(ROUNDS), desc="time", disable=None):
        for name, infer in compiled.items():
            infer()
            began = time.perf_counter()
            for _ in range(5):
                infer()
            times[name].append(1000 * (time.perf_counter() - began) / 5)
    return times
