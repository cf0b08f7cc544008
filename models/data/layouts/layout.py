"""What every layout module gives: classes and samples by split, with the file names read and no
pixel."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from models.contract import SegmentationClass
from models.data.dataset import (
    IMAGE_SUFFIXES,
    VOID,
    ClassList,
    DatasetError,
    Issue,
    MaskSource,
    Sample,
)
from models.data.files import files_below, is_file, is_hidden
from models.data.layouts.regions import MergedMask
from models.data.masks import hex_color, voc_color
from models.data.names import counted
from models.data.options import LayoutOptions

SPLITS = ("train", "val", "test")
UNSPLIT = ""  # the split of samples whose folder has no splits
# What reading an entry of an annotation file raises where it is not as its format has it.
ENTRY_FAULTS = (KeyError, TypeError, ValueError, OverflowError)

_SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_OF_ALL = ("images", "annotations", "labels", "json")  # folders of every split
_MASK_FOLDER = re.compile(r"mask|label|annot|segment|semantic|instance", re.IGNORECASE)
_YEAR = re.compile(r"[ _.-]*20\d\d$")


@dataclass
class ParsedLayout:
    """A data set as its layout has it. `samples` maps a split, or UNSPLIT, to its samples."""

    class_list: ClassList
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    def add(self, split: str, sample: Sample) -> None:
        self.samples.setdefault(split, []).append(sample)

    def error(self, kind: str, text: str) -> None:
        self.issues.append(Issue("error", kind, text))

    def warning(self, kind: str, text: str) -> None:
        self.issues.append(Issue("warning", kind, text))

    def warn_of_images(self, kind: str, place: Path, images: Sequence[Path], text: str) -> None:
        """Count images that are left out, if any are."""
        if images:
            count = counted(len(images), "image")
            self.warning(kind, f"{place}: {count}, such as {images[0]}, {text}")


# Gives None where the folder has another layout. Raises DatasetError where it has this one, and
# nothing can be read of it.
LayoutParser: TypeAlias = Callable[[Path, LayoutOptions], ParsedLayout | None]


def json_object(value: Any) -> dict[str, Any]:
    """An entry of an annotation file. Raises TypeError where it is not a JSON object."""
    if not isinstance(value, dict):
        raise TypeError("it is not a JSON object")
    return value


def fault_text(error: Exception) -> str:
    """What is wrong with an entry of an annotation file, by what reading it raised."""
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)


def split_name(word: str) -> str | None:
    """train, val or test for a folder's or file's name that means it, with a year behind it or
    without, else None."""
    return _SPLIT_NAMES.get(_YEAR.sub("", word.strip().lower()))


def split_in(name: str) -> str | None:
    """The one split that a name of several words speaks of, such as train_images; None where it
    speaks of none or of two."""
    found = {split for word in re.split(r"[^A-Za-z]+", name) if (split := split_name(word))}
    return found.pop() if len(found) == 1 else None


def own_split(path: Path, folder: Path) -> str:
    """The split of its own that a file is of, by the folder it lies in below a data set, where
    others beside it are called train, val or test."""
    words = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
    return next((word for word in words if word.lower() not in _OF_ALL), UNSPLIT)


def images_below(folder: Path) -> list[Path]:
    """The image files in a folder and its subfolders, linked ones too, in order; hidden ones left
    out."""
    return [path for path in files_below(folder) if path.suffix.lower() in IMAGE_SUFFIXES]


def add_drawn(
    found: ParsedLayout, drawn: Iterable[tuple[str, Path, MaskSource]], rest: int | None
) -> None:
    """Add samples of (split, image, mask); several masks of one image in a split are merged. `rest`
    is the class of pixels that a mask draws nothing on."""
    by_image: dict[tuple[str, Path], list[tuple[Path, MaskSource]]] = {}
    for split, image, mask in drawn:
        by_image.setdefault((split, image.resolve()), []).append((image, mask))
    for (split, _), entries in by_image.items():
        image, masks = entries[0][0], tuple(mask for _, mask in entries)
        found.add(split, Sample(image, masks[0] if len(masks) == 1 else MergedMask(masks, rest)))


def warn_of_unlisted(
    found: ParsedLayout,
    listed: Iterable[Path],
    used: Iterable[Path],
    what: str,
    below: Path | None = None,
) -> None:
    """A warning that counts the images which lie in one folder with listed ones, and which nothing
    names; with `below` those of other folders there too, but for folders of masks."""
    known = {path.resolve() for path in used}
    folders = sorted({path.parent for path in listed})
    if below is not None and folders:
        images = images_below(below)
        folders = sorted(
            {*folders, *(image.parent for image in images if not _of_masks(image, below))}
        )
    lost = [
        path
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not is_hidden(path)
        and is_file(path)
        and path.resolve() not in known
    ]
    if lost:
        text = f"{what} {counted(len(lost), 'image')}, such as {lost[0]}; left out"
        found.warning("images left out", text)


def _of_masks(path: Path, folder: Path) -> bool:
    """Whether a folder between a data set and a file of it is named after masks."""
    words = path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()
    return any(_MASK_FOLDER.search(word) for word in words)


def require_no_value_mapping(options: LayoutOptions, layout: str) -> None:
    """Raise DatasetError where `options` map the values of mask files, and a layout's masks are
    drawn."""
    if options.ignore is not None or options.shift:
        raise DatasetError(
            f"ignore and shift map the values of mask files, and {layout} draws its masks from "
            "regions; leave them out"
        )


def make_class_list(name: str, class_names: list[str], source: str) -> ClassList:
    """A class list for names that came without colours: those of PASCAL VOC's colour map. Raises
    ValidationError."""
    classes = tuple(
        SegmentationClass(id=index, name=class_name, color=hex_color(voc_color(index)))
        for index, class_name in enumerate(class_names)
    )
    return ClassList(name=name, classes=classes, ignore=VOID, source=source)
