"""What a picture tells of a model: how sure it is, what it sees, what the picture is like."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.classes import bands
from service.domain.requests import IntensityRequest, ScaleRequest
from service.domain.segmentation import Need, Segmentation
from service.domain.source import Source
from service.inference.prepare import plan_size, prepare
from service.inference.resizing import resized
from service.inputs import open_source
from service.outputs.output import Output, OutputOptions, OverlapWriting
from service.parts import engine_options
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.runtimes.openvino_features import FeatureModel

_GRID = 4  # cells a side, of the class shares that stand for features where there are none
_LONGEST = 512  # pixels; what a picture is like can be seen at this size


@dataclass(frozen=True)
class Measure:
    """Of one picture. `uncertainty` is 1 - the mean probability of the winners; `shares` (classes,)
    are the classes' parts of the pixels, `features` a vector of length 1.
    """

    uncertainty: float
    shares: NDArray[np.float32]
    features: NDArray[np.float32]


class _Options(OutputOptions):
    overlap: ClassVar[OverlapWriting] = "top"

    @property
    def need(self) -> Need:
        return "confidence"


def _encode(segmentation: Segmentation, _options: OutputOptions) -> Iterator[bytes]:
    confidence = segmentation.confidence
    assert confidence is not None  # the options say need
    class_map = segmentation.class_map
    classes = len(segmentation.model.contract.classes)
    height, width = class_map.shape
    sure = sum(int(confidence[rows].sum(dtype=np.int64)) for rows in bands(height, width))
    edges = [np.linspace(0, side, _GRID + 1).astype(int) for side in (height, width)]
    cells = [
        np.bincount(class_map[top:bottom, left:right].reshape(-1), minlength=256)[:classes]
        for top, bottom in zip(edges[0], edges[0][1:], strict=False)
        for left, right in zip(edges[1], edges[1][1:], strict=False)
    ]
    said = {
        "uncertainty": 1 - sure / (255 * class_map.size),
        "cells": [cell.tolist() for cell in cells],
    }
    yield json.dumps(said).encode()


_MEASURES = Output("measures", "Measures", {"application/json": ".json"}, _Options, "", _encode)


class Measurer:
    """Measures pictures with one model. Used on one event loop, from `load` to `close`."""

    def __init__(self, pinned: PinnedModel) -> None:
        self._contract, self._settings = pinned.contract, pinned.settings
        self._model = LoadedModel(pinned)
        name, version = pinned.id.split("/")
        self._artefact = pinned.settings.model_store / name / version
        self._features: FeatureModel | None = None
        self._one = asyncio.Lock()
        self.seen_by = ""

    @property
    def at_once(self) -> int:
        return self._model.at_once

    async def load(self) -> None:
        """Raises PredictError where the model does not load."""
        await self._model.load()
        threads = engine_options(self._settings).threads
        make = partial(FeatureModel, self._artefact, self._contract, threads)
        try:
            self._features = await asyncio.to_thread(make)
            self.seen_by = f"the means of the feature map {self._features.layer}"
        except LookupError as why:
            self.seen_by = f"the classes' shares of {_GRID} × {_GRID} cells, for {why}"

    async def measure(self, body: bytes) -> Measure:
        """Raises ServiceError."""
        answer = await self._model.segment(body, _MEASURES, _Options(), "")
        said = json.loads(answer.encoded.body)
        cells = np.array(said["cells"], np.float32)
        shares = cells.sum(axis=0) / max(float(cells.sum()), 1.0)
        if self._features is None:
            features = np.sqrt(cells / max(float(cells.sum()), 1.0)).reshape(-1)
        else:
            async with self._one:
                features = await asyncio.to_thread(self._see, self._features, body)
        return Measure(float(said["uncertainty"]), shares, features)

    async def close(self) -> None:
        await self._model.close()

    def _see(self, model: FeatureModel, body: bytes) -> NDArray[np.float32]:
        source = open_source(body, self._settings.max_image_pixels)
        return model(_small_image(source, self._contract))


def _small_image(source: Source, contract: Contract) -> NDArray[np.uint8]:
    """The picture (H, W, C) as the network sees it, at most `_LONGEST` pixels long, for nothing is
    drawn into it.
    """
    working = plan_size(source, contract, ScaleRequest(), show=False)
    image = prepare(source, contract, working, IntensityRequest(), show=False).image
    height, width = image.shape[:2]
    ratio = min(1.0, _LONGEST / max(height, width))
    wanted = max(1, round(height * ratio)), max(1, round(width * ratio))
    down, across = contract.only_size or wanted
    if (down, across) == (height, width):
        return image
    return resized(image, down, across, (height, width))
