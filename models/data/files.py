"""The files of a data set, as other systems name them and as links lead to them."""

import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote


def is_hidden(path: Path) -> bool:
    """Whether a file is none of the data: hidden, as macOS' `._` sidecars are, or in macOS' own
    folder of an archive."""
    return path.name.startswith(".") or path.name == "__MACOSX"


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, in the order of their paths; hidden ones left out.

    Links to folders are followed, and each folder is entered once, whatever leads to it.
    """
    return _walk(folder, set())


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    status = folder.stat()
    identity = status.st_dev, status.st_ino
    if identity in entered:
        return
    entered.add(identity)
    children = [path for path in sorted(folder.iterdir()) if not is_hidden(path)]
    # What lies here comes before what a link leads to, so that a link back changes no name.
    for path in sorted(children, key=Path.is_symlink):
        if path.is_dir():
            yield from _walk(path, entered)
        elif is_file(path):
            yield path


def is_file(path: Path) -> bool:
    """Whether there is such a file; no error where no file could have that name."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # longer than the file system allows
        return False


def spellings(name: str) -> list[str]:
    """A file's name as written, and as other systems would have written it: with Windows'
    separators, quoted as in a URL, and in Unicode's two forms (macOS takes accents apart)."""
    separated = name.replace("\\", "/")
    plain = [name, separated, unquote(separated)]
    return list(
        dict.fromkeys(
            form
            for text in plain
            for form in (
                text,
                unicodedata.normalize("NFC", text),
                unicodedata.normalize("NFD", text),
            )
        )
    )


def find_file(name: str, folders: Iterable[Path]) -> Path | None:
    """The file of that name in the first of the folders that has it, in any of its `spellings`;
    None where none has."""
    return next(
        (
            folder / spelling
            for folder in folders
            for spelling in spellings(name)
            if is_file(folder / spelling)
        ),
        None,
    )


def same_name(name: str) -> str:
    """A name by which files are matched: one of Unicode's forms."""
    return unicodedata.normalize("NFC", name)
