"""From an external model to an artefact: its classes, a look at what it does, and its card."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models.contract import Name, Overlap, SegmentationClass
from models.contract.faults import first_fault
from models.contract.preprocessing import read_scale
from models.data.dataset import ClassList, DatasetError, read_classes, read_image
from models.data.depth import BY_PERCENTILES
from models.data.layouts.layout import images_below, make_class_list
from models.data.page import Figure, Gallery, Legend, Section, Table, Text, write_page
from models.data.tiles import draw_tile
from models.export.adopt_options import AdoptionError, AdoptOptions
from models.export.artefact import Measure, ModelFacts

_MOST_IMAGES = 24


@dataclass(frozen=True)
class Wrapped:
    """An external model in our form. `notes` say what was found out of it, each as "what: how";
    `images` (H, W, C) are those to show it on, of which `class_map` gives class ids (H, W);
    `write(card, store, version, measure)` writes the artefact and gives its path."""

    notes: tuple[str, ...]
    images: Sequence[NDArray[np.uint8]]
    class_map: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    parameters: int
    write: Callable[[str, Path, int | None, Measure | None], Path]


class Wrapper(Protocol):
    """Wraps the model of a file, and reads the images `files` to show it on. Raises AdoptionError;
    `force` takes a model although what will be served differs from what its own runtime gives."""

    def __call__(
        self,
        path: Path,
        options: AdoptOptions,
        facts: ModelFacts,
        files: Sequence[Path],
        /,
        *,
        force: bool,
    ) -> Wrapped: ...


def parse_classes(text: str) -> ClassList:
    """The classes of a classes.json, or of names with commas between, those that hold commas in
    double quotes; one name alone gets a background before it.

    Raises AdoptionError.
    """
    if text.endswith(".json"):
        try:
            return read_classes(Path(text))
        except DatasetError as error:
            raise AdoptionError(str(error)) from error
    return list_classes(_names(text), f"--classes {text}")


def _names(text: str) -> list[str]:
    cells = next(csv.reader([text], skipinitialspace=True), [])
    return [name.strip() for name in cells if name.strip()]


def list_classes(names: Sequence[str], source: str) -> ClassList:
    """Classes of these names, `source` being where they are said; one alone gets a background
    before it. Raises AdoptionError."""
    listed = ["background", *names] if len(names) == 1 else list(names)
    try:
        return make_class_list("adopted", listed, "not stated").model_copy(update={"ignore": None})
    except ValidationError as error:
        raise AdoptionError(f"{source}: {first_fault(error).message}") from error


def overlapping(
    class_list: ClassList, priority: str | None, threshold: float
) -> tuple[ClassList, Overlap | None]:
    """The classes with what none of them finds before them, and how they overlap, where `priority`
    says that they do: it names all of them, or all but the first, which then is that background.
    Raises AdoptionError."""
    if priority is None:
        return class_list, None
    wanted, names = _names(priority), [one.name for one in class_list.classes]
    if sorted(wanted) == sorted(names):
        plain, names = list_classes(names, "--classes").classes, ["background", *names]
        listed = list_classes(names, "--classes, with a background before them").classes
        if class_list.classes != plain:  # they have colors of their own
            behind = [one.model_copy(update={"id": one.id + 1}) for one in class_list.classes]
            listed = (listed[0], *behind)
        class_list = class_list.model_copy(update={"classes": listed})
    elif sorted(wanted) != sorted(names[1:]):
        raise AdoptionError(
            f"--priority {priority} names all classes that overlap, each once, the one on top "
            f"first; --classes has {', '.join(names)}, of which the first may be the background"
        )
    ids = tuple(names.index(name) for name in wanted)
    return class_list, Overlap(priority=ids, threshold=threshold)


def overlap_in_words(facts: ModelFacts) -> str:
    """Which class is over which, where they overlap."""
    assert facts.overlap is not None
    names = " over ".join(facts.classes[class_id].name for class_id in facts.overlap.priority)
    return (
        f"each for itself, where it is above {facts.overlap.threshold:g}; a class map shows {names}"
    )


def list_images(paths: Sequence[Path]) -> list[Path]:
    """The image files named, or in the folders named, at most 24. Raises AdoptionError where there
    are none."""
    files = [file for path in paths for file in (images_below(path) if path.is_dir() else [path])]
    if paths and not files:
        raise AdoptionError(f"there are no images in {', '.join(map(str, paths))}")
    return files[:_MOST_IMAGES]


def read_images(paths: Sequence[Path], channels: int) -> list[NDArray[np.uint8]]:
    """The images uint8 (H, W, channels). Raises AdoptionError."""
    try:
        return [read_image(path, channels) for path in paths]
    except DatasetError as error:
        raise AdoptionError(str(error)) from error


def write_preview(
    path: Path,
    wrapped: Wrapped,
    classes: Sequence[SegmentationClass],
    files: Sequence[Path],
) -> list[float]:
    """Write an HTML page of what the wrapped model makes of its images, which are of `files`; gives
    each class's share of all their pixels."""
    figures, counts = [], np.zeros(256, np.int64)
    for file, image in zip(files, wrapped.images, strict=True):
        class_map = wrapped.class_map(image)
        counts += np.bincount(class_map.ravel(), minlength=256)
        figures.append(Figure(draw_tile(file.name, image, class_map, classes).uri, file.name))
    shares: list[float] = (counts[: len(classes)] / counts.sum()).tolist()
    rows = [(c.name, c.id, f"{share:.2%}") for c, share in zip(classes, shares, strict=True)]
    notes = [note.split(": ", 1) for note in wrapped.notes]
    sections = [
        Section("What it takes and gives", [Table(("", ""), notes)]),
        Section(
            "What it makes of the images",
            [
                Text(
                    "Image, class map, and the one over the other. Nonsense, or one class "
                    "everywhere, often means the wrong scaling, mean and std, or channel order."
                ),
                Legend(classes),
                Gallery(figures),
                Table(("class", "id", "share of pixels"), rows, [c.color for c in classes]),
            ],
        ),
    ]
    write_page(path, "A model to adopt", "Nothing has been written yet.", sections)
    return shares


def adopted_facts(
    name: str,
    class_list: ClassList,
    architecture: str,
    scale: str = "auto",
    overlap: Overlap | None = None,
) -> ModelFacts:
    """What the contract says of an adopted model, `scale` as a recipe has it. What values its
    pictures had is not known, so that percentiles of deeper ones become black and white. Raises
    AdoptionError where the name cannot stand in a URL."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError as error:
        raise AdoptionError(
            f"the name {name!r} cannot stand in a URL; take letters, digits, dots, - and _, 64 at "
            "most"
        ) from error
    return ModelFacts(
        name=name,
        classes=class_list.classes,
        background=class_list.background if overlap is None else 0,
        ignore=class_list.ignore,
        architecture=architecture,
        upsampling="not known",
        training=None,
        scale=read_scale(scale),
        intensity=BY_PERCENTILES,
        overlap=overlap,
    )


def adopted_card(name: str, file: str, class_list: ClassList, wrapped: Wrapped) -> str:
    """The model card of an adopted model, as Markdown."""
    notes = "\n".join(f"- {note}" for note in wrapped.notes)
    classes = "\n".join(f"| {c.id} | {c.name} | {c.color} |" for c in class_list.classes)
    return f"""# {name}

Adopted from {json.dumps(file)}, {wrapped.parameters:,} parameters. It was trained elsewhere: \
its data, their licence and its scores are not known here.

`segtrain evaluate STORE/{name}/VERSION --data FOLDER` scores it on a data set.

## How it is wrapped

{notes}

All of this is part of the graph, which takes pixel values 0–255.

## Classes

| id | class | colour |
|---|---|---|
{classes}

## Limits

The model knows the classes above and gives every pixel one of them, whatever the picture shows. \
Not for decisions about safety.
"""
