"""Wrap a network in a file of another framework, and judge what will be served of it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.export.adopt import Wrapped, overlap_in_words, read_images
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.artefact import Measure, ModelFacts
from models.export.external_io import input_axes
from models.export.io_inference import infer_io_spec
from models.export.portable.judging import judge, own_answers, require_agreement
from models.export.portable.network import require_pixel_values
from models.export.portable.reach import receptive_field_radius
from models.export.portable.reading import read_portable
from models.export.portable.serving import class_map_of, served_answers
from models.export.portable.wrapping import wrapped
from models.export.portable.writing import write_portable

_OTHER_SIZES = (
    "a larger picture is shrunk to about its long side unless --scale says otherwise, what is "
    "larger still is cut into overlapping tiles that are blended, and what is smaller mirrored"
)

_SERVERS = {"openvino": "OpenVINO", "onnx": "ONNX Runtime"}


def wrap_portable(
    path: Path, options: AdoptOptions, facts: ModelFacts, files: Sequence[Path], *, force: bool
) -> Wrapped:
    """Raises AdoptionError, unless `force` for too little agreement with its own runtime and for
    doubts about sizes."""
    if options.receptive_field_radius is not None:
        raise AdoptionError(
            "--receptive-field-radius is of SavedModels and Keras files alone; of this file it is "
            "computed, or large pictures are blended where tiles meet: leave it out"
        )
    network = read_portable(path, options)
    if options.runtime == "onnx" and network.onnx is None:
        raise AdoptionError(f"--runtime onnx serves ONNX files alone; {path.name} is none")
    require_pixel_values(network.input_dtype, options)
    _, channels = input_axes(network, options)
    images = read_images(files, channels)
    classes = len(facts.classes)
    io_spec = infer_io_spec(network, classes, options, images, other_sizes=_OTHER_SIZES)
    own = own_answers(network, io_spec, options, classes, facts.overlap)
    if network.doubt and io_spec.size is None and not force:
        raise AdoptionError(
            f"{path.name} takes any size, but {network.doubt}; say --size HEIGHT WIDTH, which it "
            "was exported with, or --force where it was trained with such windows"
        )
    served, answers = None, own
    if options.runtime == "openvino":
        served = wrapped(network, io_spec, options, classes, facts.overlap)
        answers = served_answers(served)
    agreement = judge(answers, own, io_spec, images, network.runtime)
    require_agreement(agreement, force=force)
    overlap = () if facts.overlap is None else (f"classes: {overlap_in_words(facts)}",)
    radius = receptive_field_radius(network.graph, io_spec)
    notes = (
        *io_spec.notes,
        *overlap,
        f"sees: {_reach_in_words(radius)}",
        f"agreement: {agreement}",
        f"served by: {_SERVERS[options.runtime]}",
    )

    def write(card: str, store: Path, version: int | None, measure: Measure | None) -> Path:
        return write_portable(
            network,
            served,
            io_spec,
            options,
            facts,
            card,
            store,
            version,
            measure,
            radius=radius,
        )

    def class_map(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return class_map_of(answers, io_spec.size, image)

    return Wrapped(notes, images, class_map, network.parameters, write)


def _reach_in_words(radius: int | None) -> str:
    if radius is None:
        return "the whole picture, as far as is known; where tiles of a large one meet, both count"
    return f"{radius} pixels to each side, which tiles of a large picture have to spare"
