"""A plain FastAPI server as its documentation advises for work that blocks: outside the event loop,
in a pool of its own.

INFERENCES of them run at once, each with THREADS cores; what waits, waits in the pool's queue.
"""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from segmentation import Segmentation, number

state: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
    state["model"] = Segmentation()
    with ThreadPoolExecutor(number("INFERENCES", 1)) as state["pool"]:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/segment")
async def segment(request: Request) -> Response:
    body = await request.body()
    loop = asyncio.get_running_loop()
    png = await loop.run_in_executor(state["pool"], state["model"].segment, body)
    return Response(png, media_type="image/png")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=number("PORT"), log_level="warning")
