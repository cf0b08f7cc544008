"""What Ray adds to a request, what each process of a cluster costs, and how the rate grows with
engine replicas.

.venv/bin/python -m benchmarks.ray_scaling RAY_SERVE_ENABLE_HA_PROXY=1 .venv/bin/python -m
benchmarks.ray_scaling --request   # only print what one request costs

One machine, several Ray nodes. The engine of the scaling part sleeps for a fixed time a batch, so
that the cores of this machine are not the limit; everything else is the service as it is. Costs are
CPU time, which other work on the machine does not add to.
"""

import contextlib
import io
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import ray
from numpy.typing import NDArray
from PIL import Image
from ray import serve
from ray.cluster_utils import Cluster

from models.contract import Contract, atomic
from models.contract.cores import available_cores
from service.cluster.connection import connected
from service.cluster.engines import EngineReplica
from service.cluster.options import ServeLayout
from service.cluster.proxy import CALLBACK, CALLBACK_VARIABLE
from service.cluster.serving import ENGINES_APP, deploy, engines_application, take_away
from service.runtimes.engine import Engine, logits_of
from service.settings import BUNDLED_MODELS, Settings

RESULTS = Path(__file__).parent / "results"
PHOTO = Path(__file__).parents[1] / "service" / "web" / "examples" / "avenue.jpg"
ENGINE_SECONDS = 2.0
REPLICAS = (1, 2, 4, 8, 16)
CALLERS_A_REPLICA = 4
WINDOW_SECONDS = 24.0
ROUNDS, REQUESTS_A_ROUND = 5, 10
COST_REQUESTS = 60

# Processes by what Ray calls them. With HAProxy before the replicas, Ray's proxy looks after it.
PROCESSES = {
    "proxy": "ray::ProxyActor",
    "haproxy": "haproxy",
    "haproxy_manager": "ray::HAProxyManager",
    "http": "ray::ServeReplica:segserve:http",
    "engine": "ray::ServeReplica:segserve-engines:engines",
}


class SleepingEngine:
    """Takes a fixed time a batch and no CPU. Its maps are of class 0."""

    name = "sleeping"
    reason = "it is a benchmark"
    device = "CPU"
    device_reason = "it is a benchmark"
    precision = "fp32"
    best_batch = 1
    best_batch_pixels = 2**40
    light_class_maps = probabilities_on_demand = False
    logits_factor, stages = 0, None
    streams = 1

    def __init__(self, classes: int) -> None:
        self._classes = classes

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        time.sleep(ENGINE_SECONDS)
        return np.zeros(images.shape[:3], np.uint8)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.full((*images.shape[:3], self._classes), 1 / self._classes, np.float32)

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        return logits_of(self.probabilities(images)), 1

    def close(self) -> None:
        pass


class SleepingReplica(EngineReplica):
    """An engine replica but for its engine."""

    def load_engine(self, artefact: Path, contract: Contract) -> Engine:  # noqa: ARG002
        return SleepingEngine(len(contract.classes))


@contextmanager
def cluster() -> Iterator[None]:
    os.environ |= {CALLBACK_VARIABLE: CALLBACK, "RAY_USAGE_STATS_ENABLED": "0"}
    memory = 100 * 2**20
    nodes = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "object_store_memory": memory,
            "include_dashboard": False,
            "_system_config": {"enable_worker_prestart": False},
        },
    )
    for _ in range(2):
        nodes.add_node(num_cpus=12, object_store_memory=memory)
    try:
        with connected(nodes.address, {CALLBACK_VARIABLE: CALLBACK}):
            yield
            take_away(0.0)
    finally:
        nodes.shutdown()


def settings() -> Settings:
    return Settings(
        model_store=BUNDLED_MODELS,
        models=("street",),
        port=0,
        max_queue_images=256,
        request_timeout_seconds=600.0,
        watch_models=False,
    )


def layout(engines: int) -> ServeLayout:
    return ServeLayout(
        min_engine_replicas=engines,
        max_engine_replicas=engines,
        images_per_engine=64,
        http_on_every_node=False,
        http_cpus=1,
    )


def scaling(url: str) -> list[dict[str, float]]:
    """Images a second by the number of engine replicas, each closed loop with the same callers a
    replica."""
    rows = []
    for engines in REPLICAS:
        serve.run(
            engines_application(settings(), layout(engines), SleepingReplica),
            name=ENGINES_APP,
            route_prefix=None,
        )
        wait_for(engines)
        rate = images_a_second(url, CALLERS_A_REPLICA * engines)
        ideal = engines / ENGINE_SECONDS
        rows.append({"engines": engines, "images_a_second": rate, "efficiency": rate / ideal})
        print(rows[-1], flush=True)
    return rows


def wait_for_answers(url: str) -> None:
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        time.sleep(1.0)


def wait_for(engines: int) -> None:
    """Until as many replicas as that have the model."""
    replicas = serve.get_deployment_handle("engines", ENGINES_APP)
    while (
        len(replicas.broadcast("families").results(timeout_s=60, return_exceptions=True)) < engines
    ):
        time.sleep(1.0)


def images_a_second(url: str, callers: int) -> float:
    """The rate over a window that begins when every replica has had work for a while."""
    done: list[float] = []
    end = threading.Event()
    body = PHOTO.read_bytes()

    def call() -> None:
        with httpx.Client(base_url=url, timeout=600) as client:
            while not end.is_set():
                client.post("/segment", content=body).raise_for_status()
                done.append(time.monotonic())

    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    time.sleep(15.0 + callers / 4)
    begin = time.monotonic()
    time.sleep(WINDOW_SECONDS)
    finish = time.monotonic()
    end.set()
    for thread in threads:
        thread.join()
    return sum(begin < at <= finish for at in done) / (finish - begin)


def added(url: str, plain: str) -> dict[str, dict[str, float]]:
    """Milliseconds of one request alone: plain server and cluster in turn, medians of rounds."""
    bodies = {"64 × 64 PNG": small(), "512 × 384 JPEG": PHOTO.read_bytes()}
    result = {}
    for name, body in bodies.items():
        times: dict[str, list[float]] = {plain: [], url: []}
        besides: dict[str, list[float]] = {plain: [], url: []}
        for server in itertools.chain.from_iterable([(plain, url)] * ROUNDS):
            with httpx.Client(base_url=server, timeout=600) as client:
                client.post("/segment", content=body).raise_for_status()
                for _ in range(REQUESTS_A_ROUND):
                    began = time.monotonic()
                    answer = client.post("/segment", content=body).raise_for_status()
                    whole = (time.monotonic() - began) * 1000
                    times[server].append(whole)
                    besides[server].append(whole - infer_milliseconds(answer))
        result[name] = {
            "plain": statistics.median(times[plain]),
            "ray": statistics.median(times[url]),
            "plain_besides_the_engine": statistics.median(besides[plain]),
            "ray_besides_the_engine": statistics.median(besides[url]),
        }
        print(name, result[name], flush=True)
    return result


def infer_milliseconds(answer: httpx.Response) -> float:
    (stage,) = [s for s in answer.headers["server-timing"].split(", ") if s.startswith("infer")]
    return float(stage.partition("dur=")[2])


def small() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def costs(url: str, plain: str, plain_process: psutil.Process) -> dict[str, float]:
    """CPU milliseconds of a 512 × 384 JPEG → PNG in each kind of process."""
    found: dict[str, list[psutil.Process]] = {kind: [] for kind in PROCESSES}
    for kind, process in processes_of_ray():
        found[kind].append(process)
    result = {}
    for server, kinds in ((plain, {"plain": [plain_process]}), (url, found)):
        before = {kind: cpu_seconds(processes) for kind, processes in kinds.items()}
        with httpx.Client(base_url=server, timeout=600) as client:
            for _ in range(COST_REQUESTS):
                client.post("/segment", content=PHOTO.read_bytes()).raise_for_status()
        for kind, processes in kinds.items():
            spent = cpu_seconds(processes) - before[kind]
            result[kind] = spent / COST_REQUESTS * 1000
    print(result, flush=True)
    return result


def processes_of_ray() -> Iterator[tuple[str, psutil.Process]]:
    for process in psutil.process_iter(["cmdline"]):
        program = Path((process.info["cmdline"] or [""])[0]).name
        for kind, name in PROCESSES.items():
            if program.split(" ")[0].startswith(name):
                yield kind, process


def cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def memory() -> dict[str, float]:
    """Resident megabytes of one process of each kind."""
    return {kind: process.memory_info().rss / 1e6 for kind, process in processes_of_ray()}


@contextmanager
def plain_server() -> Iterator[tuple[str, psutil.Process]]:
    """The same service in one process, without Ray."""
    command = [sys.executable, "-m", "service.cli", "serve", "--port", "0", "--models", "street"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        yield line.split(" ready at ")[1].split()[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure, and keep the result in benchmarks/results/."""
    with plain_server() as (plain, process), cluster():
        url = deploy(settings(), layout(1))
        wait_for_answers(url)
        if "--request" in sys.argv[1:]:
            costs(url, plain, process)
            added(url, plain)
            return
        result: dict[str, Any] = {
            "machine": {
                "cores": available_cores(),
                "python": platform.python_version(),
                "ray": ray.__version__,
                "load_average": os.getloadavg()[0],
            },
            "photo": [512, 384],
            "photo_bytes": PHOTO.stat().st_size,
        }
        (model,) = httpx.get(f"{url}/models").json()["models"]
        result["engine"] = f"{model['engine']['name']} {model['engine']['precision']}"
        result["cpu_milliseconds"] = costs(url, plain, process)
        result["added_milliseconds"] = added(url, plain)
        result["resident_megabytes"] = memory()
        result["engine_seconds"] = ENGINE_SECONDS
        result["scaling"] = scaling(url)
    atomic.write_text(RESULTS / "ray_scaling.json", json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
