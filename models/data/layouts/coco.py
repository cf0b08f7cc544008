"""COCO (Lin et al. 2014): JSON with images, annotations and categories; regions as polygons or run
lengths."""

import contextlib
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from models.data.dataset import VOID, ClassList, DatasetError, Issue
from models.data.files import find_file
from models.data.layouts.class_files import Classes, read_class_list, unknown_classes
from models.data.layouts.class_ids import ClassIds, distinct
from models.data.layouts.coco_drawing import CocoMask, Region
from models.data.layouts.coco_files import (
    Document,
    Key,
    Places,
    annotation_files,
    fault_issue,
    flag,
    image_places,
    key_of,
    read_document,
    shift_of_ids,
    splits_of,
)
from models.data.layouts.geometry import picture_size
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    ParsedLayout,
    add_drawn,
    json_object,
    make_class_list,
    require_no_value_mapping,
    warn_of_unlisted,
)
from models.data.names import counted, is_background, is_void
from models.data.options import LayoutOptions

BACKGROUND = "background"
_LEFT_OUT = "annotations left out"


def parse_coco(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the annotation files. Raises DatasetError where classes.json is faulty, and where there
    are too many categories or no images."""
    faults: list[Issue] = []
    documents = [
        document
        for path in annotation_files(folder)
        if (document := read_document(path, faults)) is not None
    ]
    if not documents and not faults:
        return None
    require_no_value_mapping(options, "COCO")
    groups = _grouping_names(documents)
    names = _category_names(documents, groups)
    classes = _classes(folder, names, documents)
    found = ParsedLayout(classes.class_list, issues=[*faults, *classes.issues])
    for name in sorted(groups):
        text = (
            f"{folder}: the category {name!r} groups other categories and no region is of it; "
            "it is no class"
        )
        found.warning("grouping category", text)
    ids = ClassIds(classes.class_list, names, options.unlabelled)
    reader = _Reader(found, folder, ids, groups)
    for document, split in zip(documents, splits_of(documents, folder), strict=True):
        reader.add(document, split)
    reader.finish()
    if not found.samples and not found.issues:
        raise DatasetError(f"{documents[0].path} lists no images")
    return found


def _grouping_names(documents: Sequence[Document]) -> set[str]:
    """Categories that are others' supercategory and have no annotation, as Roboflow's first: no
    classes."""
    groups = {name for document in documents for name in document.supercategories}
    for document in documents:
        for annotation in document.annotations:
            if isinstance(annotation, dict) and "category_id" in annotation:
                try:
                    groups.discard(document.categories.get(key_of(annotation["category_id"]), ""))
                except TypeError:
                    continue
    return groups & {name for document in documents for name in document.categories.values()}


def _category_names(documents: Sequence[Document], groups: Collection[str]) -> list[str]:
    """The categories' names by their ids, but for those that group others."""
    keys = {name: key for document in documents for key, name in document.categories.items()}

    def place(name: str) -> tuple[bool, int, str]:
        key = keys[name]
        return (isinstance(key, str), key if isinstance(key, int) else 0, str(key) + name)

    return [name for name in sorted(keys, key=place) if name not in groups]


def _classes(folder: Path, names: Sequence[str], documents: Sequence[Document]) -> Classes:
    """classes.json if there is one, or the classes of segserve's own answers; else background and
    the categories by their ids."""
    if (folder / "classes.json").is_file():
        return read_class_list(folder / "classes.json")
    if not names:
        return unknown_classes(folder, f"{folder}: no annotation file lists a category")
    own = _own_classes(folder, names, documents)
    if own is not None:
        return Classes(own)
    named = [
        name
        for name in distinct(names, f"{folder}: categories")
        if not is_background(name) and not is_void(name)
    ]
    try:
        return Classes(
            make_class_list(folder.name or "coco", [BACKGROUND, *named], "COCO annotations")
        )
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {len(names)} categories; segtrain takes 1 to 254 of different names"
        ) from error


def _own_classes(
    folder: Path, names: Sequence[str], documents: Sequence[Document]
) -> ClassList | None:
    """The classes of segserve's own answers, with the ids of the model that gave them; None for
    other files."""
    found = {name: own for document in documents for name, own in document.own_classes.items()}
    if len(found) < len(names) or any(
        document.own_classes.get(name, own) != own
        for document in documents
        for name, own in found.items()
    ):
        return None
    ordered = sorted((class_id, name, color) for name, (class_id, color) in found.items())
    classes = [{"id": key, "name": name, "color": color} for key, name, color in ordered]
    document = {"name": folder.name or "coco", "classes": classes, "ignore": VOID}
    with contextlib.suppress(ValidationError):
        return ClassList.model_validate(document)
    return None


class _Reader:
    """Adds the images of annotation files to what was found."""

    def __init__(
        self, found: ParsedLayout, folder: Path, ids: ClassIds, groups: Collection[str]
    ) -> None:
        self._found = found
        self._folder = folder
        self._ids = ids
        self._groups = groups
        self._drawn: list[tuple[str, Path, CocoMask]] = []
        self._listed: list[Path] = []

    def add(self, document: Document, split: str) -> None:
        places = image_places(self._folder, document.path, split)
        regions = self._regions(document)
        if self._counts_otherwise(document, regions):
            return
        seen: dict[Key, str] = {}
        bare = []
        for index, image in enumerate(document.images):
            try:
                name = str(json_object(image)["file_name"])
                file = self._file(name, places, document.path)
                key, size = key_of(image["id"]), _size(image)
                if seen.setdefault(key, name) != name:
                    raise ValueError(f"its id {key} is that of {seen[key]} too")
            except ENTRY_FAULTS as error:
                self._found.issues.append(fault_issue(document.path, f"images[{index}]", error))
                continue
            if file is None:
                continue
            of_image = regions.get(key, [])
            if not of_image:
                bare.append(name)
            known = tuple(region for region in of_image if region is not None)
            if len(known) == len(of_image):
                mask = CocoMask(document.path, name, *size, known, self._ids.rest)
                self._drawn.append((split, file, mask))
        if bare and any(regions.values()):
            text = (
                f"{document.path}: {len(bare)} of {len(document.images)} images, such as "
                f"{bare[0]}, have no annotation and are background all over"
            )
            self._found.warning("no annotation", text)

    def finish(self) -> None:
        add_drawn(self._found, self._drawn, self._ids.rest)
        self._report_partial()
        what = f"{self._folder}: no annotation file lists"
        warn_of_unlisted(self._found, self._listed, self._listed, what, self._folder)

    def _report_partial(self) -> None:
        """Tell of images that are in one and not in another of the files that share images."""
        files: dict[tuple[str, Path], set[Path]] = defaultdict(set)
        for split, image, mask in self._drawn:
            files[split, image].add(mask.path)
        sharing = {path for of_image in files.values() if len(of_image) > 1 for path in of_image}
        alone = [image for (_, image), of in files.items() if len(of) == 1 and of <= sharing]
        if alone:
            names = " and ".join(path.name for path in sorted(sharing))
            self._found.warning(
                "images of one file",
                f"{self._folder}: {names} tell of the same images but for {len(alone)}, such as "
                f"{alone[0]}, which one of them alone lists; what the others would draw there is "
                "background",
            )

    def _file(self, name: str, places: "Places", path: Path) -> Path | None:
        """The image's file; None, and an error, where it is nowhere or at two places."""
        for folders in (places.of_split, places.of_all):
            files = [file for folder in folders if (file := find_file(name, [folder]))]
            different = {file.resolve() for file in files}
            if len(different) > 1:
                text = (
                    f"{path} lists {name}, and {' and '.join(map(str, files))} are that; take "
                    "out the one that is not meant"
                )
                self._found.error("two images", text)
                return None
            if files:
                self._listed.append(files[0])
                return files[0]
        last = name.replace("\\", "/").rsplit("/", 1)[-1]
        elsewhere = find_file(last, [*places.of_split, *places.of_all])
        hint = f"; {elsewhere} is: if that is meant, write so" if elsewhere else ""
        self._found.error(
            "no image",
            f"{path} lists {name}, which is not there{hint or '; add it or export again'}",
        )
        return None

    def _regions(self, document: Document) -> dict[Key, list[Region | None]]:
        """The regions by image id; None for one that cannot be used, which an issue tells of.

        Annotations that have no area are left out with a warning.
        """
        class_ids = self._class_ids(document)
        regions: dict[Key, list[Region | None]] = defaultdict(list)
        for index, annotation in enumerate(document.annotations):
            place = f"annotations[{index}]"
            try:
                image_key = key_of(json_object(annotation)["image_id"])
                of_image = regions[image_key]
            except ENTRY_FAULTS as error:
                self._found.issues.append(fault_issue(document.path, place, error))
                continue
            name = f"annotation {annotation.get('id', index)}"
            try:
                if segmentation := _segmentation(annotation):
                    region = _region(annotation, name, segmentation, class_ids)
                    if region is not None and flag(annotation, "ignore"):
                        region = replace(region, class_id=self._void(document, name))
                    of_image.append(region)
                else:
                    text = (
                        f"{document.path}: {name} of image {image_key} has no region, only a "
                        "box, and is left out"
                    )
                    self._found.warning("no region", text)
            except (*ENTRY_FAULTS, DatasetError) as error:
                self._found.issues.append(fault_issue(document.path, place, error))
                of_image.append(None)
        return regions

    def _void(self, document: Document, name: str) -> int:
        """The id of an annotation that says ignore, which is told. Raises DatasetError where
        classes.json ignores nothing."""
        void = self._ids.id_of("ignore")
        assert void is not None  # a void name's id, or the error
        text = f"{document.path}: {name} says ignore, and its pixels are ignored"
        self._found.warning("annotation that says ignore", text)
        return void

    def _class_ids(self, document: Document) -> dict[Key, int | None]:
        """The class of each category; None, and an issue, where classes.json does not list it."""
        class_ids: dict[Key, int | None] = {}
        for key, name in document.categories.items():
            if name in self._groups:
                continue
            try:
                class_ids[key] = self._ids.id_of(name)
            except DatasetError as error:
                class_ids[key] = None
                self._found.error("unknown category", f"{document.path}: {error}")
                continue
            if class_ids[key] is None:
                text = (
                    f"{document.path} has the category {name!r}, which classes.json does not "
                    "list; add it there"
                )
                self._found.error("unknown category", text)
        return class_ids

    def _counts_otherwise(
        self, document: Document, regions: Mapping[Key, Sequence[Region | None]]
    ) -> bool:
        """Tell of annotations that are of no listed image; whether they are because the two count
        otherwise, so that none of the file's images can be trusted."""
        listed = set()
        for image in document.images:
            with contextlib.suppress(*ENTRY_FAULTS):  # told of where it is read
                listed.add(key_of(image["id"]))
        used = {key for key, of_image in regions.items() if of_image}
        lost = [key for key in used if key not in listed]
        if not lost:
            return False
        count = sum(len(regions[key]) for key in lost)
        text = (
            f"{document.path}: {counted(count, 'annotation')} of {counted(len(lost), 'image')} "
            f"that it does not list, such as image_id {lost[0]!r}"
        )
        shift = shift_of_ids(used, listed)
        if shift is None and len(lost) < len(used):
            self._found.warning(_LEFT_OUT, f"{text}; left out")
            return False
        why = (
            "and none of one that it lists"
            if shift is None
            else f"and with {shift:+d} all would be of listed ones: one side may count from 0 and "
            "the other from 1"
        )
        self._found.error(_LEFT_OUT, f"{text}, {why}; export it again")
        return True


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """Height and width. Raises ENTRY_FAULTS."""
    width, height = picture_size(image["width"], image["height"])
    return height, width


def _segmentation(annotation: dict[str, Any]) -> Any:
    """The polygons or run length of an annotation; empty where it is a box alone. Raises TypeError
    and ValueError."""
    if "segments_info" in annotation:
        raise TypeError("it is of the panoptic task, whose regions are in files of their own")
    segmentation = annotation.get("segmentation")
    if segmentation is None or isinstance(segmentation, dict):
        return segmentation
    if not isinstance(segmentation, list):
        raise TypeError("its segmentation is not a polygon or run length")
    if segmentation and all(isinstance(number, int | float) for number in segmentation):
        raise TypeError(
            "its segmentation is one flat list of numbers, where COCO has a list of polygons"
        )
    for polygon in segmentation:
        _require_coordinates(polygon)
    # pycocotools would take four numbers as a box.
    boxes = [polygon for polygon in segmentation if 0 < len(polygon) < 6]
    if boxes and len(segmentation) > 1:
        raise ValueError("a polygon of it has less than three corners")
    return [polygon for polygon in segmentation if len(polygon) >= 6]


def _require_coordinates(polygon: Any) -> None:
    """Raises TypeError and ValueError where it is not x and y in turn."""
    if not isinstance(polygon, list):
        raise TypeError("its segmentation is not a list of polygons")
    if len(polygon) % 2 or not all(_is_number(number) for number in polygon):
        raise ValueError("a polygon of it is not x and y in turn")


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)


def _region(
    annotation: dict[str, Any],
    name: str,
    segmentation: Any,
    class_ids: Mapping[Key, int | None],
) -> Region | None:
    """The region; None where its category is in no class. Raises ENTRY_FAULTS."""
    category = key_of(annotation["category_id"])
    if category not in class_ids:
        raise ValueError(
            f"its category_id is {category}; the categories have "
            f"{', '.join(map(str, class_ids)) or 'none'}"
        )
    class_id = class_ids[category]
    if class_id is None:
        return None
    return Region(class_id, name, segmentation, flag(annotation, "iscrowd"))
