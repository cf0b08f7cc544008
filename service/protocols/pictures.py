"""Pictures in, results by name out: what the protocols that speak of tensors have in common."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.catalogue.slot import ModelState
from service.concurrency import as_completed
from service.domain.certainty import only_sure
from service.domain.classes import keep_classes, kept_ids
from service.domain.errors import ModelUnavailableError, ServiceError
from service.domain.segmentation import Need, Segmentation
from service.inference.inference import Answer, TensorAnswer, Timings
from service.outputs.output import OutputOptions
from service.protocols.context import AppContext
from service.protocols.problems import MalformedRequestError
from service.protocols.results import (
    Wanted,
    bundle,
    check_for_pixels,
    encode_all,
    tensor_of,
    unbundle,
)

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Pixels:
    """Images (N, H, W, C) uint8 of one size.

    `single` says that there was no N where they came from.
    """

    images: NDArray[np.uint8]
    single: bool = False

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Files:
    """Encoded images of any sizes."""

    files: Sequence[Buffer]

    def __len__(self) -> int:
        return len(self.files)


Pictures = Pixels | Files


@dataclass(frozen=True)
class Inferred:
    """`results` has, for each output asked for, one entry an image: an array, or a file's bytes.

    The network saw each image at its part of `scales` of its size.
    """

    model_id: str
    results: list[list[Any]]
    timings: Timings
    scales: Sequence[float]

    @property
    def scale(self) -> str:
        """As headers say it: one for all images that have it alike, else one an image."""
        written = [f"{scale:.4g}" for scale in self.scales]
        return written[0] if len(set(written)) == 1 else ", ".join(written)


def check_count(images: int, most: int) -> None:
    """To be called before each image of a request is looked at. Raises MalformedRequestError."""
    if images > most:
        raise MalformedRequestError(
            f"The request has {images} images; the limit is {most}. Send them in several requests."
        )


async def infer(
    parts: AppContext,
    model: str | None,
    pictures: Pictures,
    asked: Sequence[Wanted],
    deadline: float | None,
) -> Inferred:
    """Segment all pictures, beside each other as far as the queue has room. Raises ServiceError.

    The model is as `Inference` has it.
    """
    check_count(len(pictures), parts.max_batch_request_images)
    at_once = min(2 * parts.registry.best_batch(model), parts.max_batch_images_at_once)
    if isinstance(pictures, Files):
        return await _infer_files(parts, model, pictures.files, asked, deadline, at_once)
    check_for_pixels(asked)
    return await _infer_pixels(parts, model, pictures.images, asked, deadline, at_once)


async def _infer_files(
    parts: AppContext,
    model: str | None,
    files: Sequence[Buffer],
    asked: Sequence[Wanted],
    deadline: float | None,
    at_once: int,
) -> Inferred:
    output, options = bundle(asked)

    async def segment(index: int, file: Buffer) -> tuple[Answer, list[Any]]:
        with _naming(index, len(files)):
            answer = await parts.inference.segment(file, output, options, deadline, model=model)
        bodies = unbundle(answer.encoded.body, len(asked))
        results = [
            body
            if one.result.tensor is None
            else one.result.array(body, answer.height, answer.width)
            for one, body in zip(asked, bodies, strict=True)
        ]
        return answer, results

    done = await _in_order([partial(segment, *item) for item in enumerate(files)], at_once)
    answers = [answer for answer, _ in done]
    by_output = [list(column) for column in zip(*(results for _, results in done), strict=True)]
    timings = _longest([answer.timings for answer in answers])
    return Inferred(answers[0].model_id, by_output, timings, [answer.scale for answer in answers])


async def _infer_pixels(
    parts: AppContext,
    model: str | None,
    images: NDArray[np.uint8],
    asked: Sequence[Wanted],
    deadline: float | None,
    at_once: int,
) -> Inferred:
    first = asked[0].options
    least = first.least_confidence
    edits = first.classes is not None or least is not None

    def names(contract: Contract) -> set[Need]:
        with_files = any(one.result.tensor is None for one in asked)
        wanted: set[Need] = {"class_map"} if with_files or edits else set()
        wanted |= {one.result.tensor for one in asked if one.result.tensor is not None}
        wanted |= {"confidence"} if least is not None else set()
        return wanted | {_tensor_for(one.options.needed(contract)) for one in asked}

    by_output: list[list[Any]] = [[] for _ in asked]
    timings: list[Timings] = []
    scales: list[float] = []
    model_id = ""
    for start in range(0, len(images), at_once):
        chunk = images[start : start + at_once]
        scale = first.scale_request
        answer = await parts.inference.predict(model, chunk, names, deadline, scale=scale)
        model_id = answer.model_id
        timings.append(answer.timings)
        scales.extend(answer.scales)
        tensors = [one.result.tensor for one in asked if one.result.tensor is not None]
        if not edits and len(tensors) == len(asked):
            rows = [list(answer.outputs[tensor]) for tensor in tensors]
        else:
            state = _state_of(parts, answer.model_id)
            segmentations = _segmentations(state, answer, chunk)
            precision = "fp32" if state.engine is None else state.engine.precision
            rows = await asyncio.to_thread(_write, segmentations, asked, first, precision)
        for results, row in zip(by_output, rows, strict=True):
            results.extend(row)
    return Inferred(model_id, by_output, _longest(timings), scales)


def _tensor_for(need: Need) -> Need:
    if need == "mean_confidence":  # of tensors there are no means
        return "class_map"
    return "probabilities" if need == "uncertainty" else need


def _write(
    segmentations: Sequence[Segmentation],
    asked: Sequence[Wanted],
    options: OutputOptions,
    precision: str,
) -> list[list[Any]]:
    by_image = []
    for whole in segmentations:
        segmentation = only_sure(whole, options.least_confidence, precision)
        contract = segmentation.model.contract
        kept = kept_ids(contract, options.classes)
        keep_classes(
            contract,
            kept,
            segmentation.class_map,
            segmentation.confidence,
            segmentation.probabilities,
        )
        files = iter(encode_all(segmentation, [one for one in asked if one.result.tensor is None]))
        by_image.append(
            [
                next(files)
                if one.result.tensor is None
                else tensor_of(segmentation, one.result.tensor)
                for one in asked
            ]
        )
    return [list(column) for column in zip(*by_image, strict=True)]


def _segmentations(
    state: ModelState, answer: TensorAnswer, images: NDArray[np.uint8]
) -> list[Segmentation]:
    assert state.model is not None  # `_state_of` found one that has it
    maps = answer.outputs
    confidence, probabilities = maps.get("confidence"), maps.get("probabilities")
    return [
        Segmentation(
            state.model,
            maps["class_map"][index],
            None if confidence is None else confidence[index],
            None if probabilities is None else probabilities[index],
            image,
            answer.blended,
            scale=answer.scales[index],
            observation=answer.observations[index],
        )
        for index, image in enumerate(images)
    ]


def _state_of(parts: AppContext, model_id: str) -> ModelState:
    for state in parts.registry.states():
        if state.id == model_id and state.model is not None:
            return state
    raise ModelUnavailableError(f"{model_id} was taken away meanwhile. Try again in 1 s.", 1.0)


async def _in_order(
    work: Sequence[Callable[[], Coroutine[Any, Any, Any]]], at_once: int
) -> list[Any]:
    async def numbered(index: int) -> tuple[int, Any]:
        return index, await work[index]()

    numbers = [partial(numbered, index) for index in range(len(work))]
    async with aclosing(as_completed(numbers, at_once)) as results:
        done = [result async for result in results]
    return [result for _, result in sorted(done, key=lambda item: item[0])]


class _naming:  # noqa: N801 - read as `with _naming(…)`
    """A fault of one image of several says which it was."""

    def __init__(self, index: int, count: int) -> None:
        self._index, self._count = index, count

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ServiceError) and self._count > 1:
            error.args = (f"Image {self._index}: {error}",)


def _longest(timings: Sequence[Timings]) -> Timings:
    """Of work beside each other, each stage's longest."""
    return Timings(
        max(one.decode_seconds for one in timings),
        max(one.queue_seconds for one in timings),
        max(one.infer_seconds for one in timings),
        max(one.encode_seconds for one in timings),
    )
