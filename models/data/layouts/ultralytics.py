"""Ultralytics' data sets for semantic segmentation: a YAML file that names images and classes;
masks in a folder beside that of the images, else polygons in labels/*.txt, a later line on top."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from models.data.dataset import IMAGE_SUFFIXES, VOID, DatasetError, Sample
from models.data.files import find_file, is_file, is_hidden
from models.data.layouts.class_files import Classes
from models.data.layouts.coded_masks import coded_classes, require_own_values, without_void
from models.data.layouts.geometry import Polygon, ring
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    images_below,
    warn_of_unlisted,
)
from models.data.layouts.region_mask import Area, RegionMask
from models.data.masks import FileMask
from models.data.names import is_background
from models.data.options import LayoutOptions

_TOOL = "Ultralytics"
_MAX_BYTES = 2**20
_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_IGNORED = ("ignore_label", None)


@dataclass(frozen=True)
class _Config:
    """What the YAML file says. `masks_dir` None has polygons."""

    path: Path
    root: Path
    splits: Mapping[str, Any]
    names: list[str]
    masks_dir: str | None
    mapping: Mapping[int, int]


def parse_ultralytics(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the one YAML file with train and names. Raises DatasetError where it is faulty, or where
    there are several."""
    configs = [
        (path, document)
        for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
        if not is_hidden(path) and (document := _document(path)) is not None
    ]
    if not configs:
        return None
    if len(configs) > 1:
        names = ", ".join(path.name for path, _ in configs)
        raise DatasetError(f"{folder} has several data sets' YAML files, {names}; leave one")
    require_own_values(options, "Ultralytics' YAML")
    try:
        config = _config(*configs[0], folder)
    except ENTRY_FAULTS as error:
        raise DatasetError(
            f"{configs[0][0]} is not as Ultralytics has it ({fault_text(error)})"
        ) from error
    ignores_rest = config.masks_dir is None and options.unlabelled == "ignore"
    classes, ids = _classes(config, ignores_rest)
    found = ParsedLayout(classes.class_list)
    missing = []
    labeled: dict[Path, Path] = {}
    for split, image in _images(config, found):
        first = labeled.setdefault(image.with_suffix(""), image)
        if first != image:
            found.error(
                "shared mask",
                f"{first} and {image} have one name, and so one mask; take out what is not meant",
            )
        mask = _mask_of(image, config, classes, ids, found)
        if mask is None:
            missing.append(image)
        else:
            found.add(split, Sample(image, mask))
    found.warn_of_images("no mask", folder, missing, "without a mask, left out")
    if not found.samples and not found.issues:
        raise DatasetError(f"{config.path} names no images")
    named = list(labeled.values())
    warn_of_unlisted(found, named, named, f"{config.path} does not name", config.root)
    return found


def _document(path: Path) -> dict[str, Any] | None:
    """What a YAML file holds, where it is of a data set."""
    if path.stat().st_size > _MAX_BYTES:
        return None
    try:
        document = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    is_dataset = isinstance(document, dict) and "train" in document
    return document if is_dataset and {"names", "nc"} & document.keys() else None


def _config(path: Path, document: dict[str, Any], folder: Path) -> _Config:
    """Raises ENTRY_FAULTS."""
    root = folder
    if given := document.get("path"):
        named = folder / str(given)
        root = named if named.is_dir() else folder
    names = document.get("names")
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise ValueError("its names are not numbered from 0 on")
        names = [names[number] for number in range(len(names))]
    if "kpt_shape" in document:
        raise ValueError("it has kpt_shape: its labels are key points of poses, not areas")
    if isinstance(names, list) and document.get("nc") not in (None, len(names)):
        raise ValueError(f"its nc is {document['nc']}, and its names are {len(names)}")
    if names is None:
        names = [f"class_{number}" for number in range(int(document["nc"]))]
    if not isinstance(names, list) or not names:
        raise TypeError("its names are no list")
    masks_dir = document.get("masks_dir") or ("masks" if (root / "masks").is_dir() else None)
    splits = {_SPLITS[key]: value for key, value in document.items() if key in _SPLITS and value}
    if splits.get("train") == splits.get("val") is not None:  # val has to be there, and is no split
        splits = {UNSPLIT: splits["train"], "test": splits.get("test")}
    return _Config(
        path,
        root,
        splits,
        [str(name) for name in names],
        None if masks_dir is None else str(masks_dir).strip("/"),
        _mapping(document.get("label_mapping") or {}),
    )


def _mapping(given: Any) -> dict[int, int]:
    """The class id or VOID of each value that the file maps."""
    if not isinstance(given, dict):
        raise TypeError("its label_mapping is no mapping")
    return {
        int(value): VOID if target in _IGNORED else int(target) for value, target in given.items()
    }


@dataclass(frozen=True)
class _Ids:
    """The id, or VOID, of each polygon's class, and that of what no polygon covers."""

    of_polygons: Mapping[int, int]
    rest: int


def _classes(config: _Config, ignores_rest: bool) -> tuple[Classes, _Ids]:
    """The classes and their values, and those of polygons. With one name there are two classes,
    the first without a name; names that are void are no classes. With `ignores_rest` background is
    none either, unless it has a name."""
    names, count, first = config.names, len(config.names), 0
    rest = next((place for place, name in enumerate(names) if is_background(name)), 0)
    if count == 1:
        names, first = ["background", *names], 1
    elif config.masks_dir is None and not ignores_rest and not is_background(names[rest]):
        names, rest = [*names, "background"], count
    kept, ids = without_void(dict(enumerate(names)))
    if any(target not in ids for target in config.mapping.values()):
        raise DatasetError(f"{config.path}: label_mapping leads to ids beyond its {count} names")
    values = ids | {value: ids[target] for value, target in config.mapping.items()}
    values = {value: target for value, target in values.items() if 0 <= value < 256}
    of_polygons = {place: ids[first + place] for place in range(count)}
    coded = coded_classes(config.root.name, _TOOL, kept, values)
    return coded, _Ids(of_polygons, VOID if ignores_rest else ids[rest])


def _images(config: _Config, found: ParsedLayout) -> Iterator[tuple[str, Path]]:
    """The images of each split: of folders, and of lists of files."""
    for split, given in config.splits.items():
        for entry in given if isinstance(given, list) else [given] if given else []:
            place = config.root / str(entry)
            if place.is_dir():
                yield from ((split, image) for image in images_below(place))
            elif is_file(place) and place.suffix.lower() == ".txt":
                for line in place.read_text(encoding="utf-8-sig").splitlines():
                    image = find_file(line.strip(), [place.parent, config.root])
                    if image is not None:
                        yield split, image
                    elif line.strip():
                        found.error("no image", f"{place} lists {line.strip()}, which is not there")
            else:
                found.error(
                    "no folder", f"{config.path}: {split} is {place}, which is not there; fix it"
                )


def _mask_of(
    image: Path, config: _Config, classes: Classes, ids: _Ids, found: ParsedLayout
) -> FileMask | RegionMask | None:
    """The mask at the place where the last folder images/ of a path is exchanged for that of the
    masks, or of the labels; None where there is none."""
    parts = list(image.parts)
    places = [place for place, part in enumerate(parts[:-1]) if part == "images"]
    if not places:
        found.error("no images folder", f"{image} is not below a folder called images")
        return None
    parts[places[-1]] = config.masks_dir or "labels"
    base = Path(*parts)
    if config.masks_dir is None:
        labels = base.with_suffix(".txt")
        return _drawn(labels, image, ids, found) if is_file(labels) else None
    endings = [".png", *sorted(IMAGE_SUFFIXES - {".png"})]
    mask = next((path for end in endings if is_file(path := base.with_suffix(end))), None)
    return None if mask is None else FileMask(mask, classes.encoding)


def _drawn(path: Path, image: Path, ids: _Ids, found: ParsedLayout) -> RegionMask | None:
    """The polygons of a file: a line each, its class and shares of width and height."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ENTRY_FAULTS as error:
        found.error("faulty annotations", f"{path}: {error}; fix it")
        return None
    areas, sound = [], True
    for number, line in enumerate(lines, start=1):
        try:
            areas += [_area(f"line {number}", cells, ids)] if (cells := line.split()) else []
        except ENTRY_FAULTS as error:
            sound = False
            found.error("faulty annotations", f"{path}: line {number} {error}; fix it")
    return RegionMask(path, image, None, tuple(areas), ids.rest) if sound else None


def _area(name: str, cells: list[str], ids: _Ids) -> Area:
    """Raises ENTRY_FAULTS."""
    class_id, numbers = int(cells[0]), [float(cell) for cell in cells[1:]]
    if class_id not in ids.of_polygons:
        raise ValueError(f"has the class {class_id}, and there are {len(ids.of_polygons)}")
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("is not x and y of three corners or more")
    corners = ring(list(zip(numbers[::2], numbers[1::2], strict=True)))
    if corners.min() < 0 or corners.max() > 1:
        raise ValueError("has coordinates that are not from 0 to 1")
    return Area(ids.of_polygons[class_id], name, Polygon((corners,), is_relative=True))
