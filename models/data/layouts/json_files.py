"""JSON that other programs wrote, within bounds."""

import json
import mmap
from pathlib import Path
from typing import Any

import orjson

from models.data.dataset import DatasetError

MAX_BYTES = 2**31


def load_json(path: Path) -> Any:
    """What a JSON file holds. Raises DatasetError where it is none, nested deeper than orjson's
    1,024 levels, or larger than 2 GiB."""
    try:
        return orjson.loads(_content(path).removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}; export it again") from error


def load_loose_json(path: Path) -> Any:
    """As `load_json`, of files that may hold NaN, as scripts in Python write them."""
    try:
        return json.loads(_content(path))
    except RecursionError as error:
        raise DatasetError(f"{path} is not JSON of data: it is nested too deep") from error
    except ValueError as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error


def _content(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DatasetError(
            f"{path} has {size} bytes; {MAX_BYTES} are read at most: export it in parts"
        )
    return path.read_bytes()


def mentions(path: Path, *names: str) -> bool:
    """Whether a file has each of the names in double quotes, in any place."""
    if not 0 < path.stat().st_size <= MAX_BYTES:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(content.find(f'"{name}"'.encode()) >= 0 for name in names)
