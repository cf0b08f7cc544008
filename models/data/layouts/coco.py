"""COCO (Lin et al. 2014): JSON with images, annotations and categories; regions as polygons or run lengths."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pydantic import ValidationError

from models.data.dataset import DatasetError, Issue, Sample, read_classes
from models.data.layouts.class_files import Classes, unknown_classes
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    json_object,
    make_class_list,
    split_name,
)
from models.data.options import LayoutOptions

BACKGROUND = "background"
# Files of COCO's own annotations/ that hold no regions of things.
_OTHER_TASKS = ("captions", "image_info", "panoptic", "person_keypoints")
_FAULTY = "faulty annotations"


@dataclass(frozen=True)
class Region:
    """One annotation: its class, and its segmentation as COCO has it (polygons, or run lengths)."""

    class_id: int
    segmentation: Any
    area: float | None
    is_crowd: bool


@dataclass(frozen=True, eq=False)
class CocoMask:
    """The regions of one image, drawn by pycocotools.

    Where regions overlap the one of the smaller area is on top, so that a cup is seen on its table; crowds lie below all.
    """

    path: Path
    image_name: str
    height: int
    width: int
    regions: tuple[Region, ...]

    def read(self) -> NDArray[np.uint8]:
        """The class ids uint8 (H, W), 0 where no region is. Raises DatasetError."""
        try:
            ids = np.zeros((self.height, self.width), np.uint8)
            drawn = [(region, self._encoded(region)) for region in self.regions]
            drawn.sort(key=lambda pair: (not pair[0].is_crowd, -_area(*pair)))
            for region, code in drawn:
                ids[coco_mask.decode(code).astype(bool)] = region.class_id
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise DatasetError(
                f"{self.path}: a segmentation of {self.image_name} is not a polygon or run length of its "
                f"{self.width}×{self.height} pixels ({error}); export the annotations again"
            ) from error
        return ids

    def _encoded(self, region: Region) -> Mapping[str, Any]:
        """The region as one compressed run length."""
        parts = region.segmentation
        if isinstance(parts, dict):
            if list(parts["size"]) != [self.height, self.width]:
                raise ValueError(f"its size is {parts['size']}")
            if not isinstance(parts["counts"], list):
                return parts
            if sum(parts["counts"]) != self.height * self.width:
                raise ValueError("its runs are of another length than the image")
            encoded: Mapping[str, Any] = coco_mask.frPyObjects(parts, self.height, self.width)
            return encoded
        polygons = coco_mask.frPyObjects(parts, self.height, self.width)
        merged: Mapping[str, Any] = coco_mask.merge(polygons)
        return merged


@dataclass
class _Document:
    """An annotation file; `categories` are the names by id that could be read."""

    path: Path
    images: list[Any]
    annotations: list[Any]
    categories: dict[int, str]


def parse_coco(folder: Path, options: LayoutOptions) -> ParsedLayout | None:  # noqa: ARG001
    """Read the annotation files. Raises DatasetError where classes.json is faulty, and where there are too many
    categories or no images."""
    faults: list[Issue] = []
    documents = [
        document for path in _files(folder) if (document := _document(path, faults)) is not None
    ]
    if not documents and not faults:
        return None
    classes = _classes(folder, documents)
    found = ParsedLayout(classes.class_list, issues=[*faults, *classes.issues])
    for document in documents:
        _add_document(found, folder, document)
    if not found.samples and not found.issues:
        raise DatasetError(f"{documents[0].path} lists no images")
    return found


def _files(folder: Path) -> list[Path]:
    """COCO's and Roboflow's places of annotation files."""
    paths = [
        *sorted(folder.glob("*.json")),
        *sorted((folder / "annotations").glob("*.json")),
        *sorted(folder.glob("*/_annotations.coco.json")),
    ]
    paths = [path for path in paths if not path.name.startswith(_OTHER_TASKS)]
    instances = [path for path in paths if path.name.startswith("instances")]
    return instances or [path for path in paths if path.name != "classes.json"]


def _document(path: Path, faults: list[Issue]) -> _Document | None:
    """What an annotation file says, and an issue for each fault; None where it is not COCO's or no JSON."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        faults.append(Issue("error", _FAULTY, f"{path} is not JSON: {error}"))
        return None
    parts = ("images", "annotations", "categories")
    if not isinstance(document, dict) or not document.keys() >= set(parts):
        return None
    for part in parts:
        if not isinstance(document[part], list):
            faults.append(Issue("error", _FAULTY, f"{path}: {part} is not a list; export it again"))
            return None
    categories = {}
    for index, entry in enumerate(document["categories"]):
        try:
            category = json_object(entry)
            categories[int(category["id"])] = str(category["name"])
        except ENTRY_FAULTS as error:
            faults.append(_fault(path, f"categories[{index}]", error))
    return _Document(path, document["images"], document["annotations"], categories)


def _fault(path: Path, place: str, error: Exception) -> Issue:
    text = f"{path}: {place} is not as COCO has it ({fault_text(error)}); export it again"
    return Issue("error", _FAULTY, text)


def _classes(folder: Path, documents: list[_Document]) -> Classes:
    """classes.json if there is one; else background and the categories by their ids."""
    if (folder / "classes.json").is_file():
        return Classes(read_classes(folder / "classes.json"), None)
    ids = {name: key for document in documents for key, name in document.categories.items()}
    if not ids:
        return unknown_classes(folder, f"{folder}: no annotation file lists a category")
    names = sorted(ids, key=lambda name: (ids[name], name))
    ordered = [BACKGROUND, *(name for name in names if name.lower() != BACKGROUND)]
    try:
        return Classes(make_class_list(folder.name or "coco", ordered, "COCO annotations"), None)
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(ids)} categories; segtrain takes 1 to 254 of different names"
        ) from error


def _add_document(found: ParsedLayout, folder: Path, document: _Document) -> None:
    split = _split_of(document.path, folder)
    places = _image_folders(folder, document.path, split)
    regions = _regions(found, document)
    for index, image in enumerate(document.images):
        try:
            name, of_image = str(json_object(image)["file_name"]), regions[image["id"]]
            size = int(image["height"]), int(image["width"])
        except ENTRY_FAULTS as error:
            found.issues.append(_fault(document.path, f"images[{index}]", error))
            continue
        file = next((place / name for place in places if (place / name).is_file()), None)
        if file is None:
            text = f"{document.path} lists {name}, which is not there; add it or export again"
            found.error("no image", text)
            continue
        known = tuple(region for region in of_image if region is not None)
        if len(known) == len(of_image):
            found.add(split, Sample(file, CocoMask(document.path, name, *size, known)))


def _regions(found: ParsedLayout, document: _Document) -> dict[Any, list[Region | None]]:
    """The regions by image id; None for one that cannot be used, which an issue tells of.

    Annotations that have no area are left out with a warning.
    """
    class_ids = _class_ids(found, document)
    regions: dict[Any, list[Region | None]] = defaultdict(list)
    for index, annotation in enumerate(document.annotations):
        place = f"annotations[{index}]"
        try:
            image_id = json_object(annotation)["image_id"]
            of_image = regions[image_id]
        except ENTRY_FAULTS as error:
            found.issues.append(_fault(document.path, place, error))
            continue
        try:
            if segmentation := _segmentation(annotation):
                of_image.append(_region(annotation, segmentation, class_ids))
            else:
                what = f"annotation {annotation.get('id')} of image {image_id}"
                text = f"{document.path}: {what} has no region, only a box, and is left out"
                found.warning("no region", text)
        except ENTRY_FAULTS as error:
            found.issues.append(_fault(document.path, place, error))
            of_image.append(None)
    return regions


def _class_ids(found: ParsedLayout, document: _Document) -> dict[int, int | None]:
    """The class of each category; None, and an issue, where classes.json does not list it."""
    ids = {c.name: c.id for c in found.class_list.classes}
    class_ids = {
        key: ids.get(name, 0 if name.lower() == BACKGROUND else None)
        for key, name in document.categories.items()
    }
    for key, name in document.categories.items():
        if class_ids[key] is None:
            text = f"{document.path} has the category {name!r}, which classes.json does not list; add it there"
            found.error("unknown category", text)
    return class_ids


def _segmentation(annotation: dict[str, Any]) -> Any:
    """The polygons or run length of an annotation; empty where it is a box alone. Raises TypeError."""
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, list):
        # pycocotools would take four numbers as a box.
        return [polygon for polygon in segmentation if len(polygon) >= 6]
    if segmentation is None or isinstance(segmentation, dict):
        return segmentation
    raise TypeError("its segmentation is not a polygon or run length")


def _region(
    annotation: dict[str, Any], segmentation: Any, class_ids: Mapping[int, int | None]
) -> Region | None:
    """The region; None where its category is in no class. Raises ENTRY_FAULTS."""
    category_id = int(annotation["category_id"])
    if category_id not in class_ids:
        raise ValueError(
            f"its category_id is {category_id}; the categories have {', '.join(map(str, class_ids)) or 'none'}"
        )
    class_id = class_ids[category_id]
    if class_id is None:
        return None
    return Region(
        class_id, segmentation, annotation.get("area"), bool(annotation.get("iscrowd", 0))
    )


def _split_of(path: Path, folder: Path) -> str:
    """The split a file's name speaks of (instances_train2017.json), or its folder's (Roboflow's train/)."""
    words = re.split(r"[^A-Za-z]+", path.stem)
    if path.parent != folder:
        words.append(path.parent.name)
    return next((split for word in words if (split := split_name(word))), UNSPLIT)


def _image_folders(folder: Path, path: Path, split: str) -> list[Path]:
    """Where the images of an annotation file may lie, the likeliest first."""

    def of_split(parent: Path) -> Iterator[Path]:
        for child in sorted(parent.glob("*/")):
            if split != UNSPLIT and split_name(re.sub(r"[^A-Za-z]", "", child.name)) == split:
                yield child

    images = folder / "images"
    return [*of_split(folder), *of_split(images), path.parent, images, folder]


def _area(region: Region, code: Mapping[str, Any]) -> float:
    return float(coco_mask.area(code)) if region.area is None else float(region.area)
