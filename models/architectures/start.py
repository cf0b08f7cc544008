"""A network that starts as a trained one ended: to fine-tune it, or to go on from a coarser FCN."""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from models.architectures.backbones import (
    exported_variables,
)
from models.architectures.encoders import FEATURE_NORM, STRIDE
from models.architectures.fcn import initialize_from_coarser
from models.architectures.table import NETWORKS
from models.architectures.weights_error import BackboneWeightsError
from models.contract import CONTRACT_PATH

Weights = Mapping[str, NDArray[np.generic]]


def is_exported(folder: Path) -> bool:
    return (folder / CONTRACT_PATH).is_file()


def start_from_exported(network: keras.Model, version: Path) -> list[str]:
    """Give a network the weights of an exported model; say which stay as they were, as `fill`
    does. Raises BackboneWeightsError."""
    return fill(network, exported_variables(version), f"the model in {version}")


def start_from_trained(network: keras.Model, trained: keras.Model) -> list[str]:
    """Give a network the weights of a trained one of its kind, or an FCN those of the next coarser
    one; say which stay as they were, as `fill` does. Raises BackboneWeightsError."""
    entry = NETWORKS.get(network.name)
    if entry is not None and entry.coarser is not None and trained.name != network.name:
        initialize_from_coarser(network, trained)
        return []
    kept = {weight.path: weight.numpy() for weight in trained.weights}
    return fill(network, kept, f"that run's {trained.name}")


def fill(network: keras.Model, kept: Weights, origin: str) -> list[str]:
    """Give a network the weights that `kept` has by path; give the paths of those left as they
    were.

    These are of the layers that have a channel a class, where `kept` is of another number of
    classes: fine-tuning for other classes. Raises BackboneWeightsError where anything else is
    missing or of another shape.
    """
    classes = network.output_shape[-1]
    _require_same_norms(network, kept, origin)
    other_classes: set[int] = set()
    left = []
    for weight in network.weights:
        shape, found = tuple(weight.shape), kept.get(weight.path)
        if found is None or len(found.shape) != len(shape):
            raise _other_network(network, origin, weight.path, shape, found)
        differing = [(a, b) for a, b in zip(shape, found.shape, strict=True) if a != b]
        if any(ours != classes for ours, _ in differing):
            raise _other_network(network, origin, weight.path, shape, found)
        other_classes.update(theirs for _, theirs in differing)
        if differing:
            left.append(weight.path)
        if len(other_classes) > 1:
            raise _other_network(network, origin, weight.path, shape, found)
    if len(left) == len(network.weights):
        raise BackboneWeightsError(f"{origin} shares no weight with this {network.name}")
    for weight in network.weights:
        if weight.path not in left:
            weight.assign(kept[weight.path])
    return left


def _require_same_norms(network: keras.Model, kept: Weights, origin: str) -> None:
    """Raise BackboneWeightsError where features are normalised here and not there, or there and not
    here, where every weight of this network would be found all the same."""
    norm = f"{FEATURE_NORM.format(stride=STRIDE)}/gamma"
    here = any(weight.path == norm for weight in network.weights)
    if here != (norm in kept):
        has, wanted = ("no ", "false") if here else ("a ", "true")
        raise BackboneWeightsError(
            f"{origin} has {has}BatchNorm behind the features of its encoder; set "
            f"network.feature_norm = {wanted}"
        )


def _other_network(
    network: keras.Model,
    origin: str,
    path: str,
    shape: tuple[int, ...],
    found: NDArray[np.generic] | None,
) -> BackboneWeightsError:
    has = "nothing there" if found is None else f"{found.shape}"
    return BackboneWeightsError(
        f"{origin} does not fit this {network.name}: {path} is {shape} here, and it has {has}. A "
        "network starts from one of the same name, encoder, width and upsampling; set [network] as "
        "in the recipe of the one to start from"
    )
