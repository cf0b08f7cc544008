"""Ray Serve: one deployment behind its HTTP proxy. WORKERS replicas, POOL inferences at once in
each, THREADS cores an inference."""

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import ray
from ray import serve
from segmentation import Segmentation, number
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(
    num_replicas=number("WORKERS", 1),
    max_ongoing_requests=number("ONGOING", 100),
    ray_actor_options={"num_cpus": 0},
)
class Street:
    def __init__(self) -> None:
        self.model = Segmentation()
        self.pool = ThreadPoolExecutor(number("POOL", 1))

    async def __call__(self, request: Request) -> Response:
        body = await request.body()
        loop = asyncio.get_running_loop()
        png = await loop.run_in_executor(self.pool, self.model.segment, body)
        return Response(png, media_type="image/png")


if __name__ == "__main__":
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    # "local": a cluster of another program on the machine is none of ours
    ray.init(
        address="local",
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        log_to_driver=False,
        num_cpus=2,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": number("PORT")})
    serve.run(Street.bind(), route_prefix="/segment")
    ended.wait()
    serve.shutdown()
    ray.shutdown()
