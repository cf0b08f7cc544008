"""Several images as one batch of an engine, and their results apart again."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.source import Window
from service.domain.upsampling import Enlarged, Grid, upsampled_class_maps
from service.inference.runner import AloneWork, Result, Signature
from service.inference.tiling.fit import fit_into
from service.runtimes.engine import Engine, Stage

T = TypeVar("T")
V = TypeVar("V", bound=np.generic)


class EngineFaultError(Exception):
    """What the engine raised is its cause."""


def run_alone(engine: Engine, work: AloneWork[T]) -> T:
    """The result of `work`. Raises EngineFaultError, and what `work` raises by itself."""

    def run_image(signature: Signature, image: NDArray[np.uint8], shape: tuple[int, int]) -> Result:
        try:
            return run_batch(engine, signature, shape, [image])[0]
        except Exception as error:
            raise EngineFaultError from error

    return work(run_image)


def run_batch(
    engine: Engine,
    signature: Signature,
    shape: tuple[int, int],
    images: Sequence[NDArray[np.uint8]],
) -> list[Result]:
    """The result of each image (H, W, C), mirror-padded to `shape`. Raises what the engine raises,
    and ValueError.
    """
    batch = _fit_together(images, *shape)
    results, run_shape = _run(engine, signature, batch)
    if run_shape != batch.shape[:3]:
        raise ValueError(f"the engine gave {results.shape} for images {batch.shape}")
    if signature == "enlarged":
        grid = Grid((shape[0] / results.shape[2], shape[1] / results.shape[3]))
        class_maps = upsampled_class_maps(results, grid, Window(0, 0, *shape))
        return list(map(Enlarged, _apart(results), _apart(class_maps)))
    return list(_apart(results))


def run_stage(
    engine: Engine,
    stage: Stage,
    shape: tuple[int, int],
    inputs: Sequence[tuple[NDArray[Any], ...]],
) -> list[NDArray[Any]]:
    """As `run_batch`, for one stage of several tiles; their maps lie within the padded picture, and
    are not padded.
    """
    stages = engine.stages
    if stages is None:
        raise ValueError("the engine has no stages")
    picture = None if stage == "deep" else 0
    together = [
        _fit_together(of_all, *(shape if place == picture else of_all[0].shape[:2]))
        for place, of_all in enumerate(zip(*inputs, strict=True))
    ]
    return _apart(stages.run(stage, together))


def _apart(results: NDArray[V]) -> list[NDArray[V]]:
    """Each of its own: a view would keep the whole batch for as long as the last is not done."""
    return [result.copy() for result in results] if len(results) > 1 else list(results)


def _run(
    engine: Engine, signature: Signature, batch: NDArray[np.uint8]
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """The results, and the (N, H, W) that they are of."""
    if signature == "class_map":
        class_maps = engine.class_map(batch)
        return class_maps, class_maps.shape
    if signature == "probabilities":
        probabilities = engine.probabilities(batch)
        return probabilities, probabilities.shape[:3]
    logits, factor = engine.logits(batch)
    count, _, height, width = logits.shape
    return logits, (count, height * factor, width * factor)


def _fit_together(images: Sequence[NDArray[Any]], height: int, width: int) -> NDArray[Any]:
    """One batch (N, height, width, C); an image that is alone and has that size is not copied."""
    if len(images) == 1 and images[0].shape[:2] == (height, width):
        return images[0][np.newaxis]
    batch = np.empty((len(images), height, width, images[0].shape[-1]), images[0].dtype)
    for padded, image in zip(batch, images, strict=True):
        fit_into(padded, image)
    return batch
