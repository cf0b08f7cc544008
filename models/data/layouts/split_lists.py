"""Files that list the images of each split, beside a data set whose folders do not say it: a text
file a split (`train.txt`, `splits/val.txt`, VOC's `ImageSets/Main`), one JSON of all, or a CSV with
a column `split`."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.data.dataset import Sample
from models.data.files import is_file, is_hidden, same_name, spellings
from models.data.layouts.layout import SPLITS, UNSPLIT, ParsedLayout, split_in, split_name
from models.data.names import counted

UNLISTED = "unlisted"  # the split of images that no list names
_LARGEST_BYTES = 2**26
_DEEPEST = 3  # folders from the data set's to a list
_COLUMNS = ("split", "subset")


@dataclass
class _Lists:
    """By sample, the split and the file that gives it; names that are no image's, by file."""

    index: Mapping[str, Sequence[int]]
    given: dict[int, tuple[str, Path]] = field(default_factory=dict)
    unknown: dict[Path, list[str]] = field(default_factory=lambda: defaultdict(list))
    conflict: str | None = None

    def add(self, path: Path, entries: Sequence[tuple[str, Sequence[str]]]) -> None:
        """The entries of a file, each a split and the names that may be its image's."""
        found = [(split, names, self._place(names)) for split, names in entries]
        if all(place is None for _, _, place in found):
            return  # a text of another kind
        for split, names, place in found:
            if place is None:
                self.unknown[path].append(names[0])
                continue
            other, by = self.given.setdefault(place, (split, path))
            if other != split and self.conflict is None:
                both = f"{by} and {path}" if by != path else str(path)
                self.conflict = f"{both} put {names[0]} into {other} and into {split}"

    def _place(self, names: Sequence[str]) -> int | None:
        """The one sample that one of the names is of, whatever folders it begins with."""
        for name in names:
            for spelling in spellings(name):
                parts = same_name(spelling).strip("/").split("/")
                for first in range(len(parts)):
                    places = self.index.get("/".join(parts[first:]), ())
                    if len(places) == 1:
                        return places[0]
        return None


def split_by_lists(found: ParsedLayout, folder: Path) -> None:
    """Divide samples of no split as lists beside them say. An image that no list names is of the
    split UNLISTED, from which nothing is learned."""
    samples = found.samples.get(UNSPLIT, [])
    if set(found.samples) != {UNSPLIT}:
        return
    lists = _Lists(_index(samples, folder))
    for path, entries in _read(folder):
        lists.add(path, entries)
    if lists.conflict:
        found.error("two splits", f"{lists.conflict}; leave the lists that are meant")
    if not lists.given:
        return
    for path, names in lists.unknown.items():
        text = f"{path} lists {counted(len(names), 'name')} of no image here, such as {names[0]}"
        found.warning("names of no image", text)
    divided: dict[str, list[Sample]] = defaultdict(list)
    for place, sample in enumerate(samples):
        divided[lists.given.get(place, (UNLISTED, folder))[0]].append(sample)
    found.samples = {
        name: divided[name]
        for name in (*SPLITS, *sorted({*divided} - {*SPLITS}))
        if name in divided
    }


def _index(samples: Sequence[Sample], folder: Path) -> dict[str, list[int]]:
    """The places of samples by the names that lists may use for them: an image's or a mask's, with
    folders or without, with its ending or without."""
    index: dict[str, list[int]] = defaultdict(list)
    for place, sample in enumerate(samples):
        names = set()
        for path in (sample.image, sample.mask.path):
            relative = path.relative_to(folder) if path.is_relative_to(folder) else path
            names |= {
                same_name(name)
                for one in (relative, Path(path.name))
                for name in (one.as_posix(), one.with_suffix("").as_posix())
            }
        for name in names:
            index[name].append(place)
    return index


def _read(folder: Path) -> Iterator[tuple[Path, list[tuple[str, Sequence[str]]]]]:
    """The files that may be lists, and what each would say."""
    for path in _candidates(folder):
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        kind = path.suffix.lower()
        if kind == ".json":
            yield path, _of_json(text)
        elif kind == ".csv":
            yield path, _of_csv(text)
        else:
            split = split_in(path.stem)
            assert split is not None  # a candidate
            lines = [line.strip() for line in text.splitlines() if line.strip()]
            yield path, [(split, (line, line.split()[0], line.split(",")[0])) for line in lines]


def _candidates(folder: Path) -> Iterator[Path]:
    for depth in range(_DEEPEST):
        for path in sorted(folder.glob("*/" * depth + "*.*")):
            kind = path.suffix.lower()
            may_be = (
                (kind == ".txt" and split_in(path.stem))
                or (kind == ".json" and "split" in path.stem.lower())
                or (kind == ".csv" and depth == 0)
            )
            hidden = any(is_hidden(part) for part in (path, *path.parents[:depth]))
            if may_be and not hidden and is_file(path) and path.stat().st_size <= _LARGEST_BYTES:
                yield path


def _of_json(text: str) -> list[tuple[str, Sequence[str]]]:
    """Of an object with a list of names a split."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    return [
        (split, (name,))
        for word, names in document.items()
        if (split := split_name(word)) and isinstance(names, list)
        for name in names
        if isinstance(name, str)
    ]


def _of_csv(text: str) -> list[tuple[str, Sequence[str]]]:
    """Of a table with a column `split`, whose other cells name the image."""
    lines = text.splitlines()
    try:
        rows = list(csv.DictReader(lines))
    except csv.Error:
        return []
    entries: list[tuple[str, Sequence[str]]] = []
    for row in rows:
        cells = {str(key).strip().lower(): value for key, value in row.items()}
        word = next((cells[name] for name in _COLUMNS if cells.get(name)), None)
        names = [v for k, v in cells.items() if k not in _COLUMNS and isinstance(v, str) and v]
        if isinstance(word, str) and names:
            entries.append((split_name(word) or word, names))
    return entries
