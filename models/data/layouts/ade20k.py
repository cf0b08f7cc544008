"""ADE20K's scene parsing (ADEChallengeData2016): images/training, annotations/training and so on,
where 0 is what is not labelled and 1 to 150 are the classes of objectInfo150.txt."""

from pathlib import Path

from models.data.dataset import VOID, DatasetError, Sample
from models.data.files import is_file
from models.data.layouts.coded_masks import coded_classes, require_own_values
from models.data.layouts.layout import ParsedLayout, images_below, split_name
from models.data.masks import FileMask
from models.data.options import LayoutOptions

_TABLE = "objectInfo150.txt"


def parse_ade20k(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair images with annotations of their name. Raises DatasetError where the table of classes
    is none."""
    roots = [folder, *sorted(folder.glob("ADEChallengeData*"))]
    root = next((path for path in roots if is_file(path / _TABLE)), None)
    if root is None or not (root / "annotations").is_dir():
        return None
    require_own_values(options, "ADE20K")
    names = _names(root / _TABLE)
    values = {0: VOID, **{place + 1: place for place in range(len(names))}}
    classes = coded_classes("ADE20K", "ADE20K", names, values)
    found = ParsedLayout(classes.class_list)
    images = root / "images"
    for image in images_below(images) if images.is_dir() else ():
        relative = image.relative_to(images)
        mask = (root / "annotations" / relative).with_suffix(".png")
        if is_file(mask):
            split = split_name(relative.parts[0]) or relative.parts[0]
            found.add(split, Sample(image, FileMask(mask, classes.encoding)))
        else:
            found.error("no mask", f"{image} has no mask; expected {mask}")
    if not found.samples and not found.issues:
        raise DatasetError(f"{root} has no images in images/")
    return found


def _names(path: Path) -> list[str]:
    """The classes in the order of their numbers, by the first of their names."""
    names: list[str] = []
    for line in path.read_text(encoding="utf-8-sig").splitlines()[1:]:
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip():
            continue
        if not cells[0].isdecimal() or int(cells[0]) != len(names) + 1:
            raise DatasetError(
                f"{path}: {line!r} is not the line of class {len(names) + 1}: its number "
                "first, its names last, between tabs"
            )
        names.append(cells[-1].split(",")[0])
    # Two classes of the set begin with one name (screen; crt screen … screen).
    return [
        name if names.count(name) == 1 else f"{name} {place + 1}"
        for place, name in enumerate(names)
    ]
