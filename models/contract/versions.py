"""The versions of a model: the folders below `<store>/<name>` whose names are numbers."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

MAX_VERSION_DIGITS = 18  # of a number of 64 bits

_ALMOST = re.compile(r"[vV]?[.\d]*\d[.\d]*")  # what was meant as a version, such as v1 or 1.0


@dataclass(frozen=True)
class Versions:
    """The folder of each version, ascending; and a sentence about each folder that is none but
    looks like one."""

    folders: dict[int, Path]
    faults: tuple[str, ...] = ()

    @property
    def next(self) -> int:
        """One more than the newest."""
        return max(self.folders, default=0) + 1


def find_versions(model: Path) -> Versions:
    """The versions below `<store>/<name>`; none where there is no such folder. Raises OSError where
    it cannot be read.

    As TensorFlow Serving reads them, leading zeros count for nothing: `0001` is version 1. Where
    two folders are the same version, neither is taken.
    """
    by_number: dict[int, list[Path]] = defaultdict(list)
    faults = []
    for path in sorted(model.iterdir()) if model.is_dir() else ():
        if not path.is_dir():
            continue
        if _is_version(path.name):
            by_number[int(path.name)].append(path)
        elif looks_like_number(path.name):
            faults.append(
                f"{model.name}/{path.name} is not a version: versions are whole numbers from 1 on, "
                f"in digits 0 to 9, at most {MAX_VERSION_DIGITS} of them; rename the folder"
            )
    folders = {number: paths[0] for number, paths in by_number.items() if len(paths) == 1}
    for number, paths in by_number.items():
        if len(paths) > 1:
            names = " and ".join(f"{model.name}/{path.name}" for path in paths)
            faults.append(f"{names} are both version {number}; remove or rename all but one")
    return Versions(dict(sorted(folders.items())), tuple(sorted(faults)))


def looks_like_number(name: str) -> bool:
    """Whether a folder's name is a version's, or was meant as one, such as v1 or 1.0."""
    return _ALMOST.fullmatch(name) is not None


def versions(model: Path) -> list[int]:
    """The numbers of `find_versions`, ascending."""
    return list(find_versions(model).folders)


def _is_version(name: str) -> bool:
    is_number = name.isascii() and name.isdecimal() and len(name) <= MAX_VERSION_DIGITS
    return is_number and int(name) > 0
