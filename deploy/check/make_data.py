"""What the checks send and train on: python make_data.py picture > JPEG, or dataset > TAR."""

import io
import json
import sys
import tarfile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 360, 480
SIDE = 64
CLASSES = [
    {"id": 0, "name": "background", "color": "#000000"},
    {"id": 1, "name": "square", "color": "#e53935"},
]
COLOURS = np.array([(30, 30, 30), (220, 60, 50)], np.uint8)
SPLIT_SIZES = {"train": 4, "val": 2}


def picture() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    return _encoded(pixels.repeat(8, axis=0).repeat(8, axis=1), "JPEG")


def dataset() -> bytes:
    """A dataset folder of bright squares, small enough to learn in seconds."""
    file = io.BytesIO()
    draw = np.random.default_rng(0)
    with tarfile.open(fileobj=file, mode="w") as archive:
        _add(archive, "classes.json", json.dumps({"name": "squares", "classes": CLASSES}).encode())
        for split, count in SPLIT_SIZES.items():
            for number in range(count):
                mask = np.zeros((SIDE, SIDE), np.uint8)
                top, left = draw.integers(0, SIDE // 2, 2)
                mask[top : top + SIDE // 2, left : left + SIDE // 2] = 1
                _add(archive, f"images/{split}/{number}.png", _encoded(COLOURS[mask], "PNG"))
                _add(archive, f"masks/{split}/{number}.png", _encoded(mask, "PNG"))
    return file.getvalue()


def _encoded(pixels: NDArray[np.uint8], image_format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, image_format)
    return file.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = 0o644
    archive.addfile(entry, io.BytesIO(content))


MAKERS = {"picture": picture, "dataset": dataset}

if __name__ == "__main__":
    sys.stdout.buffer.write(MAKERS[sys.argv[1]]())
