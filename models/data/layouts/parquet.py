"""Images and masks that lie in parquet files, as Hugging Face's datasets writes them: a struct of
bytes and path each. Training opens files, so they are unpacked once, beside their parquet file."""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from models.contract import atomic
from models.data.dataset import UNREADABLE, DatasetError
from models.data.layouts.layout import ParsedLayout

_FOLDER = ".segtrain-parquet"
_ROWS = 16  # at once: each holds an image and a mask
_NOT_PLAIN = re.compile(r"[^-\w. ]+")
_LONGEST_STEM = 60


@dataclass(frozen=True)
class Rows:
    """A parquet file, and what its columns of images and of masks may be called."""

    path: Path
    image_names: tuple[str, ...]
    mask_names: tuple[str, ...]


def unpacked(rows: Rows, found: ParsedLayout) -> Iterator[tuple[Path, Path]]:
    """The image and mask of each row that has both; else an error. Raises DatasetError where
    pyarrow is missing, the file is none, and where it cannot be unpacked beside itself."""
    path = rows.path
    status = path.stat()
    target = path.parent / _FOLDER / f"{path.name}-{status.st_size}-{status.st_mtime_ns}"
    if not target.is_dir():
        try:
            with atomic.new_folder(target) as folder:
                _unpack(rows, folder)
        except OSError as error:
            raise DatasetError(
                f"{path} cannot be unpacked into {target} ({error.strerror}); training opens "
                "files, so copy the data set to where there is room for its images"
            ) from error
    images: dict[str, dict[str, Path]] = {}
    for file in sorted(target.iterdir()):
        number, kind = file.stem.split(" ")[:2]
        images.setdefault(number, {})[kind] = file
    for number, files in images.items():
        if {"image", "mask"} <= files.keys():
            yield files["image"], files["mask"]
        else:
            missing = "image" if "mask" in files else "mask"
            found.error(f"no {missing}", f"{path}, row {int(number)} has no {missing} in it")


def _unpack(rows: Rows, folder: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DatasetError(
            f"{rows.path} is parquet, which needs pyarrow: pip install 'segserve[parquet]'"
        ) from None
    try:
        with pyarrow.parquet.ParquetFile(rows.path) as file:
            image, mask = _columns(rows, file.schema_arrow)
            number = 0
            for batch in file.iter_batches(_ROWS, columns=[image, mask]):
                for row in batch.to_pylist():
                    for kind, column in (("image", image), ("mask", mask)):
                        _write(rows.path, number, kind, row[column], folder)
                    number += 1
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{rows.path} cannot be read as parquet: {error}") from error


def _columns(rows: Rows, schema: Any) -> tuple[str, str]:
    """The one column of images and the one of masks. Raises DatasetError."""
    held = [
        field.name
        for field in schema
        if "bytes" in {field.type.field(i).name for i in range(field.type.num_fields)}
        or str(field.type) in ("binary", "large_binary")
    ]
    images = [name for name in held if name.lower() in rows.image_names]
    masks = [name for name in held if name.lower() in rows.mask_names]
    if len(images) != 1 or len(masks) != 1:
        raise DatasetError(
            f"{rows.path} has the columns of images {', '.join(held) or 'none'}; one is to be "
            f"called {' or '.join(rows.image_names)}, and one {' or '.join(rows.mask_names)}"
        )
    return images[0], masks[0]


def _write(path: Path, number: int, kind: str, cell: Any, folder: Path) -> None:
    """One image's file, with its own name behind its number. Raises DatasetError where it is no
    image."""
    fields: Mapping[str, Any] = cell if isinstance(cell, dict) else {"bytes": cell}
    content = fields.get("bytes")
    if content is None:
        return
    try:
        with Image.open(io.BytesIO(content)) as image:
            form = str(image.format).lower()
    except UNREADABLE as error:
        raise DatasetError(f"{path}, row {number}: its {kind} is no image ({error})") from error
    suffix = {"jpeg": "jpg", "tiff": "tif"}.get(form, form)
    stem = PurePosixPath(str(fields.get("path") or "")).stem
    stem = _NOT_PLAIN.sub("_", stem)[:_LONGEST_STEM]
    name = f"{number:08} {kind} {stem}".strip()
    (folder / f"{name}.{suffix}").write_bytes(content)
