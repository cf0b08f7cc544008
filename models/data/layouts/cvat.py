"""CVAT for images 1.1: annotations.xml beside the images, which lie where they like.

Shapes are drawn by their z_order, those of one in the file's order: a later one lies on top.
"""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import DatasetError
from models.data.files import files_below
from models.data.layouts.annotated import (
    FAULTY,
    AnnotatedPicture,
    Annotations,
    Label,
    Shape,
    as_layout,
    split_of,
)
from models.data.layouts.geometry import (
    Bitmap,
    Ellipse,
    Geometry,
    Polygon,
    Size,
    picture_size,
    rectangle,
    require_finite,
    ring,
    zeros_and_ones,
)
from models.data.layouts.image_index import ImageIndex
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    images_below,
    split_name,
)
from models.data.names import tidy
from models.data.options import LayoutOptions

_TOOL = "CVAT"
_AREAS = ("mask", "polygon", "box", "ellipse")
_NO_AREA = ("polyline", "points", "cuboid", "skeleton")
_START_BYTES = 2**12
_COLOR = re.compile(r"^#[0-9a-fA-F]{6}$")


def parse_cvat(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read every annotations file of CVAT's. Raises DatasetError where one is of a video, and where
    the classes cannot be known."""
    files = [
        path for path in files_below(folder) if path.suffix.lower() == ".xml" and _is_of_cvat(path)
    ]
    if not files:
        return None
    annotations = Annotations()
    index = ImageIndex(images_below(folder))
    for path in files:
        try:
            root = _parsed(path)
        except ElementTree.ParseError as error:
            annotations.error(FAULTY, f"{path} is not XML: {error}; export it again")
            continue
        _require_images(path, root)
        annotations.labels += _labels(root)
        for image in root.iter("image"):
            _add(path, image, folder, index, annotations)
    annotations.labels = list({tidy(label.name): label for label in annotations.labels}.values())
    return as_layout(annotations, folder, options, _TOOL)


def _is_of_cvat(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<annotations" in file.read(_START_BYTES)


def _parsed(path: Path) -> ElementTree.Element:
    """The file's tree. Raises ParseError, and DatasetError where it declares entities, which CVAT
    never does and which grow without bound."""
    with path.open("rb") as file:
        if b"<!DOCTYPE" in file.read(_START_BYTES):
            raise DatasetError(f"{path} has a DOCTYPE, which CVAT never writes; export it again")
    return ElementTree.parse(path).getroot()


def _require_images(path: Path, root: ElementTree.Element) -> None:
    """Raise DatasetError where the shapes are tracks through a video."""
    if root.find("track") is not None and root.find("image") is None:
        raise DatasetError(
            f"{path} is CVAT for video, whose shapes are tracks; export the task as CVAT for "
            "images 1.1, with its images"
        )


def _labels(root: ElementTree.Element) -> Iterator[Label]:
    """The labels of the project or task in their order, without the points of skeletons."""
    for label in root.iterfind("meta/*/labels/label"):
        name, color = label.findtext("name", ""), label.findtext("color", "")
        if name and label.find("parent") is None and label.findtext("type") != "tag":
            yield Label(name, color.lower() if _COLOR.match(color) else None)


def _add(
    path: Path,
    element: ElementTree.Element,
    folder: Path,
    index: ImageIndex,
    annotations: Annotations,
) -> None:
    """Add an image's shapes, or what is wrong with it."""
    name = element.get("name", "")
    match = index.named(name)
    if match.only is None:
        several = " and ".join(map(str, match.images))
        annotations.error(
            "two images" if several else "no image",
            f"{path}: the image {name!r} may be {several}; take out what is not meant"
            if several
            else f"{path}: the image {name!r} is not in {folder}; export with images, or put the "
            "task's images there",
        )
        return
    try:
        size = picture_size(element.attrib["width"], element.attrib["height"])
    except ENTRY_FAULTS as error:
        annotations.error(
            FAULTY, f"{path}: {name!r} is not as CVAT writes it ({fault_text(error)})"
        )
        return
    shapes, faults = _shapes(element, size, annotations)
    for text in faults:
        annotations.error(FAULTY, f"{path}: {name!r} is not as CVAT writes it ({text})")
    if faults:
        return
    split = split_name(element.get("subset", "")) or split_of(match.only, folder)
    annotations.pictures.append(AnnotatedPicture(path, match.only, size, shapes, split or UNSPLIT))


def _shapes(
    image: ElementTree.Element, size: Size, annotations: Annotations
) -> tuple[tuple[Shape, ...], list[str]]:
    """The shapes that cover pixels, what lies on top last, and what is wrong with others."""
    drawn, faults = [], []
    for number, element in enumerate(image):
        if element.tag in _NO_AREA:
            annotations.leave_out(
                "shapes that cover no pixels (points, lines, cuboids, skeletons), left out: {count}"
            )
        if element.tag not in _AREAS:
            continue
        name = f"shape {number + 1}, the {element.tag} {element.get('label')!r},"
        try:
            label = element.attrib["label"]
            geometry = _geometry(element.tag, element.attrib, size)
            place = int(element.get("z_order", "0"))
        except ENTRY_FAULTS as error:
            faults.append(f"{name} {fault_text(error)}")
            continue
        drawn.append((place, Shape(label, name, geometry)))
    drawn.sort(key=lambda entry: entry[0])
    return tuple(shape for _, shape in drawn), faults


def _geometry(tag: str, given: Mapping[str, str], size: Size) -> Geometry:
    """Raises ENTRY_FAULTS."""
    if tag == "mask":
        return _mask(given, size)
    if tag == "polygon":
        corners = [pair.split(",") for pair in given["points"].split(";")]
        return Polygon((ring([(float(x), float(y)) for x, y in corners]),))
    rotation = float(given.get("rotation", "0"))
    if tag == "ellipse":
        x, y, rx, ry = (float(given[name]) for name in ("cx", "cy", "rx", "ry"))
        require_finite(np.array([x, y, rx, ry, rotation]))
        return Ellipse(x, y, rx, ry, rotation)
    left, top, right, bottom = (float(given[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
    return rectangle(left, top, right - left, bottom - top, rotation, around_center=True)


def _mask(given: Mapping[str, str], size: Size) -> Bitmap:
    """Run lengths of zeros and ones in turn, row by row in their box. Raises ENTRY_FAULTS."""
    left, top, width, height = (int(given[name]) for name in ("left", "top", "width", "height"))
    if min(left, top, width, height) < 0 or left + width > size[0] or top + height > size[1]:
        raise ValueError(
            f"has a box of {width}×{height} at {left}, {top}, which is not in its picture of "
            f"{size[0]}×{size[1]}"
        )
    runs = np.array([int(run) for run in given["rle"].split(",")], np.int64)
    return Bitmap(left, top, partial(_decoded, runs, height, width))


def _decoded(runs: NDArray[np.int64], height: int, width: int, _size: Size) -> NDArray[np.bool_]:
    return zeros_and_ones(runs, height, width)
