"""MLServer: a custom runtime with an endpoint of its own, for the V2 protocol would carry the image
as base64 in JSON.

WORKERS parallel workers with THREADS cores each; 0 runs the model in the server's process, POOL
inferences at once.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from fastapi import Request, Response
from mlserver import MLModel
from mlserver.handlers import custom_handler
from segmentation import Segmentation, number


class StreetRuntime(MLModel):
    async def load(self) -> bool:
        self._street = Segmentation()
        self._pool = ThreadPoolExecutor(number("POOL", 1))
        return True

    @custom_handler(rest_path="/segment")
    async def segment(self, request: Request) -> Response:
        body = await request.body()
        loop = asyncio.get_running_loop()
        png = await loop.run_in_executor(self._pool, self._street.segment, body)
        return Response(png, media_type="image/png")
