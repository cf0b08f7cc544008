"""The first run of a model, which shows whether it does what its contract says."""

import time

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract, ContractError
from service.inference.tiling.fit import round_up
from service.runtimes.engine import Engine

_TYPICAL_SIDE = 512


def warm_up_sizes(contract: Contract) -> tuple[tuple[int, int], ...]:
    """A small and a typical height and width, for what an engine sets up once a size; or the one
    that the model takes."""
    if contract.only_size is not None:
        return (contract.only_size,)
    typical = round_up(_TYPICAL_SIDE, contract.stride)
    return (contract.stride, contract.stride), (typical, typical)


def warm_up(engine: Engine, model_id: str, contract: Contract, size: tuple[int, int]) -> float:
    """Run one image of `size`, and give the seconds of its class map. Probabilities are left out
    where the engine sets up what computes them when they are first asked for.

    Raises ContractError where a result does not have the contract's form.
    """
    images = np.full((1, *size, contract.channels), 127, np.uint8)
    if not engine.probabilities_on_demand:
        _check_probabilities(engine, images, model_id, contract)
    started = time.monotonic()
    class_map = engine.class_map(images)
    seconds = time.monotonic() - started
    if class_map.shape != (1, *size) or class_map.max() >= len(contract.classes):
        raise ContractError(
            f"{model_id} gave a class map of shape {class_map.shape} with ids up to "
            f"{class_map.max()} for an image of {size[1]} × {size[0]}; its contract has "
            f"{len(contract.classes)} classes."
        )
    return seconds


def _check_probabilities(
    engine: Engine, images: NDArray[np.uint8], model_id: str, contract: Contract
) -> None:
    size = images.shape[1:3]
    probabilities = engine.probabilities(images)
    if probabilities.shape != (1, *size, len(contract.classes)):
        raise ContractError(
            f"{model_id} gave probabilities of shape {probabilities.shape} for an image "
            f"of {size[1]} × {size[0]}; its contract has {len(contract.classes)} classes."
        )
