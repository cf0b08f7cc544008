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

from models.data.dataset import ClassList, DatasetError, Sample, read_classes
from models.data.layouts.layout import UNSPLIT, Found, made_classes, split_name
from models.data.options import LayoutOptions

BACKGROUND = "background"
# Files of COCO's own annotations/ that hold no regions of things.
_OTHER_TASKS = ("captions", "image_info", "panoptic", "person_keypoints")


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
        ids = np.zeros((self.height, self.width), np.uint8)
        try:
            drawn = [(region, self._encoded(region)) for region in self.regions]
            drawn.sort(key=lambda pair: (not pair[0].is_crowd, -_area(*pair)))
            for region, code in drawn:
                ids[coco_mask.decode(code).astype(bool)] = region.class_id
        except (TypeError, ValueError, KeyError, IndexError) as error:
            raise DatasetError(
                f"{self.path}: a segmentation of {self.image_name} is no polygon or run length of its "
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


def find_coco(folder: Path, options: LayoutOptions) -> Found | None:  # noqa: ARG001
    """Read the annotation files. Raises DatasetError where one does not hold together."""
    documents = [(path, document) for path in _files(folder) if (document := _document(path))]
    if not documents:
        return None
    class_list = _classes(folder, [document for _, document in documents])
    found = Found(class_list)
    for path, document in documents:
        _add_document(found, folder, path, document)
    if not found.samples and not found.findings:
        raise DatasetError(f"{documents[0][0]} lists no images")
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


def _document(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_bytes())
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if isinstance(document, dict) and {"images", "annotations", "categories"} <= document.keys():
        return document
    return None


def _classes(folder: Path, documents: list[dict[str, Any]]) -> ClassList:
    """classes.json if there is one; else background and the categories by their ids."""
    if (folder / "classes.json").is_file():
        return read_classes(folder / "classes.json")
    categories = {
        str(category["name"]): int(category["id"])
        for document in documents
        for category in document["categories"]
    }
    names = sorted(categories, key=lambda name: (categories[name], name))
    ordered = [BACKGROUND, *(name for name in names if name.lower() != BACKGROUND)]
    try:
        return made_classes(folder.name or "coco", ordered, "COCO annotations")
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(categories)} categories; segtrain takes 1 to 254 of different names"
        ) from error


def _add_document(found: Found, folder: Path, path: Path, document: dict[str, Any]) -> None:
    split = _split_of(path, folder)
    places = _image_folders(folder, path, split)
    try:
        regions = _regions(found, path, document)
        for image in document["images"]:
            name = str(image["file_name"])
            file = next((place / name for place in places if (place / name).is_file()), None)
            if file is None:
                found.error(
                    "no image", f"{path} lists {name}, which is not there; add it or export again"
                )
                continue
            size = int(image["height"]), int(image["width"])
            mask = CocoMask(path, name, *size, tuple(regions[image["id"]]))
            found.add(split, Sample(file, mask))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is not as COCO's annotations are ({type(error).__name__}: {error}); export it again"
        ) from error


def _regions(found: Found, path: Path, document: dict[str, Any]) -> dict[Any, list[Region]]:
    """The regions by image id; annotations that have no area are left out with a finding."""
    ids = {c.name: c.id for c in found.class_list.classes}
    class_ids = {}
    for category in document["categories"]:
        name = str(category["name"])
        known = ids.get(name, 0 if name.lower() == BACKGROUND else None)
        if known is None:
            raise DatasetError(
                f"{path} has the category {name!r}, which classes.json does not list; add it there"
            )
        class_ids[category["id"]] = known
    regions: dict[Any, list[Region]] = defaultdict(list)
    for annotation in document["annotations"]:
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, list):
            # pycocotools would take four numbers as a box.
            segmentation = [polygon for polygon in segmentation if len(polygon) >= 6]
        if not segmentation:
            what = f"annotation {annotation.get('id')} of image {annotation['image_id']}"
            found.warning("no region", f"{path}: {what} has no region, only a box, and is left out")
            continue
        area = annotation.get("area")
        crowd = bool(annotation.get("iscrowd", 0))
        class_id = class_ids[annotation["category_id"]]
        regions[annotation["image_id"]].append(Region(class_id, segmentation, area, crowd))
    return regions


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
