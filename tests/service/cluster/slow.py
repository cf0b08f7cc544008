"""The service on a Ray cluster with engines that take a set time an image beside what they compute.

    python -m tests.service.cluster.slow ADDRESS STORE

Says its URL. For each line that comes in it says the state of the replicas as JSON; where no more
come, it ends.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ray import serve

from models.contract import Contract
from service.cluster.connection import connected
from service.cluster.engines import EngineReplica
from service.cluster.options import ServeLayout
from service.cluster.proxy import CALLBACK, CALLBACK_VARIABLE
from service.cluster.serving import (
    ENGINES_APP,
    HTTP_APP,
    deploy,
    engines_application,
    take_away,
)
from service.runtimes.engine import Engine
from service.settings import Settings

ENGINE_SECONDS = 0.5
LAYOUT = ServeLayout(
    http_on_every_node=False,
    http_cpus=0.5,
    max_http_replicas=2,
    images_per_http=4,
    engine_cpus=0.5,
    max_engine_replicas=3,
    images_per_engine=2,
    upscale_delay_seconds=1,
    downscale_delay_seconds=3,
)


class SlowEngine:
    """A real engine that takes its time, one image after another."""

    best_batch = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.reason, self.precision = engine.name, engine.reason, engine.precision
        self.device, self.device_reason = engine.device, engine.device_reason
        self.light_class_maps = engine.light_class_maps
        self.logits_factor = engine.logits_factor
        self.probabilities_on_demand = engine.probabilities_on_demand
        self.stages = engine.stages
        self.best_batch_pixels, self.streams = engine.best_batch_pixels, 1

    def class_map(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        time.sleep(ENGINE_SECONDS)
        return self._engine.class_map(images)

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(ENGINE_SECONDS)
        return self._engine.probabilities(images)

    def logits(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], int]:
        time.sleep(ENGINE_SECONDS)
        return self._engine.logits(images)

    def close(self) -> None:
        self._engine.close()


class SlowReplica(EngineReplica):
    def load_engine(self, artefact: Path, contract: Contract) -> Engine:
        return SlowEngine(super().load_engine(artefact, contract))


def states() -> Iterator[tuple[str, dict[str, int]]]:
    """Each application with the number of its replicas by their state."""
    applications = serve.status().applications
    for name in (HTTP_APP, ENGINES_APP):
        (deployment,) = applications[name].deployments.values()
        yield name, {str(state): count for state, count in deployment.replica_states.items()}


def main(address: str, store: str) -> None:
    settings = Settings(
        model_store=Path(store), models=("solvable",), port=0, shutdown_delay_seconds=0.0
    )
    with connected(address, {CALLBACK_VARIABLE: CALLBACK}):
        url = deploy(settings, LAYOUT)
        engines = engines_application(settings, LAYOUT, SlowReplica)
        serve.run(engines, name=ENGINES_APP, route_prefix=None)
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            sys.stdout.write(json.dumps(dict(states())) + "\n")
            sys.stdout.flush()
        take_away(0.0)


if __name__ == "__main__":
    main(*sys.argv[1:])
