"""A catalogue of one model, which answers every selector and is never unloaded."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from service.inference.segmenter import Segmenter


class Always:
    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @asynccontextmanager
    async def lease(
        self,
        selector: str | None,  # noqa: ARG002
        deadline: float | None,  # noqa: ARG002
    ) -> AsyncGenerator[Segmenter]:
        yield self._segmenter
