"""Question: is a replaced model's memory given back, and does a request ever notice the change?

    .venv/bin/python -m benchmarks.hot_swap               (2 minutes)

A server over a store to which ever newer versions of the bundled model are copied while 2 callers
send photographs without a pause. Resident memory is read after each swap; answers other than 200
are counted.
"""

import json
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from benchmarks.load import closed_loop, fetch, get_request
from benchmarks.measuring import begin
from benchmarks.pictures import photographs
from benchmarks.servers import STREET, Running, running, segserve
from models.contract import atomic

SWAPS = 8
CALLERS = 2
SETTLE_SECONDS = 2.0


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    swaps = run.rounds(SWAPS)
    photos, ended = photographs(8, (320, 240)), threading.Event()
    resident: list[float] = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as beside:
        model = Path(folder) / "street"
        shutil.copytree(STREET, model / "1")
        with running(segserve("ours", store=Path(folder)), photos[0]) as server:
            requests = [server.candidate.request(photo) for photo in photos]
            load = beside.submit(closed_loop, server.port, requests, CALLERS, stop=ended)
            for version in tqdm(range(2, swaps + 2), unit="swap", disable=None):
                _swap(model, version, server)
                resident.append(server.resident_bytes() / 1e6)
            ended.set()
            statuses = load.result().statuses
    half = swaps // 2
    run.write(
        "hot_swap",
        {
            "swaps": swaps,
            "statuses": statuses,
            "resident_megabytes_after_each": resident,
            "growth_a_swap_in_second_half_megabytes": (resident[-1] - resident[half - 1])
            / (swaps - half),
        },
    )


def _swap(model: Path, version: int, server: Running) -> None:
    with atomic.new_folder(model / str(version)) as folder:
        shutil.copytree(STREET, folder, dirs_exist_ok=True)
    while _ready_versions(server) != [version]:
        time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)


def _ready_versions(server: Running) -> list[int]:
    models = json.loads(fetch(server.port, get_request("/models")).body)["models"]
    return [model["version"] for model in models if model["state"] == "ready"]


if __name__ == "__main__":
    main()
