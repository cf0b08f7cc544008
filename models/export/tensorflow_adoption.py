"""Wrap what TensorFlow loads: a SavedModel, or a Keras file."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import tensorflow as tf

from models.contract import NativeScale
from models.export.adopt import Wrapped, overlap_in_words, read_images
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.artefact import Measure, ModelFacts
from models.export.external import ExternalNetwork, first_line
from models.export.external_io import input_axes
from models.export.external_loading import load_external
from models.export.io_inference import infer_io_spec
from models.export.saved_model import export_network


def wrap_by_tensorflow(
    path: Path, options: AdoptOptions, facts: ModelFacts, files: Sequence[Path], *, force: bool
) -> Wrapped:
    """Raises AdoptionError. What is written is verified as a network of ours is, `force` or not."""
    del force
    model = load_external(path, options)
    _, channels = input_axes(model, options)
    images = read_images(files, channels)
    classes = len(facts.classes)
    other_sizes = "images are resized to it and class scores back, both bilinearly"
    io_spec = infer_io_spec(model, classes, options, images, other_sizes=other_sizes)
    facts = replace(facts, scale=facts.scale or NativeScale())
    network = ExternalNetwork(model, io_spec, options, classes, facts.overlap)
    _require_traceable(network, path)

    def write(card: str, store: Path, version: int | None, measure: Measure | None) -> Path:
        return export_network(network, facts, card, store, version, measure=measure)

    overlap = () if facts.overlap is None else (f"classes: {overlap_in_words(facts)}",)
    return Wrapped((*io_spec.notes, *overlap), images, network.class_map, network.parameters, write)


def _require_traceable(network: ExternalNetwork, path: Path) -> None:
    """Raise AdoptionError where TensorFlow cannot write it down for pictures of any size."""
    images = tf.TensorSpec((None, None, None, network.channels), tf.float32)
    try:
        tf.function(network).get_concrete_function(images)
    except Exception as error:  # layers raise what they like
        raise AdoptionError(
            f"{path} runs, but cannot be written as a SavedModel for pictures of any size: "
            f"{first_line(error)}; say --size HEIGHT WIDTH, to which pictures are then brought"
        ) from error
