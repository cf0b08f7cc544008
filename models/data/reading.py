"""Open a folder of any layout as one `Dataset`."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from models.data.dataset import UNREADABLE, Dataset, DatasetError, Issue, Sample, is_gray_file
from models.data.files import is_hidden
from models.data.layouts.ade20k import parse_ade20k
from models.data.layouts.cityscapes import parse_cityscapes
from models.data.layouts.coco import parse_coco
from models.data.layouts.cvat import parse_cvat
from models.data.layouts.cvat_masks import parse_cvat_masks
from models.data.layouts.folders import parse_folders
from models.data.layouts.found import parse_found
from models.data.layouts.geo import parse_geo
from models.data.layouts.hugging_face import parse_hugging_face
from models.data.layouts.labelme import parse_labelme
from models.data.layouts.labelstudio import parse_labelstudio
from models.data.layouts.layout import SPLITS, UNSPLIT, LayoutParser, ParsedLayout
from models.data.layouts.mapillary import parse_mapillary
from models.data.layouts.on_ground import place_on_ground
from models.data.layouts.qupath import parse_qupath
from models.data.layouts.roboflow import parse_roboflow
from models.data.layouts.split_lists import split_by_lists
from models.data.layouts.supervisely import parse_supervisely
from models.data.layouts.table import parse_table
from models.data.layouts.ultralytics import parse_ultralytics
from models.data.layouts.voc import parse_voc
from models.data.masks import FileMask
from models.data.names import counted
from models.data.options import LayoutName, LayoutOptions, SplitOptions
from models.data.splits import groups_in_two_splits, series_in_two_splits, split_samples

# In this order a folder is tried: the more telling the files, the earlier.
LAYOUTS: dict[LayoutName, LayoutParser] = {
    "csv": parse_table,
    "geo": parse_geo,
    "voc": parse_voc,
    "cityscapes": parse_cityscapes,
    "ade20k": parse_ade20k,
    "mapillary": parse_mapillary,
    "roboflow": parse_roboflow,
    "cvat_masks": parse_cvat_masks,
    "supervisely": parse_supervisely,
    "ultralytics": parse_ultralytics,
    "folders": parse_folders,
    "labelme": parse_labelme,
    "labelstudio": parse_labelstudio,
    "cvat": parse_cvat,
    "qupath": parse_qupath,
    "coco": parse_coco,
    "hugging_face": parse_hugging_face,
    "found": parse_found,
}


_MADE = "images/ and masks/ with classes.json"
_SPLIT = SplitOptions()
_LAYOUT = LayoutOptions()


def read_dataset(
    folder: Path,
    split: SplitOptions = _SPLIT,
    layout: LayoutOptions = _LAYOUT,
) -> Dataset:
    """Open a data set whose files are all there: samples load as image uint8 (H, W, C) and mask
    uint8 (H, W).

    Reads file names, class lists and annotations, no pixels. Raises DatasetError with the first
    error found.
    """
    dataset = scan_dataset(folder, split, layout)
    errors = [issue for issue in dataset.issues if issue.severity == "error"]
    if errors:
        more = f" ({len(errors) - 1} more: segtrain check {folder})" if len(errors) > 1 else ""
        raise DatasetError(errors[0].text + more)
    return dataset


def scan_dataset(
    folder: Path,
    split: SplitOptions = _SPLIT,
    layout: LayoutOptions = _LAYOUT,
) -> Dataset:
    """Open a data set as far as it goes; what is wrong with its file names and classes is in its
    `issues`.

    Raises DatasetError where the folder is no data set at all.
    """
    folder = folder.expanduser()
    if not folder.is_dir():
        raise DatasetError(
            f"{folder} is not a folder; give the folder of the data set (--data in place of the "
            "one that a recipe or a run names)"
        )
    name, found = _detected(folder, layout)
    if layout.name is None:
        found.issues += _other_readings(folder, layout, name, found)
    place_on_ground(found)
    split_by_lists(found, folder)
    if name not in ("csv", "folders"):  # which tell of it themselves
        found.issues += _shared_masks(found)
    splits = split_samples(found.samples, folder, split)
    drawn = {} if len(found.samples) > 1 or UNSPLIT not in found.samples else splits
    issues = (
        *found.issues,
        *_without_split(found),
        *groups_in_two_splits(splits),
        *series_in_two_splits(drawn, folder, split),
        *_other_splits(splits),
    )
    return Dataset(folder, found.class_list, splits, _channels(splits), name, issues)


def _detected(folder: Path, options: LayoutOptions) -> tuple[LayoutName, ParsedLayout]:
    has_globs = options.images is not None or options.masks is not None
    first: LayoutName | None = "found" if has_globs else options.name
    names = [first] if first else list(LAYOUTS)
    for name in names:
        found = LAYOUTS[name](folder, options)
        if found is not None:
            if options.unlabelled != "background" and _has_mask_files(found):
                raise DatasetError(
                    f"{folder}: unlabelled is about regions that a tool drew, and the layout "
                    f"{name} has masks in files; say --ignore 0 (layout.ignore) where their 0 is "
                    "what is not labelled"
                )
            return name, found
    held = sorted(path.name for path in folder.iterdir() if not is_hidden(path))
    raise DatasetError(
        f"{folder} is in no layout that segtrain reads ({', '.join(names)}): it holds "
        f"{', '.join(held[:5]) + (', …' if len(held) > 5 else '') if held else 'nothing'}. "
        f"The simplest is {_MADE}: rename folders to these, or list the files in a CSV with the "
        "columns image and mask; docs/train.md shows each layout"
    )


def _has_mask_files(found: ParsedLayout) -> bool:
    return any(isinstance(one.mask, FileMask) for of in found.samples.values() for one in of)


def _other_readings(
    folder: Path, options: LayoutOptions, name: LayoutName, found: ParsedLayout
) -> Iterator[Issue]:
    """An error where the folder is of another layout too, which gives the same images other masks.
    A table and globs say themselves what is meant."""
    if options.images is not None or name == "csv":
        return
    files = {s.image.resolve(): s.mask.files for of in found.samples.values() for s in of}
    earlier = list(LAYOUTS).index(name)  # those before it did not fit
    for other, parse in list(LAYOUTS.items())[earlier + 1 :]:
        if other == "found":
            continue
        try:
            read = parse(folder, options)
        except (DatasetError, RecursionError):
            continue
        if read is not None and (place := _other_masks(read, files)):
            text = (
                f"{folder} can be read as {name} and as {other}, and {place}; say which is meant "
                f"with --layout {name} (layout.name), or take the others out"
            )
            yield Issue("error", "two layouts", text)


def _shared_masks(found: ParsedLayout) -> Iterator[Issue]:
    """An error for each mask file that is found for two images, as x.png for x.jpg and x.bmp."""
    images: dict[Path, Path] = {}
    for sample in [sample for of in found.samples.values() for sample in of]:
        if not isinstance(sample.mask, FileMask):
            continue
        first = images.setdefault(sample.mask.path.resolve(), sample.image)
        if first.resolve() != sample.image.resolve():
            text = (
                f"{sample.mask.path} is the mask of {first} and of {sample.image}, which are two "
                "images of one name; take out the one that is not meant"
            )
            yield Issue("error", "shared mask", text)


def _other_masks(read: ParsedLayout, files: Mapping[Path, tuple[Path, ...]]) -> str | None:
    """Where a reading gives an image other masks than those in `files`; None where it does not."""
    for sample in [sample for of in read.samples.values() for sample in of]:
        own = files.get(sample.image.resolve())
        if own and not {*own} & {*sample.mask.files}:
            return f"{sample.image} has its mask in {own[0]} and in {sample.mask.path}"
    # A tool's file names images by their names alone, which the masks have too.
    unsure = [issue for issue in read.issues if issue.kind == "two images"]
    return unsure[0].text if unsure and not read.samples else None


def _without_split(found: ParsedLayout) -> Iterator[Issue]:
    """A warning where some images are in no split and others are."""
    others = [name for name in found.samples if name != UNSPLIT]
    loose = found.samples.get(UNSPLIT, ())
    if others and loose:
        text = (
            f"{counted(len(loose), 'image')}, such as {loose[0].image}, "
            f"{'is' if len(loose) == 1 else 'are'} in no split, where others are in "
            f"{', '.join(sorted(others))}; taken for train"
        )
        yield Issue("warning", "no split of its own", text)


def _other_splits(splits: dict[str, tuple[Sample, ...]]) -> Iterator[Issue]:
    """A warning for each split that is neither learned from nor chooses the epoch nor is the
    test."""
    for name, samples in splits.items():
        if name not in SPLITS:
            yield Issue(
                "warning",
                "another split",
                f"the split {name!r} of {counted(len(samples), 'image')} is none of train, val "
                "and test: "
                "nothing is learned from it, and it is scored where `segtrain evaluate --split "
                f"{name}` asks; rename it where it is one of them",
            )


def _channels(splits: dict[str, tuple[Sample, ...]]) -> int:
    """3 where an image is in colour, else 1; by the files' headers, of every image."""
    readable = False
    for samples in splits.values():
        for sample in samples:
            try:
                if not is_gray_file(sample.image):
                    return 3
                readable = True
            except UNREADABLE:
                continue
    return 1 if readable else 3
