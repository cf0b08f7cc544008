"""Images and masks as they are found: in whatever folders, told by words in the names of folders
and files, or by the globs that say which is which.

A path is taken apart into what says that it is an image or a mask (`Ground_Truth`, `_mask`) and
what is left, its key; an image and a mask of one key are a pair.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from PIL import Image

from models.data.dataset import IMAGE_SUFFIXES, UNREADABLE, DatasetError, Sample
from models.data.files import files_below, same_name
from models.data.layouts.class_files import folder_classes
from models.data.layouts.folders import MASK_SUFFIXES
from models.data.layouts.layout import UNSPLIT, ParsedLayout, split_name
from models.data.mask_files import LOSSY_SUFFIXES
from models.data.mask_size import is_scaled
from models.data.masks import FileMask
from models.data.names import counted
from models.data.options import LayoutOptions

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+(?:st|nd|rd|th)?|[^\W\d_]+")
_MASK_WORDS = frozenset(
    {
        *("mask", "masks", "label", "labels", "labeled", "labelled", "annotation", "annotations"),
        *("annotated", "gt", "groundtruth", "truth", "seg", "segmentation", "segmentations"),
        *("segmented", "target", "targets", "manual", "ho"),
    }
)
_IMAGE_WORDS = frozenset(
    {"image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "original", "rgb"}
)
# Words that say neither which picture nor what it is, beside one of the above.
_FILLERS = frozenset({"ground", "png", "jpg", "raw", "input", "inputs", "color", "colour"})
_ORDINALS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "1": 1, "2": 2, "3": 3, "4": 4}


@dataclass(frozen=True)
class _Named:
    """A file by its path below the data set: whether it is a mask, by what `pattern` of names, what
    is left of it, and whose it is where several drew."""

    path: Path
    is_mask: bool
    pattern: str
    key: tuple[str, ...]
    annotator: int = 1

    @property
    def loose_key(self) -> tuple[str, ...]:
        """The name of the picture alone, without its folders and the words of splits."""
        words = [word for word in self.key[-1].split("_") if split_name(word) is None]
        return ("_".join(words),) if words else self.key[-1:]


def parse_found(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Pair the images and masks below a folder. Raises DatasetError where two ways of pairing them
    fit; gives None where none does."""
    if (options.images is None) != (options.masks is None):
        raise DatasetError("--images and --masks come together (layout.images, layout.masks)")
    if options.images is not None and options.masks is not None:
        named = [
            *_globbed(folder, options.images, is_mask=False),
            *_globbed(folder, options.masks, is_mask=True),
        ]
    else:
        named = [_named(path, folder) for path in _pictures(folder)]
    images = [entry for entry in named if not entry.is_mask]
    masks = [entry for entry in named if entry.is_mask]
    if both := {entry.path for entry in images} & {entry.path for entry in masks}:
        raise DatasetError(f"{min(both)} is in --images and in --masks; it can be one of them")
    pairs = _best_pairs(folder, images, masks)
    if not pairs:
        if options.images is not None:
            raise DatasetError(
                f"{folder}: none of the {len(images)} files of --images {options.images} and the "
                f"{len(masks)} of --masks {options.masks} have one name but for words such as "
                "mask, label and gt; pairs are told by their names"
            )
        return None
    classes = folder_classes(folder, options)
    found = ParsedLayout(classes.class_list, issues=list(classes.issues))
    for image, mask in pairs:
        found.add(
            _split_of(image, folder), Sample(image.path, FileMask(mask.path, classes.encoding))
        )
    _tell(found, folder, pairs, images, masks)
    return found


def is_named_as_mask(path: Path, folder: Path) -> bool:
    """Whether a word in the name of a file, or of a folder below the data set, says that it is a
    mask."""
    return _named(path, folder).is_mask


def are_named_in_pairs(images: Iterable[Path], masks: Iterable[Path], folder: Path) -> bool:
    """Whether each image has one mask of its name, and no mask is left."""
    keys = [sorted(_named(path, folder).key for path in paths) for paths in (images, masks)]
    return keys[0] == keys[1] and len({*keys[0]}) == len(keys[0])


def _pictures(folder: Path) -> Iterator[Path]:
    for path in files_below(folder):
        if path.suffix.lower() in IMAGE_SUFFIXES | MASK_SUFFIXES | LOSSY_SUFFIXES:
            yield path


def _globbed(folder: Path, glob: str, *, is_mask: bool) -> list[_Named]:
    """The files of a glob, which says what they are. Raises DatasetError where it has none."""
    pattern = PurePosixPath(glob)
    if pattern.is_absolute() or ".." in pattern.parts:
        raise DatasetError(f"the glob {glob!r} is to be below {folder}, such as photos/*.jpg")
    try:
        matched = {path.resolve() for path in folder.glob(glob)}
    except (ValueError, NotImplementedError) as error:
        raise DatasetError(f"the glob {glob!r} is not one: {error}") from error
    files = [path for path in _pictures(folder) if path.resolve() in matched]
    if not files:
        raise DatasetError(f"{folder} has no pictures of the glob {glob!r}")
    return [replace(_named(path, folder), is_mask=is_mask, pattern=glob) for path in files]


def _named(path: Path, folder: Path) -> _Named:
    """What a file's name and its folders' say of it."""
    relative = PurePosixPath(same_name(path.relative_to(folder).as_posix()))
    kept: list[str] = []
    said: list[str] = []
    is_mask, annotator = False, 1
    for part in (*relative.parts[:-1], relative.stem):
        words = [word.lower() for word in _WORDS.findall(part)]
        roles = [word for word in words if word in _MASK_WORDS | _IMAGE_WORDS]
        if not roles:
            kept.append(part.lower())
            said.append("*")
            continue
        if any(word in _MASK_WORDS for word in roles):
            is_mask = True
            numbers = (_ORDINALS[w] for w in words if w in _ORDINALS and _is_annotator(words, w))
            annotator = next(numbers, annotator)
        of_mask = any(word in _MASK_WORDS for word in roles)
        rest = [
            word
            for word in words
            if word not in roles
            and word not in _FILLERS
            and not (of_mask and word in _ORDINALS and _is_annotator(words, word))
            and split_name(word) is None
        ]
        kept.append("_".join(rest))
        said.append(_pattern(part, rest))
    name = kept.pop()
    folders = [part for part in kept if part]
    is_in_split = [part for part in folders if split_name(part) is None]
    pattern = "/".join(said) + path.suffix.lower()
    return _Named(path, is_mask, pattern, (*is_in_split, _joined(name)), annotator)


def _is_annotator(words: Sequence[str], word: str) -> bool:
    """Whether a number in a mask's name counts who drew it: 1stHO, manual1, and not mask 12."""
    if word.endswith(("st", "nd", "rd", "th")):
        return True
    place = words.index(word)
    return place > 0 and words[place - 1] == "manual"


def _pattern(part: str, rest: Sequence[str]) -> str:
    """A name with * for what differs from picture to picture."""
    for word in rest:
        part = re.sub(re.escape(word), "*", part, count=1, flags=re.IGNORECASE)
    part = re.sub(r"\*[\W_]*(?:\*[\W_]*)*(?=\*)|\d+(?!st|nd|rd|th|\d)", "*", part)
    return re.sub(r"\*+", "*", part)


def _joined(name: str) -> str:
    return "_".join(word.lower() for word in _WORDS.findall(name)) or name


def _best_pairs(
    folder: Path, images: Sequence[_Named], masks: Sequence[_Named]
) -> list[tuple[_Named, _Named]]:
    """Each image with its mask. Raises DatasetError where it may be one of several."""
    strict = _pairs(folder, images, masks, loose=False)
    if len(strict) == min(len(images), len(masks)):
        return strict
    try:
        loose = _pairs(folder, images, masks, loose=True)
    except DatasetError:
        if strict:
            return strict
        raise
    return loose if len(loose) > len(strict) else strict


def _pairs(
    folder: Path, images: Sequence[_Named], masks: Sequence[_Named], *, loose: bool
) -> list[tuple[_Named, _Named]]:
    def key(entry: _Named) -> tuple[str, ...]:
        return entry.loose_key if loose else entry.key

    by_key: dict[tuple[str, ...], list[_Named]] = defaultdict(list)
    for mask in masks:
        by_key[key(mask)].append(mask)
    pairs = [(image, mask) for image in images for mask in by_key.get(key(image), ())]
    families = sorted(
        {
            (image.pattern, mask.pattern)
            for image, mask in pairs
            if _is_first(mask, by_key[key(image)])
        }
    )
    of_image: dict[Path, list[_Named]] = defaultdict(list)
    of_mask: dict[Path, list[_Named]] = defaultdict(list)
    chosen = [pair for pair in pairs if _is_first(pair[1], by_key[key(pair[0])])]
    for image, mask in chosen:
        of_image[image.path].append(mask)
        of_mask[mask.path].append(image)
    if any(len(held) > 1 for held in (*of_image.values(), *of_mask.values())):
        by_size = [(image, mask) for image, mask in chosen if _sizes_agree(image.path, mask.path)]
        if _is_one_to_one(by_size) and len(by_size) >= len(of_image):
            return by_size
        ways = "; ".join(
            f"--images '{image}' --masks '{mask}' ("
            f"{counted(sum((i.pattern, m.pattern) == (image, mask) for i, m in chosen), 'pair')})"
            for image, mask in families[:6]
        )
        raise DatasetError(
            f"{folder}: images and masks can be paired in several ways; say which is meant, with "
            f"globs of your own where these do not fit: {ways}"
        )
    return chosen


def _is_one_to_one(pairs: Sequence[tuple[_Named, _Named]]) -> bool:
    """Whether no image and no mask is in two pairs."""
    return all(len({pair[side].path for pair in pairs}) == len(pairs) for side in (0, 1))


def _sizes_agree(image: Path, mask: Path) -> bool:
    """Whether a mask has its image's size, turned or not, or that of its image scaled, by their
    headers; so too where one cannot be read."""
    try:
        with Image.open(image) as opened, Image.open(mask) as drawn:
            own, (width, height) = drawn.size, opened.size
    except UNREADABLE:
        return True
    return any(own == size or is_scaled(own, size) for size in ((width, height), (height, width)))


def _is_first(mask: _Named, all_of_key: Iterable[_Named]) -> bool:
    """Whether no other mask of the key is by an earlier annotator."""
    return mask.annotator == min(other.annotator for other in all_of_key)


def _split_of(image: _Named, folder: Path) -> str:
    words = [
        word for part in image.path.relative_to(folder).parts[:-1] for word in _WORDS.findall(part)
    ]
    return next((split for word in words if (split := split_name(word))), UNSPLIT)


def _tell(
    found: ParsedLayout,
    folder: Path,
    pairs: Sequence[tuple[_Named, _Named]],
    images: Sequence[_Named],
    masks: Sequence[_Named],
) -> None:
    """What was paired, how often, and what was left over."""
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for image, mask in pairs:
        counts[image.pattern, mask.pattern] += 1
    ways = "; ".join(
        f"{count} × {image} with {mask}" for (image, mask), count in sorted(counts.items())[:8]
    )
    more = f"; {len(counts) - 8} more patterns" if len(counts) > 8 else ""
    found.warning(
        "pairing",
        f"{folder}: {counted(len(pairs), 'image')} paired with masks by their names: {ways}{more}. "
        "Where that is wrong, say --images and --masks with globs",
    )
    others = {mask.annotator for _, mask in pairs}
    second = [mask for mask in masks if mask.annotator not in others and mask.annotator > 1]
    if second:
        found.warning(
            "second annotator",
            f"{folder}: {counted(len(second), 'mask')}, such as {second[0].path}, are another "
            "annotator's of the same images and are left out; --masks with a glob takes them",
        )
    used = {entry.path for pair in pairs for entry in pair} | {entry.path for entry in second}
    for kind, entries in (("image", images), ("mask", masks)):
        lost = [entry.path for entry in entries if entry.path not in used]
        if lost:
            found.warning(
                f"{kind}s without a partner",
                f"{folder}: {counted(len(lost), kind)}, such as {lost[0]}, left out for want of a "
                "partner of its name",
            )
