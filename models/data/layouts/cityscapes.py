"""Cityscapes (Cordts et al. 2016): leftImg8bit/SPLIT/CITY and gtFine/SPLIT/CITY, whose labelIds
become the 19 classes of its benchmark; the other ids, as car parks and the ego vehicle, are
ignored."""

from pathlib import Path

from models.data.dataset import IMAGE_SUFFIXES, VOID, DatasetError, Sample
from models.data.files import files_below, is_file
from models.data.layouts.coded_masks import coded_classes, require_own_values
from models.data.layouts.layout import ParsedLayout, split_name
from models.data.masks import FileMask
from models.data.names import counted
from models.data.options import LayoutOptions

# labelId, name, colour of the classes that are evaluated, in the order of the train ids.
_CLASSES = (
    *((7, "road", "#804080"), (8, "sidewalk", "#f423e8"), (11, "building", "#464646")),
    *((12, "wall", "#66669c"), (13, "fence", "#be9999"), (17, "pole", "#999999")),
    *((19, "traffic light", "#faaa1e"), (20, "traffic sign", "#dcdc00")),
    *((21, "vegetation", "#6b8e23"), (22, "terrain", "#98fb98"), (23, "sky", "#4682b4")),
    *((24, "person", "#dc143c"), (25, "rider", "#ff0000"), (26, "car", "#00008e")),
    *((27, "truck", "#000046"), (28, "bus", "#003c64"), (31, "train", "#005064")),
    *((32, "motorcycle", "#0000e6"), (33, "bicycle", "#770b20")),
)
_HIGHEST_ID = 33
_IMAGE_END = "_leftImg8bit"


def parse_cityscapes(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair images with their fine labels, those of ids or of train ids. Raises DatasetError where
    there are none."""
    images, truth = folder / "leftImg8bit", folder / "gtFine"
    if not images.is_dir() or not truth.is_dir():
        return None
    require_own_values(options, "Cityscapes")
    names = [name for _, name, _ in _CLASSES]
    colors = [color for _, _, color in _CLASSES]
    by_label = dict.fromkeys(range(_HIGHEST_ID + 1), VOID)  # 255 is of train ids
    by_label |= {label: index for index, (label, _, _) in enumerate(_CLASSES)}
    by_train = {**{index: index for index in range(len(_CLASSES))}, VOID: VOID}
    found = ParsedLayout(
        coded_classes("Cityscapes", "Cityscapes", names, by_label, colors).class_list
    )
    encodings = {
        f"_gtFine_{kind}.png": coded_classes("Cityscapes", "Cityscapes", names, values, colors)
        for kind, values in (("labelIds", by_label), ("labelTrainIds", by_train))
    }
    unlabelled, others = 0, []
    for image in files_below(images):
        if not image.stem.endswith(_IMAGE_END):
            others += [image] * (image.suffix.lower() in IMAGE_SUFFIXES)
            continue
        relative = image.relative_to(images)
        split = split_name(relative.parts[0]) or relative.parts[0]
        if split == "test":  # its labels are kept back, and hold nothing but ignored ids
            unlabelled += 1
            continue
        base = truth / relative.parent / image.stem.removesuffix(_IMAGE_END)
        masks = {base.with_name(base.name + end): c for end, c in encodings.items()}
        mask = next((path for path in masks if is_file(path)), None)
        if mask is None:
            found.error("no mask", f"{image} has no mask; expected {next(iter(masks))}")
        else:
            found.add(split, Sample(image, FileMask(mask, masks[mask].encoding)))
    found.warn_of_images(
        "images left out", images, others, f"are not called …{_IMAGE_END}.png and are left out"
    )
    if unlabelled:
        found.warning(
            "test without labels",
            f"{images / 'test'}: {counted(unlabelled, 'image')} left out, for Cityscapes keeps "
            "their labels back",
        )
    if not found.samples and not found.issues:
        raise DatasetError(f"{images} has no images called …{_IMAGE_END}.png")
    return found
