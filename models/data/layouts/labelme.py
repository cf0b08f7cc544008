"""LabelMe: a JSON file an image, with shapes to draw."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.data.dataset import DatasetError
from models.data.files import files_below, find_file, same_name
from models.data.layouts.class_files import Classes, read_class_list, unknown_classes
from models.data.layouts.class_ids import ClassIds, distinct
from models.data.layouts.geometry import picture_size
from models.data.layouts.json_files import load_loose_json, mentions
from models.data.layouts.labelme_drawing import DRAW, DrawnMask, Shape
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    add_drawn,
    fault_text,
    images_below,
    json_object,
    make_class_list,
    own_split,
    require_no_value_mapping,
    split_name,
)
from models.data.names import counted, is_background, is_void, stated_name
from models.data.options import LayoutOptions

_FAULTY = "faulty shapes"


@dataclass
class _Documents:
    """The files of shapes, without the images that they embed. `faulty` are those that could not be
    read."""

    by_path: dict[Path, dict[str, Any]]
    faulty: dict[Path, str]

    @classmethod
    def below(cls, folder: Path) -> "_Documents":
        documents = cls({}, {})
        for path in files_below(folder):
            if path.suffix.lower() == ".json" and path.name != "classes.json":
                documents._read(path)
        return documents

    def _read(self, path: Path) -> None:
        if not mentions(path, "shapes"):
            return
        try:
            document = load_loose_json(path)
        except DatasetError as error:
            self.faulty[path] = str(error)
            return
        if not isinstance(document, dict) or "shapes" not in document:
            return
        if not isinstance(document["shapes"], list):
            self.faulty[path] = f"{path}: shapes is not a list; save it again"
            return
        document.pop("imageData", None)
        self.by_path[path] = document

    @property
    def labels(self) -> list[str]:
        """Every label, ascending."""
        labels = set()
        for document in self.by_path.values():
            for shape in document["shapes"]:
                with contextlib.suppress(*ENTRY_FAULTS):  # told of where it is drawn
                    labels.add(stated_name(json_object(shape)["label"]))
        return sorted(labels)


def parse_labelme(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the shapes of every JSON file. Raises DatasetError where there are too many classes or
    classes.json is faulty."""
    documents = _Documents.below(folder)
    if not documents.by_path and not documents.faulty:
        return None
    require_no_value_mapping(options, "LabelMe")
    classes = _classes(folder, documents.labels)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    for text in documents.faulty.values():
        found.error(_FAULTY, text)
    ids = ClassIds(classes.class_list, documents.labels, options.unlabelled)
    images = images_below(folder)
    finder = _ImageFinder(images)
    splits = _splits(documents.by_path, folder)
    drawn = []
    used = set()
    for path, document in documents.by_path.items():
        image = finder.image_of(path, document, found)
        if image is None:
            continue
        used.add(image.resolve())
        mask = _mask(found, path, image, document, ids)
        if mask is not None:
            drawn.append((splits[path], image, mask))
    add_drawn(found, drawn, ids.rest)
    bare = [image for _, image, mask in drawn if not mask.shapes]
    if bare and len(bare) < len(drawn):
        found.warning(
            "no annotation",
            f"{folder}: {len(bare)} of {counted(len(drawn), 'image')}, such as {bare[0]}, have no "
            "shape and are background all over",
        )
    read = documents.by_path.keys() | documents.faulty.keys()
    folders = {path.parent for path in read} | {image.parent for _, image, _ in drawn}
    for image in images:
        has_json = image.resolve() in used or image.with_suffix(".json") in read
        if image.parent in folders and not has_json:
            found.warning("no shapes", f"{image} has no JSON of shapes and is left out")
    others = [image for image in images if image.parent not in folders and _is_unused(image, used)]
    if others:
        found.warning(
            "images left out",
            f"{folder}: {counted(len(others), 'image')} in other folders, such as {others[0]}, "
            "have no JSON of shapes and are left out",
        )
    return found


def _is_unused(image: Path, used: Collection[Path]) -> bool:
    return image.resolve() not in used


def _classes(folder: Path, labels: Iterable[str]) -> Classes:
    """classes.json if there is one; else background and the labels in alphabetical order."""
    if (folder / "classes.json").is_file():
        return read_class_list(folder / "classes.json")
    named = [
        label
        for label in distinct(labels, f"{folder}: labels")
        if not is_void(label) and not is_background(label)
    ]
    if not named:
        return unknown_classes(folder, f"{folder}: no shape has a label that names a class")
    try:
        return Classes(make_class_list(folder.name or "labelme", ["background", *named], "LabelMe"))
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(named)} labels; segtrain takes 1 to 254 of different names"
        ) from error


def _splits(paths: Collection[Path], folder: Path) -> dict[Path, str]:
    """The split of each file by the folders above it. Where some are called train, val or test,
    another beside them (dev) is a split of its own name."""
    splits = {
        path: next(
            (s for word in path.relative_to(folder).parts[:-1] if (s := split_name(word))), UNSPLIT
        )
        for path in paths
    }
    if set(splits.values()) == {UNSPLIT}:
        return splits
    return {path: split or own_split(path, folder) for path, split in splits.items()}


class _ImageFinder:
    """Finds the image that a file of shapes is of: the one that lies beside it by its own name,
    else the one it names.

    Whoever copies or renames files leaves the name in them as it was.
    """

    def __init__(self, images: Iterable[Path]) -> None:
        self._by_stem: dict[tuple[Path, str], list[Path]] = defaultdict(list)
        for image in images:
            self._by_stem[image.parent.resolve(), same_name(image.stem)].append(image)

    def image_of(self, path: Path, document: dict[str, Any], found: ParsedLayout) -> Path | None:
        """The image; None, and an error, where there is none or there are several."""
        name = str(document.get("imagePath") or "")
        last = name.replace("\\", "/").rsplit("/", 1)[-1]
        named = find_file(name, [path.parent]) or find_file(last, [path.parent])
        stem = same_name(path.stem)
        if named is not None and same_name(named.stem) == stem:
            return named
        places = [path.parent, *([named.parent] if named else [])]
        own = next(
            (images for place in places if (images := self._by_stem.get((place.resolve(), stem)))),
            [],
        )
        if len(own) > 1:
            names = " and ".join(image.name for image in own)
            found.error(
                "two images", f"{path} may be of {names}; name the one it is of in imagePath"
            )
            return None
        if own:
            found.warning(
                "another image named",
                f"{path} names the image {name!r} and lies beside {own[0].name}; it is taken for "
                "that one's",
            )
            return own[0]
        if named is None:
            found.error(
                "no image",
                f"{path} is of the image {name!r}, which is not there; add it, or name the file as "
                "its image",
            )
        return named


def _mask(
    found: ParsedLayout, path: Path, image: Path, document: dict[str, Any], ids: ClassIds
) -> DrawnMask | None:
    """The mask of a file's shapes; None, and errors, where some of it is not as LabelMe has it."""
    shapes, faults = _shapes(path, document["shapes"], ids)
    size = None
    try:
        size = _stated_size(document)
    except ENTRY_FAULTS as error:
        faults.append(f"{path}: imageWidth and imageHeight are not a size ({error}); save it again")
    for text in faults:
        found.error(_FAULTY, text)
    return None if faults else DrawnMask(path, image, size, shapes, ids.rest)


def _stated_size(document: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where the file does not say them. Raises ENTRY_FAULTS where they are
    none."""
    width, height = document.get("imageWidth"), document.get("imageHeight")
    if not width or not height:
        return None
    return picture_size(width, height)


def _shapes(path: Path, entries: list[Any], ids: ClassIds) -> tuple[tuple[Shape, ...], list[str]]:
    """The shapes that can be drawn, and sentences about the others, each once."""
    shapes, faults = [], dict[str, None]()
    for index, entry in enumerate(entries):
        try:
            shapes.append(_shape(path, index, entry, ids))
        except DatasetError as error:
            faults[str(error)] = None
        except ENTRY_FAULTS as error:
            text = (
                f"{path}: shapes[{index}] is not as LabelMe writes it ({fault_text(error)}); "
                "save it again"
            )
            faults[text] = None
    return tuple(shapes), list(faults)


def _shape(path: Path, index: int, entry: Any, ids: ClassIds) -> Shape:
    """Read a shape. Raises DatasetError where it cannot be drawn, ENTRY_FAULTS where it is none."""
    shape = json_object(entry)
    kind = str(shape.get("shape_type") or "polygon")
    label = stated_name(shape["label"])
    try:
        class_id = ids.id_of(label)
    except DatasetError as error:
        raise DatasetError(f"{path}: the label {error}") from error
    if class_id is None:
        raise DatasetError(
            f"{path} has the label {label!r}, which classes.json does not list; add it there"
        )
    if kind not in DRAW:
        raise DatasetError(f"{path} has a {kind}; segtrain draws {', '.join(DRAW)}")
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    if not all(map(math.isfinite, (value for point in points for value in point))):
        raise ValueError("a coordinate is not a number")
    name = f"shapes[{index}], the {kind} {label!r},"
    return Shape(class_id, name, kind, points, shape.get("mask"))
