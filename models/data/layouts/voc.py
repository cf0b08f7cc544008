"""PASCAL VOC (Everingham et al. 2010): JPEGImages/, SegmentationClass/, ImageSets/Segmentation/*.txt; what CVAT exports too."""

from pathlib import Path

from models.contract import SegmentationClass
from models.data.dataset import VOID, ClassList, DatasetError, Sample
from models.data.layouts.class_files import PALETTE_FILES, Classes, folder_classes
from models.data.layouts.layout import UNSPLIT, ParsedLayout, images_below, split_name
from models.data.masks import FileMask, Palette, hex_color, voc_color
from models.data.options import LayoutOptions

# The order of the ids, from VOC's development kit.
VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
_BORDER = (224, 224, 192)  # the colour of id 255, which surrounds objects


def parse_voc(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read VOC's lists of images. Raises DatasetError where they name none."""
    roots = [folder, *sorted(folder.glob("VOC*")), *sorted(folder.glob("VOCdevkit/VOC*"))]
    root = next((path for path in roots if (path / "SegmentationClass").is_dir()), None)
    if root is None or not (root / "JPEGImages").is_dir():
        return None
    classes = _classes(root, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    images = {path.stem: path for path in images_below(root / "JPEGImages")}
    for split, stems in _lists(root, found).items():
        for stem in stems:
            mask = root / "SegmentationClass" / f"{stem}.png"
            if stem not in images:
                found.error("no image", f"{root / 'JPEGImages' / stem}.jpg is listed and not there")
            elif not mask.is_file():
                found.error("no mask", f"{images[stem]} has no mask; expected {mask}")
            else:
                found.add(split, Sample(images[stem], FileMask(mask, classes.palette)))
    if not found.samples and not found.issues:
        raise DatasetError(f"{root} lists no images in ImageSets/Segmentation/*.txt")
    return found


def _classes(root: Path, options: LayoutOptions) -> Classes:
    named = (root / name for name in ("classes.json", *PALETTE_FILES))
    if options.palette is not None or any(path.is_file() for path in named):
        return folder_classes(root, options.palette)
    colors = [voc_color(index) for index in range(len(VOC_CLASSES))]
    classes = tuple(
        SegmentationClass(id=index, name=name, color=hex_color(colors[index]))
        for index, name in enumerate(VOC_CLASSES)
    )
    palette = Palette.of([*((rgb, index) for index, rgb in enumerate(colors)), (_BORDER, VOID)])
    source = "PASCAL VOC"
    return Classes(ClassList(name=root.name, classes=classes, ignore=VOID, source=source), palette)


def _lists(root: Path, found: ParsedLayout) -> dict[str, list[str]]:
    """Image names by split. A list that is no split, such as trainval, counts only where no list is one."""
    paths = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    lists = {path.stem: _stems(path, found) for path in paths}
    splits = {split_name(name) or "": stems for name, stems in lists.items() if split_name(name)}
    if splits:
        return splits
    if lists:
        return {UNSPLIT: sorted({stem for stems in lists.values() for stem in stems})}
    return {UNSPLIT: sorted(path.stem for path in (root / "SegmentationClass").glob("*.png"))}


def _stems(path: Path, found: ParsedLayout) -> list[str]:
    """The image names in a list; none, and an issue, where it is no text."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        found.error("unreadable list", f"{path} is not UTF-8 ({error}); save it as UTF-8")
        return []
    return [line.split()[0] for line in lines if line.strip()]
