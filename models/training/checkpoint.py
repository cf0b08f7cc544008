"""One file that a training resumes from: a `.keras` file with what Keras does not keep in it.

The run's state, the averaged weights and the states of random layers are further members of the zip
that a `.keras` file is, so that they belong to these very weights whenever the process is killed.
"""

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from models.architectures.networks import custom_objects
from models.contract import UserError, atomic
from models.training.schedules import WarmUpDecay

_STATE = "segtrain/state.json"
_ARRAYS = "segtrain/arrays.npz"


class _FormerLoss(keras.losses.Loss):  # type: ignore[misc]
    """Stands for the loss that files of release 0.1 name; a training builds its loss from the
    recipe."""

    def __init__(self, class_weights: list[float], **options: Any) -> None:
        super().__init__(**options)
        self.class_weights = class_weights


class DamagedFileError(UserError):
    """A file of a run is not as segtrain wrote it."""

    def __init__(self, path: Path, error: Exception | str) -> None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        super().__init__(
            f"{path} cannot be read ({lines[0][:200]}); it is damaged, or was cut short when it "
            "was copied: copy the run again"
        )


def objects_of_files() -> dict[str, type]:
    """What a `.keras` file of ours may name beside Keras' own."""
    return custom_objects() | {"WarmUpDecay": WarmUpDecay, "WeightedCrossEntropy": _FormerLoss}


@dataclass(frozen=True)
class Checkpoint:
    """A model with its optimizer, and the arrays that were kept beside it, by name."""

    model: keras.Model
    arrays: dict[str, NDArray[np.generic]]


def load_network(path: Path) -> keras.Model:
    """Load a `.keras` file of ours to predict with. Raises DamagedFileError."""
    return _load(path, compile=False)


def save_network(network: keras.Model, path: Path) -> None:
    """Write a network as it is, without an optimizer, whole or not at all."""
    with atomic.replacing(path) as partial:
        network.save(partial, include_optimizer=False)


def save_checkpoint(
    path: Path, network: keras.Model, state: dict[str, Any], arrays: dict[str, NDArray[np.generic]]
) -> None:
    """Write a compiled network with its optimizer, the state and the arrays, whole or not at
    all."""
    packed = io.BytesIO()
    np.savez(packed, **arrays)  # type: ignore[arg-type]
    with atomic.replacing(path) as partial:
        network.save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(_STATE, json.dumps(state))
            archive.writestr(_ARRAYS, packed.getvalue())


def load_checkpoint(path: Path) -> Checkpoint:
    """Load what a training resumes from. Raises DamagedFileError."""
    model = _load(path, compile=True)
    packed = _member(path, _ARRAYS)
    if packed is None:  # written by release 0.1
        return Checkpoint(model, {})
    with np.load(io.BytesIO(packed)) as arrays:
        return Checkpoint(model, dict(arrays))


def read_state(path: Path) -> dict[str, Any] | None:
    """The state in a checkpoint, None where it has none. Raises DamagedFileError."""
    member = _member(path, _STATE)
    if member is None:
        return None
    state: dict[str, Any] = json.loads(member)
    return state


def _load(path: Path, *, compile: bool) -> keras.Model:
    if path.exists() and not zipfile.is_zipfile(path):  # Keras would say that it is not there
        raise DamagedFileError(path, "its end is missing")
    try:
        return keras.models.load_model(path, custom_objects=objects_of_files(), compile=compile)
    except Exception as error:
        # Keras, h5py and zipfile raise what they like for a file that is cut short
        raise DamagedFileError(path, error) from error


def _member(path: Path, name: str) -> bytes | None:
    """A member of a checkpoint, whose checksum zipfile compares; None where it has none of that
    name."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name) if name in archive.namelist() else None
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DamagedFileError(path, error) from error
