"""Question: is a replaced model's memory given back, and does a request ever notice the change?

    .venv/bin/python -m benchmarks.hot_swap [SWAPS]

A server over a store to which ever newer versions of the bundled model are copied while 2 callers send photographs without a pause.
Resident memory is read after each swap; answers other than 200 are counted.
"""

import http.client
import io
import json
import shutil
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.serving import measured_server, post, write_result

SWAPS = 8
STREET = Path(__file__).parents[1] / "models" / "zoo" / "street" / "1"


def _photograph() -> bytes:
    coarse = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((320, 240)).save(buffer, "jpeg")
    return buffer.getvalue()


def _ready_versions(url: str) -> list[int]:
    with urllib.request.urlopen(f"{url}/models") as answer:
        models = json.load(answer)["models"]
    return [model["version"] for model in models if model["state"] == "ready"]


def main() -> None:
    """Measure, print, and keep the result."""
    swaps = int(sys.argv[1]) if len(sys.argv) > 1 else SWAPS
    body, ended = _photograph(), threading.Event()
    answered = failed = 0
    resident: list[float] = []

    def call(url: str) -> None:
        nonlocal answered, failed
        while not ended.is_set():
            try:
                post(f"{url}/segment", body)
                answered += 1
            except (OSError, http.client.HTTPException):
                failed += 1

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "street"
        shutil.copytree(STREET, model / "1")
        with measured_server("--model-store", folder) as server:
            callers = [threading.Thread(target=call, args=(server.url,)) for _ in range(2)]
            for caller in callers:
                caller.start()
            for version in range(2, swaps + 2):
                beside = Path(folder) / f".{version}.partial"
                shutil.copytree(STREET, beside)
                beside.rename(model / str(version))
                while _ready_versions(server.url) != [version]:
                    time.sleep(0.1)
                time.sleep(2)
                resident.append(server.resident_bytes() / 1e6)
            ended.set()
            for caller in callers:
                caller.join()
    write_result(
        "hot_swap",
        {
            "swaps": swaps,
            "answered": answered,
            "failed": failed,
            "resident_megabytes_after_each": [round(value, 1) for value in resident],
            "growth_a_swap_in_second_half_megabytes": (resident[-1] - resident[swaps // 2])
            / (swaps - 1 - swaps // 2),
        },
    )


if __name__ == "__main__":
    main()
