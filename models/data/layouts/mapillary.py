"""Mapillary Vistas (Neuhold et al. 2017) and sets of its form: config.json, or config_v2.0.json,
with the classes in the order of the values; in each split images/ and labels/, or v2.0/labels/.
Classes that its config does not evaluate are ignored."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.data.dataset import IMAGE_SUFFIXES, VOID, DatasetError, Sample
from models.data.files import is_file, is_hidden
from models.data.layouts.class_files import Classes
from models.data.layouts.coded_masks import coded_classes, require_own_values
from models.data.layouts.json_files import load_json
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    ParsedLayout,
    fault_text,
    json_object,
    split_name,
)
from models.data.masks import FileMask
from models.data.names import counted, is_void, tidy
from models.data.options import LayoutOptions

_CONFIG = re.compile(r"^config(?:_(v[\d.]+))?\.json$")


def parse_mapillary(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read the splits by the newest config. Raises DatasetError where that is faulty."""
    configs = {
        tuple(map(int, re.findall(r"\d+", match[1] or ""))): (match[1], path)
        for path in sorted(folder.glob("config*.json"))
        if (match := _CONFIG.match(path.name)) and not is_hidden(path)
    }
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    places = [path for path in places if not is_hidden(path) and (path / "images").is_dir()]
    if not configs or not places:
        return None
    version, config = configs[max(configs)]
    document = load_json(config)
    if not isinstance(document, dict) or not isinstance(document.get("labels"), list):
        return None
    require_own_values(options, "Mapillary's config")
    classes = _classes(folder, config, document["labels"])
    found = ParsedLayout(classes.class_list)
    if len(configs) > 1:
        found.warning(
            "several configs",
            f"{folder} has {counted(len(configs), 'config')}; {config.name}, the newest, and its "
            "labels are read",
        )
    for place in places:
        labels = place / version / "labels" if version else place / "labels"
        if not labels.is_dir():
            labels = place / "labels"
        _add(found, place, labels, UNSPLIT if place == folder else place.name, classes)
    if not found.samples and not found.issues:
        raise DatasetError(f"{folder} has {config.name} and no images in images/")
    return found


def _add(found: ParsedLayout, place: Path, labels: Path, split: str, classes: Classes) -> None:
    images = [
        path
        for path in sorted((place / "images").iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)
    ]
    if not labels.is_dir():
        found.warn_of_images("no labels", place, images, f"left out for want of {labels.name}/")
        return
    for image in images:
        mask = labels / f"{image.stem}.png"
        if is_file(mask):
            found.add(split_name(split) or split, Sample(image, FileMask(mask, classes.encoding)))
        else:
            found.error("no mask", f"{image} has no mask; expected {mask}")


def _classes(folder: Path, config: Path, labels: list[Any]) -> Classes:
    """The classes that are evaluated, and the id or VOID of each value. Raises DatasetError."""
    names, colors, values = list[str](), list[str](), {VOID: VOID}
    value = 0
    try:
        entries = [json_object(label) for label in labels]
        shown = [tidy(str(entry.get("readable") or entry["name"])) for entry in entries]
        if len(set(shown)) < len(shown):
            shown = [tidy(str(entry["name"])) for entry in entries]
        for value, (entry, name) in enumerate(zip(entries, shown, strict=True)):
            if entry.get("evaluate") is False or is_void(name):
                values[value] = VOID
                continue
            values[value] = len(names)
            names.append(name)
            colors.append(_color(entry))
    except ENTRY_FAULTS as error:
        raise DatasetError(
            f"{config}: labels[{value}] is not as Mapillary writes it ({fault_text(error)})"
        ) from error
    return coded_classes(folder.name, "Mapillary", names, values, colors)


def _color(entry: Mapping[str, Any]) -> str:
    red, green, blue = bytes(int(value) for value in entry["color"])
    return f"#{red:02x}{green:02x}{blue:02x}"
