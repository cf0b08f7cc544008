"""COCO's annotation files: which a folder has, what they say, of which split they are, and where
their images may lie."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from models.data.dataset import DatasetError, Issue
from models.data.files import files_below
from models.data.layouts.json_files import load_loose_json
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    UNSPLIT,
    fault_text,
    json_object,
    split_name,
)
from models.data.names import stated_name, tidy

# COCO's own files of other tasks, which tell of the same images.
_OTHER_TASKS = re.compile(r"^(captions|image_info|panoptic|person_keypoints)_[a-z-]+20\d\d\.json$")
_ROBOFLOW = "_annotations.coco.json"
_PARTS = ("images", "annotations", "categories")
FAULTY = "faulty annotations"
_FLAG_WORDS = {
    **dict.fromkeys(("none", "0", "0.0", "false", ""), False),
    **dict.fromkeys(("1", "1.0", "true"), True),
}

Key: TypeAlias = int | str


@dataclass
class Document:
    """An annotation file; `categories` are the names by id that could be read."""

    path: Path
    images: list[Any]
    annotations: list[Any]
    categories: dict[Key, str]
    supercategories: set[str] = field(default_factory=set)  # of other categories than that name
    # The class ids and colours that segserve's own answers have.
    own_classes: dict[str, tuple[int, str]] = field(default_factory=dict)


def annotation_files(folder: Path) -> list[Path]:
    """The JSON files at COCO's and Roboflow's places, and those elsewhere that look like COCO's."""
    paths = [path for path in files_below(folder) if path.suffix.lower() == ".json"]
    return [
        path
        for path in paths
        if path.name != "classes.json" and not _OTHER_TASKS.match(path.name)
        if _is_at_its_place(path, folder) or _mentions_parts(path)
    ]


def _is_at_its_place(path: Path, folder: Path) -> bool:
    return path.parent in (folder, folder / "annotations") or path.name == _ROBOFLOW


def _mentions_parts(path: Path) -> bool:
    content = path.read_bytes()
    return all(f'"{part}"'.encode() in content for part in _PARTS)


def read_document(path: Path, faults: list[Issue]) -> Document | None:
    """What an annotation file says, and an issue for each fault; None where it is not COCO's or no
    JSON."""
    try:
        document = load_loose_json(path)
    except DatasetError as error:
        faults.append(Issue("error", FAULTY, str(error)))
        return None
    if not isinstance(document, dict) or not document.keys() >= set(_PARTS):
        return None
    for part in _PARTS:
        if not isinstance(document[part], list):
            faults.append(Issue("error", FAULTY, f"{path}: {part} is not a list; export it again"))
            return None
    categories: dict[Key, str] = {}
    groups = set()
    own: dict[str, tuple[int, str]] = {}
    for index, entry in enumerate(document["categories"]):
        try:
            category = json_object(entry)
            key, name = key_of(category["id"]), stated_name(category["name"])
            if categories.setdefault(key, name) != name:
                raise ValueError(f"its id {key} is that of {categories[key]!r} too")
            if (group := category.get("supercategory")) and tidy(str(group)) != name:
                groups.add(tidy(str(group)))
            if "class_id" in category:
                own[name] = int(category["class_id"]), str(category.get("color"))
        except ENTRY_FAULTS as error:
            faults.append(fault_issue(path, f"categories[{index}]", error))
    return Document(path, document["images"], document["annotations"], categories, groups, own)


def key_of(value: Any) -> Key:
    """An id in one form: tools write 7, "7" and 7.0. Raises TypeError where it is none of these and
    no text."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError(f"its id {value!r} is neither a whole number nor a text")
    if isinstance(value, int):
        return value
    number = re.fullmatch(r"([+-]?\d+)(?:\.0*)?", value.strip())
    return int(number[1]) if number else value.strip()


def flag(annotation: Mapping[str, Any], name: str) -> bool:
    """Whether an annotation says so: tools write 1, true, "1" and "true". Raises ValueError for
    what is neither yes nor no."""
    text = str(annotation.get(name)).strip().lower()
    if text in _FLAG_WORDS:
        return _FLAG_WORDS[text]
    raise ValueError(f"its {name} is {annotation[name]!r}, and is to be 0 or 1")


def shift_of_ids(used: Collection[Key], listed: Collection[Key]) -> int | None:
    """1 or -1 where that, added to the ids that annotations use, makes each that of a listed image:
    one side may count from 0 and the other from 1."""
    numbers = [key for key in used if isinstance(key, int)]
    fits = (
        shift
        for shift in (1, -1)
        if len(numbers) == len(used) and all(key + shift in listed for key in numbers)
    )
    return next(fits, None)


def fault_issue(path: Path, place: str, error: Exception) -> Issue:
    text = f"{path}: {place} is not as COCO has it ({fault_text(error)}); export it again"
    return Issue("error", FAULTY, text)


def splits_of(documents: Sequence[Document], folder: Path) -> list[str]:
    """The split of each annotation file. Where some speak of one, such as train and val, another
    (dev) is a split of its own name, and nothing is learned from it by chance."""
    splits = [_split_of(document.path, folder) for document in documents]
    if set(splits) == {UNSPLIT}:
        return splits
    return [
        split or _own_name(document.path, folder)
        for split, document in zip(splits, documents, strict=True)
    ]


def _split_of(path: Path, folder: Path) -> str:
    """The split a file's name speaks of (instances_train2017.json), or a folder's above it
    (Roboflow's train/)."""
    words = re.split(r"[^A-Za-z]+", path.stem)
    words += [parent.name for parent in path.parents if parent.is_relative_to(folder)][:-1]
    return next((split for word in words if (split := split_name(word))), UNSPLIT)


def _own_name(path: Path, folder: Path) -> str:
    """What an annotation file is called, or where all files are called so (Roboflow's) its
    folder; nothing where it is of train and val."""
    if "trainval" in path.stem.lower():
        return UNSPLIT
    named = path.parent if path.name == _ROBOFLOW and path.parent != folder else path
    return named.stem.removeprefix("instances_")


@dataclass(frozen=True)
class Places:
    """Where the images of an annotation file may lie: the folders of its split, and those of
    all."""

    of_split: tuple[Path, ...]
    of_all: tuple[Path, ...]


def image_places(folder: Path, path: Path, split: str) -> Places:
    own = _own_name(path, folder)

    def of_split(parent: Path) -> Iterator[Path]:
        for child in sorted(parent.glob("*/")):
            named = split_name(re.sub(r"[^A-Za-z]", "", child.name))
            if child.name == own or (split != UNSPLIT and named == split):
                yield child

    images = folder / "images"
    beside = [path.parent, path.parent / "images", path.parent.parent / "images"]
    below = [place for place in (*beside, images, folder) if place.is_relative_to(folder)]
    return Places(
        tuple(dict.fromkeys([*of_split(folder), *of_split(images)])), tuple(dict.fromkeys(below))
    )
