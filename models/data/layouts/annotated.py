"""From what an annotation tool exported, whichever it is, to a data set: names of labels become
class ids, areas become masks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from models.contract import SegmentationClass
from models.data.dataset import VOID, ClassList, DatasetError
from models.data.layouts.class_files import Classes, read_class_list, unknown_classes
from models.data.layouts.class_ids import ClassIds, distinct
from models.data.layouts.geometry import Geometry, Size
from models.data.layouts.layout import (
    UNSPLIT,
    ParsedLayout,
    add_drawn,
    own_split,
    require_no_value_mapping,
    split_name,
    warn_of_unlisted,
)
from models.data.layouts.region_mask import Area, RegionMask
from models.data.masks import hex_color, voc_color
from models.data.names import counted, is_background, is_void, tidy
from models.data.options import LayoutOptions

FAULTY = "faulty annotations"
_BACKGROUND = "background"


@dataclass(frozen=True)
class Label:
    """A class as a tool names it, and its colour (#rrggbb) where it says one."""

    name: str
    color: str | None = None


@dataclass(frozen=True, eq=False)
class Shape:
    """A region as a tool has it: its label, its name in sentences, and where it is."""

    label: str
    name: str
    geometry: Geometry


@dataclass(frozen=True)
class AnnotatedPicture:
    """What a file says of one picture. `size` is width and height, None where it does not say
    them."""

    path: Path
    image: Path
    size: Size | None
    shapes: tuple[Shape, ...]
    split: str = UNSPLIT
    group: str | None = None


@dataclass
class Annotations:
    """All that was read of a tool's files: labels in the order of their ids, pictures, and what is
    wrong. `left_out` counts by a sentence what is no region of the picture, `listed` are images
    that the files name."""

    labels: list[Label] = field(default_factory=list)
    pictures: list[AnnotatedPicture] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    listed: list[Path] = field(default_factory=list)

    def error(self, kind: str, text: str) -> None:
        self.errors.append((kind, text))

    def warning(self, kind: str, text: str) -> None:
        self.warnings.append((kind, text))

    def leave_out(self, what: str) -> None:
        self.left_out[what] = self.left_out.get(what, 0) + 1


def split_of(path: Path, folder: Path) -> str:
    """The split that a folder between a data set and a file of it is named after."""
    words = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
    return next((split for word in words if (split := split_name(word))), UNSPLIT)


def as_layout(
    annotations: Annotations,
    folder: Path,
    options: LayoutOptions,
    tool: str,
    *,
    small_on_top: bool = False,
) -> ParsedLayout:
    """The data set of a tool's annotations. Raises DatasetError where the classes cannot be
    known."""
    require_no_value_mapping(options, tool)
    drawn = [shape.label for picture in annotations.pictures for shape in picture.shapes]
    classes = classes_of(folder, annotations.labels or _as_labels(drawn), tool, options, drawn)
    found = ParsedLayout(classes.class_list)
    for kind, text in annotations.errors:
        found.error(kind, text)
    found.issues += classes.issues
    for kind, text in annotations.warnings:
        found.warning(kind, text)
    for what, count in annotations.left_out.items():
        found.warning("left out", f"{folder}: {what.format(count=count)}")
    ids = ClassIds(classes.class_list, drawn, options.unlabelled)
    masks, bare = [], []
    for picture in annotations.pictures:
        areas = _areas(found, picture, ids)
        if areas is not None:
            mask = RegionMask(
                picture.path, picture.image, picture.size, areas, ids.rest, small_on_top
            )
            masks.append((picture, mask))
            bare += [picture.image] * (not areas)
    has_splits = any(picture.split != UNSPLIT for picture, _ in masks)
    splits = [p.split or (own_split(p.image, folder) if has_splits else UNSPLIT) for p, _ in masks]
    drawn_by_split = zip(splits, masks, strict=True)
    add_drawn(found, [(split, p.image, mask) for split, (p, mask) in drawn_by_split], ids.rest)
    if bare and len(bare) < len(masks):
        nothing = "ignored" if options.unlabelled == "ignore" else "background"
        found.warning(
            "no annotation",
            f"{folder}: {len(bare)} of {counted(len(masks), 'image')}, such as {bare[0]}, have no "
            f"region and are {nothing} all over",
        )
    listed = [*annotations.listed, *(picture.image for picture in annotations.pictures)]
    warn_of_unlisted(found, listed, listed, f"{folder}: no file of {tool} names", folder)
    return found


def _as_labels(names: Iterable[str]) -> list[Label]:
    return [Label(name) for name in sorted(set(names))]


def _areas(
    found: ParsedLayout, picture: AnnotatedPicture, ids: ClassIds
) -> tuple[Area, ...] | None:
    """The regions with their class ids; None, and errors, where a label is of no class."""
    areas = []
    faults = dict[str, None]()
    for shape in picture.shapes:
        try:
            class_id = ids.id_of(shape.label)
        except DatasetError as error:
            faults[f"{picture.path}: the label {error}"] = None
            continue
        if class_id is None:
            faults[
                f"{picture.path} has the label {shape.label!r}, which classes.json does not list; "
                "add it there"
            ] = None
        else:
            areas.append(Area(class_id, shape.name, shape.geometry))
    for text in faults:
        found.error("unknown label", text)
    return None if faults else tuple(areas)


def classes_of(
    folder: Path, labels: Sequence[Label], tool: str, options: LayoutOptions, drawn: Sequence[str]
) -> Classes:
    """classes.json if there is one; else background and the labels in their order, without what is
    void; without background too where what no region covers is ignored and none is of it."""
    if (folder / "classes.json").is_file():
        return read_class_list(folder / "classes.json")
    names = distinct((label.name for label in labels), f"{folder}: labels")
    colors = {tidy(label.name): label.color for label in labels}
    named = [name for name in names if not is_void(name) and not is_background(name)]
    if not named:
        return unknown_classes(folder, f"{folder}: no region has a label that names a class")
    has_background = options.unlabelled != "ignore" or any(map(is_background, drawn))
    own = next((name for name in names if is_background(name)), _BACKGROUND)
    listed = [own, *named] if has_background else named
    try:
        classes = tuple(
            SegmentationClass(
                id=index, name=name, color=colors.get(name) or hex_color(voc_color(index))
            )
            for index, name in enumerate(listed)
        )
        return Classes(
            ClassList(name=folder.name or "data", classes=classes, ignore=VOID, source=tool)
        )
    except ValidationError as error:
        raise DatasetError(
            f"{folder}: {counted(len(named), 'label')} with names and colours that segtrain cannot "
            "take as classes: 2 to 254 of different names, background among them, colours as "
            "#rrggbb"
        ) from error
