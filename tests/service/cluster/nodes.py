"""Nodes of a Ray cluster on this machine, and what several tests do with them."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
from PIL import Image

from tests.service.serving import TIMEOUT_SECONDS, class_map_of, picture, png_bytes, wait_until
from tests.solvable import solve

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
SCALE = (ROOT / "docs" / "scale.md").read_text()
# The address in the docs.
ADDRESS = "10.0.0.7:6379"

# What starts processes takes longer where other work has the cores.
LONG_SECONDS = 2 * TIMEOUT_SECONDS

MEMORY = 100 * 2**20
# A node with as many CPUs as this takes replicas of the service; one with more takes the bulk run's
# actor too.
SERVICE_CPUS, BULK_CPUS = 4, 8


def wait_long(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, what, LONG_SECONDS)


class RayCluster:
    """A head without CPUs, so that what works can be killed, and nodes that come and go."""

    def __init__(self) -> None:
        from ray import cluster_utils  # Ray is an extra

        self._cluster = cluster_utils.Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 0,
                "object_store_memory": MEMORY,
                "include_dashboard": False,
                "_system_config": {"enable_worker_prestart": False},
            },
        )
        self.address: str = self._cluster.address

    def add(self, cpus: int) -> Any:
        return self._cluster.add_node(num_cpus=cpus, object_store_memory=MEMORY)

    def kill(self, node: Any) -> None:
        """SIGKILL to every process of the node."""
        self._cluster.remove_node(node, allow_graceful=False)

    def close(self) -> None:
        self._cluster.shutdown()


class Load:
    """Requests one after another in threads, until told to end. Keeps every answer."""

    def __init__(self, client: httpx.Client, threads: int) -> None:
        self.answers: list[tuple[int, httpx.Response]] = []
        self._client = client
        self._end = threading.Event()
        self._bodies = [png_bytes(picture(24, 24 + seed, seed)) for seed in range(5)]
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, seed: int) -> None:
        while not self._end.is_set():
            seed = (seed + 1) % len(self._bodies)
            answer = self._client.post("/segment", files={"image": self._bodies[seed]})
            self.answers.append((seed, answer))


def check(seed: int, answer: httpx.Response) -> None:
    np.testing.assert_array_equal(class_map_of(answer), solve(picture(24, 24 + seed, seed)))


def segserve(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "service.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, the last line (Ray tells of its own before it), and the log."""
    shown, log = process.communicate(timeout=LONG_SECONDS)
    return process.returncode, shown.strip().splitlines()[-1] if shown.strip() else "", log


def files_of(folder: Path) -> dict[str, bytes]:
    """The answers in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*.png"))
        if "_report" not in path.parts
    }


def write_pictures(folder: Path, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Pictures in folders of folders, and the pixels of each class in all of them."""
    pixels = np.zeros(3, np.int64)
    for seed in range(count):
        image = picture(20, 21 + seed, seed)
        path = folder / f"day{seed % 3}" / f"{seed:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        pixels += np.bincount(solve(image).reshape(-1), minlength=3)
    return pixels


def statistics_of(target: Path) -> list[int]:
    import pyarrow.parquet as pq  # comes with Ray

    pixels: list[int] = pq.read_table(target / "_report/statistics.parquet")["pixels"].to_pylist()
    return pixels
