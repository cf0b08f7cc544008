"""Masks whose values a format defines otherwise than as class ids: which value is which class."""

from collections.abc import Mapping, Sequence

from models.contract import SegmentationClass
from models.data.dataset import VOID, ClassList, DatasetError
from models.data.layouts.class_files import Classes
from models.data.masks import MaskEncoding, hex_color, voc_color
from models.data.names import is_void, tidy
from models.data.options import LayoutOptions


def coded_classes(
    name: str,
    source: str,
    names: Sequence[str],
    values: Mapping[int, int],
    colors: Sequence[str] = (),
) -> Classes:
    """Classes of those names, and masks in which a value stands for the id (or VOID) in `values`;
    others stand for nothing. Raises DatasetError where the names cannot be classes."""
    tidied = [tidy(one) for one in names]
    if not 2 <= len(tidied) <= VOID or len(set(tidied)) < len(tidied) or "" in tidied:
        raise DatasetError(
            f"{name}: {len(tidied)} classes, {', '.join(tidied[:8])}; segtrain takes 2 to 255 of "
            "different names"
        )
    shown = colors or [hex_color(voc_color(index)) for index in range(len(tidied))]
    classes = tuple(
        SegmentationClass(id=index, name=one, color=color)
        for index, (one, color) in enumerate(zip(tidied, shown, strict=True))
    )
    class_list = ClassList(name=name or "data", classes=classes, ignore=VOID, source=source)
    ids = frozenset({*range(len(classes)), VOID})
    by_value = tuple(values.get(value) for value in range(256))
    encoding = MaskEncoding(None, ids, class_list.background, by_value)
    return Classes(class_list, encoding)


def without_void(names: Mapping[int, str]) -> tuple[list[str], dict[int, int]]:
    """The names by value, less those that are void, and the id or VOID of each value."""
    kept: list[str] = []
    values = {VOID: VOID}
    for value in sorted(names):
        if is_void(names[value]):
            values[value] = VOID
        else:
            values[value] = len(kept)
            kept.append(names[value])
    return kept, values


def require_own_values(options: LayoutOptions, layout: str) -> None:
    """Raise DatasetError where `options` say otherwise what a format itself defines."""
    if options.ignore is not None or options.shift or options.palette is not None:
        raise DatasetError(
            f"{layout} says itself what the values in its masks mean; leave ignore, shift and "
            "palette out"
        )
