"""`images/` and `masks/`, with a folder a split or without, and a file that names the classes."""

from collections import Counter
from pathlib import Path

from models.data.dataset import IMAGE_SUFFIXES, DatasetError, Sample
from models.data.layouts.class_files import folder_classes
from models.data.layouts.layout import UNSPLIT, ParsedLayout, images_below, split_name
from models.data.masks import LOSSY_SUFFIXES, FileMask
from models.data.options import LayoutOptions

MASK_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})
# What other tools append to the image's name.
MASK_ENDINGS = ("", "_mask", "_label", "_labels", "_seg", "_gt", "_L")


def parse_folders(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair `images/` with `masks/` by stem. Raises DatasetError where there are no images at all."""
    images = folder / "images"
    if not images.is_dir() or not (folder / "masks").is_dir():
        return None
    classes = folder_classes(folder, options.palette)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    places = _split_folders(images)
    loose = [path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if loose and places[0][0] != UNSPLIT:
        found.warning(
            "loose images",
            f"{len(loose)} images, such as {min(loose)}, lie beside the split folders and are left out",
        )
    for split, place in places:
        masks = folder / "masks" / place.relative_to(images)
        for image, mask in _pairs(place, masks, found):
            found.add(split, Sample(image, FileMask(mask, classes.palette)))
    if not found.samples and not found.issues:
        raise DatasetError(
            f"{folder} has no images; they belong in images/, or in images/train/, images/val/ and images/test/, "
            "each with its mask of the same stem in masks/, or in masks/train/ and so on"
        )
    return found


def _split_folders(images: Path) -> list[tuple[str, Path]]:
    """The split folders below images/; images/ itself where none is named train, val or test."""
    folders = [path for path in sorted(images.iterdir()) if path.is_dir()]
    if not any(split_name(path.name) for path in folders):
        return [(UNSPLIT, images)]
    return [(split_name(path.name) or path.name, path) for path in folders]


def _pairs(images: Path, masks: Path, found: ParsedLayout) -> list[tuple[Path, Path]]:
    """Each image with its mask; what is left over on either side becomes an issue."""
    by_key = {
        (path.relative_to(masks).parent, path.stem): path
        for path in (sorted(masks.rglob("*")) if masks.is_dir() else [])
        if path.suffix.lower() in MASK_SUFFIXES | LOSSY_SUFFIXES
    }
    pairs, used = [], Counter[Path]()
    for image in images_below(images):
        parent = image.relative_to(images).parent
        keys = [(parent, image.stem + ending) for ending in MASK_ENDINGS]
        mask = next((by_key[key] for key in keys if key in by_key), None)
        if mask is None:
            expected = masks / parent / f"{image.stem}.png"
            found.error(
                "no mask",
                f"{image} has no mask; expected {expected}. Add the mask or take the image out",
            )
        else:
            pairs.append((image, mask))
            used[mask] += 1
    for mask in by_key.values():
        if used[mask] == 0:
            found.warning("no image", f"{mask} has no image and is left out")
        elif used[mask] > 1:
            found.error(
                "shared mask",
                f"{mask} is the mask of {used[mask]} images of the same stem; name them apart",
            )
    return pairs
