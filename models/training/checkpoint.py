"""One file that a training resumes from: a `.keras` file with what Keras does not keep in it.

The run's state, the averaged weights and the states of random layers are further members of the zip that a `.keras` file is,
so that they belong to these very weights whenever the process is killed.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.architectures.networks import custom_objects
from models.contract import atomic
from models.training.schedules import WarmUpDecay

_STATE = "segtrain/state.json"
_ARRAYS = "segtrain/arrays.npz"


class _FormerLoss(keras.losses.Loss):  # type: ignore[misc]
    """Stands for the loss that files of release 0.1 name; a training builds its loss from the recipe."""

    def __init__(self, class_weights: list[float], **options: Any) -> None:
        super().__init__(**options)
        self.class_weights = class_weights


def objects_of_files() -> dict[str, type]:
    """What a `.keras` file of ours may name beside Keras' own."""
    return custom_objects() | {"WarmUpDecay": WarmUpDecay, "WeightedCrossEntropy": _FormerLoss}


@dataclass(frozen=True)
class Checkpoint:
    """A model with its optimizer, and the arrays that were kept beside it, by name."""

    model: keras.Model
    arrays: dict[str, NDArray[np.generic]]


def load_network(path: Path) -> keras.Model:
    """Load a `.keras` file of ours to predict with."""
    return keras.models.load_model(path, custom_objects=objects_of_files(), compile=False)


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network as it is, without an optimizer, whole or not at all."""
    with atomic.replacing(path) as partial:
        network.save(partial, include_optimizer=False)


def save_checkpoint(
    path: Path, network: keras.Model, state: dict[str, Any], arrays: dict[str, NDArray[np.generic]]
) -> None:
    """Write a compiled network with its optimizer, the state and the arrays, whole or not at all."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    with atomic.replacing(path) as partial:
        network.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(_STATE, json.dumps(state))
            archive.writestr(_ARRAYS, packed.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Load what a training resumes from."""
    model = keras.models.load_model(path, custom_objects=objects_of_files())
    with zipfile.ZipFile(path) as archive:
        if _ARRAYS not in archive.namelist():  # written by release 0.1
            return Checkpoint(model, {})
        with np.load(io.BytesIO(archive.read(_ARRAYS))) as arrays:
            return Checkpoint(model, dict(arrays))


def read_state(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint, None where it has none."""
    with zipfile.ZipFile(path) as archive:
        if _STATE not in archive.namelist():
            return None
        state: dict[str, Any] = json.loads(archive.read(_STATE))
    return state
