"""Replicas come with load and go without it, and no request notices."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.cluster.nodes import (
    LONG_SECONDS,
    SERVICE_CPUS,
    Load,
    RayCluster,
    check,
    wait_long,
)

pytestmark = pytest.mark.cluster

States = dict[str, dict[str, int]]


class SleepyService:
    """tests/service/cluster/slow.py in a process of its own."""

    def __init__(self, address: str, store: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.service.cluster.slow", address, str(store)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._line()

    def states(self) -> States:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        states: States = json.loads(self._line())
        return states

    def close(self) -> None:
        self._process.communicate(timeout=LONG_SECONDS)
        assert self._process.returncode == 0

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def slow(ray_cluster: RayCluster, solvable_store: Path) -> Iterator[SleepyService]:
    ray_cluster.add(SERVICE_CPUS)
    service = SleepyService(ray_cluster.address, solvable_store)
    yield service
    service.close()


def test_replicas_come_with_load_and_go_without_a_failed_request(slow: SleepyService) -> None:
    fewest = {"segserve": {"RUNNING": 1}, "segserve-engines": {"RUNNING": 1}}
    most = {"segserve": {"RUNNING": 2}, "segserve-engines": {"RUNNING": 3}}
    with httpx.Client(base_url=slow.url, timeout=LONG_SECONDS) as client:
        wait_long(lambda: slow.states() == fewest, "the service as it begins")
        with Load(client, threads=12) as heavy:
            wait_long(lambda: slow.states() == most, "more replicas under load")
        # as many as one engine replica is for; Ray sends them to several, so that some go which are
        # at an image
        with Load(client, threads=2) as light:
            wait_long(lambda: slow.states() == fewest, "fewer replicas without load")
            after = len(light.answers)
            wait_long(lambda: len(light.answers) > after + 3, "answers of those that stayed")
    for seed, answer in heavy.answers + light.answers:
        check(seed, answer)
