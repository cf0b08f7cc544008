"""CVAT's Segmentation mask 1.1 without its images: SegmentationClass/ and labelmap.txt, beside the
pictures of the task wherever they lie. With images (JPEGImages/) it is read as PASCAL VOC's."""

from pathlib import Path

from models.data.dataset import DatasetError, Sample
from models.data.files import files_below, same_name
from models.data.layouts.annotated import split_of
from models.data.layouts.class_files import folder_classes
from models.data.layouts.image_index import ImageIndex
from models.data.layouts.layout import ParsedLayout, images_below, warn_of_unlisted
from models.data.masks import FileMask
from models.data.options import LayoutOptions

_MASKS, _OBJECTS, _LABELS = "SegmentationClass", "SegmentationObject", "labelmap.txt"


def parse_cvat_masks(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair masks with images by their path below SegmentationClass/. Raises DatasetError where
    there are no masks."""
    masks = folder / _MASKS
    if not masks.is_dir() or not (folder / _LABELS).is_file() or (folder / "JPEGImages").exists():
        return None
    classes = folder_classes(folder, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    made = {folder / _MASKS, folder / _OBJECTS}
    index = ImageIndex(path for path in images_below(folder) if not made & {*path.parents})
    images = []
    for mask in files_below(masks):
        if mask.suffix.lower() != ".png":
            continue
        relative = same_name(mask.relative_to(masks).with_suffix("").as_posix())
        match = index.of_path(relative)
        if match.only is not None:
            images.append(match.only)
            sample = Sample(match.only, FileMask(mask, classes.encoding))
            found.add(split_of(match.only, folder), sample)
        elif match.images:
            several = " and ".join(map(str, match.images))
            found.error("two images", f"{mask} may be of {several}; take out what is not meant")
        else:
            found.error(
                "no image", f"{mask} is of the image {relative}, which is not there; add it"
            )
    if not found.samples and not found.issues:
        raise DatasetError(f"{masks} has no masks")
    warn_of_unlisted(found, images, images, f"{folder}: {_MASKS}/ has no mask of")
    return found
