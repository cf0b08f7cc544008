"""PASCAL VOC (Everingham et al. 2010): JPEGImages/, SegmentationClass/,
ImageSets/Segmentation/*.txt; what CVAT, Datumaro and LabelMe's converter export too."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from models.data.dataset import IMAGE_SUFFIXES, DatasetError, Sample
from models.data.files import files_below, is_hidden, same_name, spellings
from models.data.layouts.class_files import (
    NAME_FILES,
    PALETTE_FILES,
    Classes,
    folder_classes,
    names_its_classes,
    unknown_classes,
    voc_classes,
)
from models.data.layouts.folders import MASK_SUFFIXES
from models.data.layouts.layout import UNSPLIT, ParsedLayout, images_below, split_name
from models.data.masks import FileMask, MaskEncoding
from models.data.options import LayoutOptions

# The order of the ids, from VOC's development kit.
VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_VOC_IMAGE = re.compile(r"^20(0[5-9]|1[0-2])_\d{6}$")  # VOC's own: year and number
# The second is that of LabelMe's converter before version 5, whose first holds arrays.
_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")


def parse_voc(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read VOC's lists of images. Raises DatasetError where they name none."""
    roots = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    full = [path for path in roots if _mask_folder(path) and not is_hidden(path)]
    root, others = (full[0], full[1:]) if full else (None, [])
    if root is None or not (root / "JPEGImages").is_dir():
        return None
    if others:
        names = ", ".join(path.name for path in full)
        raise DatasetError(
            f"{folder} holds {len(full)} data sets of PASCAL VOC's layout ({names}); give one of "
            "these folders, or put their files into one"
        )
    reader = _Reader.of(root)
    lists = reader.lists()
    classes = _classes(root, options, [stem for stems in lists.values() for stem in stems])
    reader.found.class_list = classes.class_list
    reader.found.issues[:0] = classes.issues
    reader.add(lists, classes.encoding)
    if not reader.found.samples and not reader.found.issues:
        raise DatasetError(f"{root} lists no images in ImageSets/Segmentation/*.txt")
    return reader.found


def _mask_folder(root: Path) -> Path | None:
    """Where the masks are: the first of their folders with a file of one, else the first that is
    there."""
    folders = [root / name for name in _MASK_FOLDERS if (root / name).is_dir()]
    full = (path for path in folders if any(_is_mask(file) for file in files_below(path)))
    return next(full, folders[0] if folders else None)


def _is_mask(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES


def _classes(root: Path, options: LayoutOptions, stems: Collection[str]) -> Classes:
    """The classes that the folder names; VOC's own for VOC's own pictures."""
    if options.palette is not None or names_its_classes(root):
        return folder_classes(root, options)
    has_lists = (root / "ImageSets" / "Segmentation").is_dir()
    if has_lists and stems and all(_VOC_IMAGE.match(stem) for stem in stems):
        return voc_classes(VOC_CLASSES, root.name, "PASCAL VOC", options)
    return unknown_classes(
        root,
        f"{root} does not name its classes: put class_names.txt there (a name a line, in the order "
        f"of the ids), or {', '.join(name for name in (*PALETTE_FILES, *NAME_FILES[1:]))} or "
        "classes.json. VOC's own 21 names are taken for its own pictures alone, which are called "
        "such as 2007_000032",
    )


@dataclass
class _Reader:
    """The files of a folder by their path below JPEGImages/ or SegmentationClass/, without
    suffix."""

    root: Path
    masks_folder: Path
    images: dict[str, list[Path]]
    masks: dict[str, list[Path]]
    found: ParsedLayout
    has_unread_list: bool = False

    @classmethod
    def of(cls, root: Path) -> "_Reader":
        masks = _mask_folder(root) or root
        return cls(
            root,
            masks,
            _by_stem(root / "JPEGImages", images_below(root / "JPEGImages")),
            _by_stem(masks, filter(_is_mask, files_below(masks))),
            ParsedLayout(unknown_classes(root, "").class_list),
        )

    def lists(self) -> dict[str, list[str]]:
        """Image names by split. A list that is not a split, such as trainval, counts only where no
        list is one."""
        folder = self.root / "ImageSets" / "Segmentation"
        files = files_below(folder) if folder.is_dir() else ()
        paths = [path for path in files if path.suffix.lower() == ".txt"]
        lists = {path.stem: self._stems(path) for path in paths}
        splits: dict[str, list[str]] = {}
        for name, stems in lists.items():
            if split := split_name(name):
                splits[split] = list(dict.fromkeys([*splits.get(split, []), *stems]))
        if splits:
            return splits
        if lists:
            return {UNSPLIT: sorted({stem for stems in lists.values() for stem in stems})}
        return {UNSPLIT: sorted(self.masks)}

    def add(self, lists: dict[str, list[str]], encoding: MaskEncoding) -> None:
        for split, stems in lists.items():
            for stem in stems:
                image = self._only("image", self.images, stem, self.root / "JPEGImages", "jpg")
                mask = image and self._only("mask", self.masks, stem, self.masks_folder, "png")
                if image and mask:
                    self.found.add(split, Sample(image, FileMask(mask, encoding)))
        listed = {stem for stems in lists.values() for stem in stems}
        lost = sorted(self.masks.keys() - listed)
        if lost and not self.has_unread_list:
            self.found.warning(
                "masks left out",
                f"{self.root}: {len(lost)} masks, such as {self.masks[lost[0]][0]}, are in no list "
                "of ImageSets/Segmentation that is read (train, val and test where one of them is "
                "there, else all), and are left out",
            )

    def _only(
        self, what: str, files: dict[str, list[Path]], stem: str, folder: Path, suffix: str
    ) -> Path | None:
        """The one file of that stem; None, and an error, where there is none or there are
        several."""
        paths = files.get(stem, [])
        if len(paths) == 1:
            return paths[0]
        if paths:
            names = " and ".join(path.name for path in paths)
            text = (
                f"{folder} has {len(paths)} {what}s of one name, {names}; leave the one that "
                "is meant"
            )
            self.found.error(f"two {what}s", text)
        elif what == "image":
            text = f"{folder / stem}.{suffix} is listed and not there"
            self.found.error("no image", text)
        else:
            image = self.images[stem][0]
            self.found.error("no mask", f"{image} has no mask; expected {folder / stem}.{suffix}")
        return None

    def _stems(self, path: Path) -> list[str]:
        """The image names in a list; none, and an issue, where it is no text."""
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            text = f"{path} is not UTF-8 ({error}); save it as UTF-8"
            self.found.error("unreadable list", text)
            self.has_unread_list = True
            return []
        return [self._stem(line.strip()) for line in lines if line.strip()]

    def _stem(self, line: str) -> str:
        """The name that a line means: the whole of it or its first word, with or without folder and
        suffix."""
        for text in (line, line.split()[0]):
            for name in spellings(text):
                key = same_name(name.rsplit("JPEGImages/", 1)[-1].strip("/"))
                if key in self.images:
                    return key
                bare = key.rsplit(".", 1)[0]
                if Path(key).suffix.lower() in IMAGE_SUFFIXES and bare in self.images:
                    return bare
        return line.split()[0]


def _by_stem(folder: Path, paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by their path below a folder, without suffix."""
    found = defaultdict(list)
    for path in paths:
        found[same_name(path.relative_to(folder).with_suffix("").as_posix())].append(path)
    return dict(found)
