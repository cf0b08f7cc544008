"""Question: how many images a second does an adopted network serve, beside ONNX Runtime in a plain
FastAPI server on the same cores?

    .venv/bin/python -m benchmarks.adopted unet.onnx                                 (3 minutes)

`unet.onnx` is segmentation_models_pytorch's Unet("resnet18") as tests/torch/networks.py writes it.
It is adopted, and int8 files are made with pictures of the same kind; the servers answer JPEGs of
480 × 352 to four callers in turn. How right int8 is, is not the question here: the weights are
random, so that every class is a matter of chance.

ONNX Runtime is measured with its own settings, and with an inference on each core, which suits
several callers better.
"""

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.load import closed_loop
from benchmarks.measuring import alternate, begin, ratio, summary
from benchmarks.pictures import photographs, source
from benchmarks.servers import ROOT, Candidate, Running, running, segserve
from models.cli import main as segtrain

WIDTH_AND_HEIGHT = 480, 352  # multiples of the network's 32
CLASSES = "abcde"
CALLERS = 4
IMAGES = 16
ROUNDS = 5
SECONDS = 6.0
RAMP_SECONDS = 1.0
OURS = ("fp32", "int8")
PLAIN, A_CORE_EACH = "onnxruntime", "onnxruntime, a core each"
NORMALIZED = ["--scaling", "0..1", "--mean", "0.485", "0.456", "0.406"]
NORMALIZED += ["--std", "0.229", "0.224", "0.225"]


def main() -> None:
    """Adopt, measure, print, and keep the result."""
    run = begin(__doc__, add_arguments=_add_arguments)
    pictures = photographs(IMAGES, WIDTH_AND_HEIGHT)
    with tempfile.TemporaryDirectory() as work, contextlib.ExitStack() as stack:
        store = adopt(run.given.model, pictures, Path(work))
        candidates = [
            *(segserve(name, "--precision", name, store=store) for name in OURS),
            _plain(PLAIN, run.given.model),
            _plain(A_CORE_EACH, run.given.model, THREADS="1", INFERENCES=str(run.given.cores)),
        ]
        servers = {c.name: stack.enter_context(running(c, pictures[0])) for c in candidates}
        for server in servers.values():
            server.pause()
        rounds = {
            name: partial(_rate, server, pictures, run.seconds(SECONDS))
            for name, server in servers.items()
        }
        measured = alternate(rounds, run.rounds(ROUNDS), "adopted")
    result = {
        "images": source(),
        "width_and_height": WIDTH_AND_HEIGHT,
        "callers": CALLERS,
        "images_per_second": {name: summary(rates) for name, rates in measured.items()},
        "over_onnxruntime": {name: ratio(measured[name], measured[PLAIN]) for name in OURS},
        "over_a_core_each": {name: ratio(measured[name], measured[A_CORE_EACH]) for name in OURS},
    }
    run.write("adopted", result)


def adopt(model: Path, pictures: list[bytes], work: Path) -> Path:
    """A store with `net/1`, which has fp32 and int8 files, calibrated on the pictures."""
    store, data = work / "store", work / "data"
    command = ["adopt", str(model), "--name", "net", "--classes", ",".join(CLASSES), "--yes"]
    if segtrain([*command, *NORMALIZED, "--multiple", "32", "--store", str(store)]):
        raise SystemExit(1)
    for split, some in (("train", pictures[:8]), ("val", pictures[8:10])):
        for part in ("images", "masks"):
            (data / part / split).mkdir(parents=True)
        for number, picture in enumerate(some):
            (data / "images" / split / f"{number}.jpg").write_bytes(picture)
            mask = np.full(WIDTH_AND_HEIGHT[::-1], number % len(CLASSES), np.uint8)
            Image.fromarray(mask).save(data / "masks" / split / f"{number}.png")
    classes = [{"id": n, "name": c, "color": f"#{n:06x}"} for n, c in enumerate(CLASSES)]
    (data / "classes.json").write_text(json.dumps({"name": "any", "classes": classes}))
    quantize = ["quantize", str(store / "net" / "1"), "--data", str(data), "--replace"]
    if segtrain([*quantize, "--max-drop", "100"]):
        raise SystemExit(1)
    shutil.rmtree(data)
    return store


def _plain(name: str, model: Path, **settings: str) -> Candidate:
    environment = {"PYTHONPATH": str(ROOT), "MODEL": str(model.resolve()), **settings}
    command = (sys.executable, "-m", "benchmarks.onnx_plain")
    return Candidate(name, command, part="image", environment=environment)


def _rate(server: Running, pictures: list[bytes], seconds: float) -> float:
    requests = [server.candidate.request(picture) for picture in pictures]
    server.resume()
    try:
        return closed_loop(server.port, requests, CALLERS, seconds, ramp_seconds=RAMP_SECONDS).rate
    finally:
        server.pause()


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="ONNX")


if __name__ == "__main__":
    main()
