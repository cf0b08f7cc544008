"""Question: is EfficientNet-Lite0 a better encoder than MobileNetV2, at equal milliseconds in int8?

    .venv/bin/python -m benchmarks.encoders --data CAMVID --mobilenet FILE --lite0 FILE

Both under the decoder of `unet_mobile`, from ImageNet weights, trained alike on CamVid for a small
budget and scored on val, in about 5 minutes; then quantised to int8 and timed in turn on one
480×384 image by OpenVINO, one thread, in 1 minute. What is kept is not trained again.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from benchmarks.networks import Budget, Street, read_results, train_and_score, write
from models.architectures.networks import build_network
from models.architectures.table import Encoder
from models.contract.amx import avoid_amx
from models.contract.openvino_core import openvino_core
from models.data.reading import read_dataset

RESULTS = Path(__file__).parent / "results" / "encoders.json"
BUDGET = Budget(steps=100, batch_size=6, crop=(192, 192), learning_rate=1e-3)
ROUNDS = 15


def build(encoder: Encoder, weights: str | None) -> keras.Model:
    """The network that both encoders are put into."""
    return build_network(
        "unet_mobile", classes=11, channels=3, encoder=encoder, weights=weights
    ).model


def int8_milliseconds(models: dict[str, keras.Model]) -> dict[str, list[float]]:
    """The time of one 480×384 image (H, W) through each in int8, in turn in every round."""
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


def main() -> None:
    """Train what the results do not have yet, then time both in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--mobilenet", required=True, help="weights of MobileNetV2")
    parser.add_argument("--lite0", required=True, help="weights of EfficientNet-Lite0")
    parser.add_argument("--time-only", action="store_true", help="train nothing")
    parsed = parser.parse_args()
    weights = {"mobilenet_v2": parsed.mobilenet, "efficientnet_lite0": parsed.lite0}
    kept = read_results(RESULTS, BUDGET)
    if not parsed.time_only:
        street = Street(read_dataset(parsed.data))
        for name, file in weights.items():
            if "val_mean_iou" not in kept["networks"].get(name, {}):
                scores = train_and_score(
                    lambda name=name, file=file: build(name, file),  # type: ignore[misc]
                    street,
                    BUDGET,
                    name,
                )
                kept["networks"].setdefault(name, {}).update(scores)
                write(RESULTS, kept)
                tqdm.write(f"{name}: {scores}")
    times = int8_milliseconds({name: build(name, None) for name in weights})
    for name, values in times.items():
        kept["networks"].setdefault(name, {})["int8_milliseconds"] = statistics.median(values)
    ours, theirs = times["efficientnet_lite0"], times["mobilenet_v2"]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    kept["lite0_over_mobilenet_milliseconds"] = statistics.median(ratios)
    write(RESULTS, kept)
    print(kept)


if __name__ == "__main__":
    main()
