"""`images/` and `masks/`, with a folder a split or without, and a file that names the classes."""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from models.data.dataset import IMAGE_SUFFIXES, DatasetError, Sample
from models.data.files import files_below, is_hidden, same_name
from models.data.layouts.class_files import folder_classes
from models.data.layouts.layout import (
    UNSPLIT,
    ParsedLayout,
    images_below,
    split_in,
    split_name,
)
from models.data.mask_files import LOSSY_SUFFIXES
from models.data.masks import FileMask, MaskEncoding
from models.data.names import counted
from models.data.options import LayoutOptions

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})
# What other tools append to the image's name.
MASK_ENDINGS = ("", "_mask", "_label", "_labels", "_seg", "_gt", "_L")
# Pictures that a training does not read.
_NOT_READ = frozenset(
    {
        *(
            ".gif",
            ".heic",
            ".heif",
            ".avif",
            ".jp2",
            ".jxl",
            ".psd",
            ".pdf",
            ".svg",
            ".dcm",
            ".npy",
        ),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".czi", ".nd2", ".svs"),
    }
)
# BUSI's way: further regions of one image in files of their own.
_NUMBERED = re.compile(r"^(.*(?:_mask|_label|_labels|_seg|_gt))[_-]?(\d+)$")
_SEPARATORS = ("_", "-", ".", " ", "(")


def parse_folders(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair `images/` with `masks/` by stem. Raises DatasetError where there are no images at
    all."""
    images = folder / "images"
    if not images.is_dir() or not (folder / "masks").is_dir():
        return None
    classes = folder_classes(folder, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    places = _split_folders(images)
    loose = [path for path in images.iterdir() if _is_image(path)]
    if loose and places[0][0] != UNSPLIT:
        found.warning(
            "loose images",
            f"{len(loose)} images, such as {min(loose)}, lie beside the split folders and are left "
            "out",
        )
    others = [path for path in files_below(images) if path.suffix.lower() in _NOT_READ]
    if others:
        found.warning(
            "pictures of other kinds",
            f"{counted(len(others), 'file')} in {images}, such as {others[0]}, "
            f"{'is' if len(others) == 1 else 'are'} of a kind that is not trained on and left out; "
            "save as PNG, TIFF or JPEG",
        )
    for split, place in places:
        masks = folder / "masks" / place.relative_to(images)
        for image, mask in _pairs(place, masks, classes.encoding, found):
            found.add(split, Sample(image, mask))
    if not found.samples and not found.issues:
        raise DatasetError(
            f"{folder} has no images; they belong in images/, or in images/train/, images/val/ and "
            "images/test/, each with its mask of the same stem in masks/, or in masks/train/ and "
            "so on"
        )
    return found


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path)


def _split_folders(images: Path) -> list[tuple[str, Path]]:
    """The split folders below images/, named train, val or test, or each after one of them
    (train_images); else images/ itself."""
    folders = [path for path in sorted(images.iterdir()) if path.is_dir() and not is_hidden(path)]
    if any(split_name(path.name) for path in folders):
        return [(split_name(path.name) or path.name, path) for path in folders]
    spoken = [(split_in(path.name) or UNSPLIT, path) for path in folders]
    if folders and all(split != UNSPLIT for split, _ in spoken):
        return spoken
    return [(UNSPLIT, images)]


@dataclass
class _MaskFiles:
    """The mask files of a folder by their subfolder and stem. Of one stem there may be several,
    which is an error."""

    by_key: dict[tuple[Path, str], list[Path]] = field(default_factory=lambda: defaultdict(list))
    used: dict[Path, list[Path]] = field(default_factory=lambda: defaultdict(list))  # images

    @classmethod
    def below(cls, folder: Path) -> "_MaskFiles":
        files = cls()
        for path in files_below(folder) if folder.is_dir() else ():
            if path.suffix.lower() in MASK_SUFFIXES | LOSSY_SUFFIXES:
                key = (path.relative_to(folder).parent, same_name(path.stem))
                files.by_key[key].append(path)
        return files

    def of_image(self, parent: Path, stem: str) -> list[Path]:
        """The files whose name is the image's, with one of the endings or without."""
        keys = [(parent, stem + ending) for ending in MASK_ENDINGS]
        return [path for key in keys for path in self.by_key.get(key, ())]

    def parts(self, mask: Path, parent: Path, image_stems: set[str]) -> list[Path]:
        """Further masks of the image: the first one's name and a number."""
        own = same_name(mask.stem)
        return [
            path
            for (place, stem), paths in self.by_key.items()
            if place == parent and stem not in image_stems and (match := _NUMBERED.match(stem))
            if match[1] == own
            for path in paths
        ]


def _pairs(
    images: Path, masks: Path, encoding: MaskEncoding, found: ParsedLayout
) -> list[tuple[Path, FileMask]]:
    """Each image with its mask; what is left over on either side, or may be two images' or two
    masks, becomes an issue."""
    files = _MaskFiles.below(masks)
    stems = defaultdict(set)
    paths = images_below(images)
    for image in paths:
        stems[image.relative_to(images).parent].add(same_name(image.stem))
    pairs = []
    for image in paths:
        parent, stem = image.relative_to(images).parent, same_name(image.stem)
        of_image = files.of_image(parent, stem)
        parts = files.parts(of_image[0], parent, stems[parent]) if len(of_image) == 1 else []
        for mask in (*of_image, *parts):
            files.used[mask].append(image)
        if not of_image:
            expected = masks / parent / f"{image.stem}.png"
            found.error(
                "no mask",
                f"{image} has no mask; expected {expected}. Add the mask or take the image out",
            )
        elif len(of_image) > 1:
            found.error(
                "two masks",
                f"{image} has {len(of_image)} masks, "
                f"{' and '.join(str(path) for path in of_image)}; leave the one that is meant",
            )
        else:
            pairs.append((image, FileMask(of_image[0], encoding, tuple(parts))))
    _report_unused(files, stems, found)
    return pairs


def _report_unused(
    files: _MaskFiles, image_stems: dict[Path, set[str]], found: ParsedLayout
) -> None:
    for (parent, stem), paths in files.by_key.items():
        for mask in paths:
            images = files.used.get(mask, [])
            if len(images) > 1:
                found.error(
                    "shared mask",
                    f"{mask} is the mask of {len(images)} images of the same stem; name them apart",
                )
            elif not images and (owner := _owner(stem, image_stems.get(parent, set()))):
                found.error(
                    "two masks",
                    f"{mask} is of no image, and looks like a further mask of {owner}; merge it "
                    f"into that image's mask, name it {owner}_mask_1.png beside {owner}_mask.png, "
                    "or take it out",
                )
            elif not images:
                found.warning("no image", f"{mask} has no image and is left out")


def _owner(stem: str, image_stems: set[str]) -> str | None:
    """The image whose name a mask's begins with, before a separator."""
    cuts = [place for place, character in enumerate(stem) if character in _SEPARATORS and place]
    return next((stem[:cut] for cut in reversed(cuts) if stem[:cut] in image_stems), None)
