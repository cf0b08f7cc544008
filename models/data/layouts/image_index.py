"""Finds the image that an annotation tool names, which keeps files under names of its own."""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from models.data.files import same_name, spellings

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts it before what was uploaded
_NOT_KEPT = re.compile(r"[^-\w.]")  # Django takes these out of a file's name


@dataclass(frozen=True)
class Match:
    """The images that a name may mean: one, none, or several."""

    images: tuple[Path, ...]

    @property
    def only(self) -> Path | None:
        return self.images[0] if len(self.images) == 1 else None


class ImageIndex:
    """The images of a data set by their names, whatever folders they lie in."""

    def __init__(self, images: Iterable[Path]) -> None:
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_django: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for image in images:
            self._by_name[same_name(image.name)].append(image)
            self._by_django[_django_name(image.name)].append(image)
            self._by_stem[same_name(image.stem)].append(image)

    def named(self, name: str) -> Match:
        """The images of a name: a path, or a URL as Label Studio writes it. Of several of that
        name those whose folders fit best."""
        for path in dict.fromkeys(map(same_name, _paths(name))):
            last = path.rsplit("/", 1)[-1]
            for key in dict.fromkeys((last, _UPLOAD.sub("", last))):
                for index in (self._by_name, self._by_django):
                    if images := index.get(key):
                        return Match(_best(path, images))
        return Match(())

    def of_path(self, path: str) -> Match:
        """The images of a path without its ending; of several those whose folders fit best."""
        images = self._by_stem.get(same_name(path.rsplit("/", 1)[-1]), [])
        return Match(_best(path, images) if images else ())


def _paths(name: str) -> list[str]:
    """What a name may mean as a path, with / between its folders."""
    query = parse_qs(urlsplit(name).query) if "?" in name else {}
    if given := query.get("d") or query.get("filepath"):  # Label Studio's local and uploaded files
        return spellings(given[0])
    bare = name.split("?", 1)[0] if "://" in name else name
    return [*spellings(bare), unquote(bare)]


def _best(path: str, images: list[Path]) -> tuple[Path, ...]:
    """Those images whose last folders are the path's, as many as can be."""
    different = list({image.resolve(): image for image in images}.values())
    folders = path.split("/")[-2::-1]

    def shared(image: Path) -> int:
        own = [same_name(parent.name) for parent in image.parents]
        return next(
            (n for n, (a, b) in enumerate(zip(folders, own, strict=False)) if a != b),
            min(len(folders), len(own)),
        )

    most = max(map(shared, different))
    return tuple(image for image in different if shared(image) == most)


def _django_name(name: str) -> str:
    return _NOT_KEPT.sub("", same_name(name).strip().replace(" ", "_"))
