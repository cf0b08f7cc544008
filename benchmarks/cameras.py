"""Question: does a picture of any camera get the classes that one of the training's kind gets, and
at what cost?

    .venv/bin/python -m benchmarks.cameras                (9 minutes)

The test pictures of CamVid are enlarged to what cameras give, those of DSB2018 stored as
microscopes' cameras store them, and each is scored against the same truth: both sets lie in
../shared/data, and a table whose set is missing is left out. Then what photographs of 12 and 48
megapixels cost from body to PNG, by type of file. The bundled models, asked over HTTP.
"""

import io
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rasterio.io import MemoryFile
from tqdm import tqdm

from benchmarks.load import fetch, request_of
from benchmarks.measuring import Run, begin
from benchmarks.pictures import ROOT, photographs, source
from benchmarks.servers import Running, running, segserve
from models.training.metrics import ConfusionMatrix

DATA = ROOT.parent / "shared" / "data"
LONG_SIDES = (240, 480, 960, 1920, 3840)
EVERY = 3  # frame of CamVid's test split, which is film: neighbors are alike
NATIVE_PICTURES = 12  # at 3840 each takes seconds
NOISE, NOISE_SIDE = 8.0, 512  # standard deviation: a JPEG of 12 megapixels has a camera's 4 MB
MEGAPIXELS = {"12 MP": (4032, 3024), "48 MP": (8064, 6048)}
PATIENCE_SECONDS = 600.0
SEED = 19

Pixels = NDArray[np.uint8]
Deep = NDArray[np.uint8 | np.uint16]
CAMERA = (200, 3000)
DEPTHS: dict[str, Callable[[Pixels], Deep]] = {
    "8 bits": lambda pixels: pixels,
    "10 bits in 16": lambda pixels: _spread(pixels, 0, 2**10 - 1),
    "12 bits in 16": lambda pixels: _spread(pixels, 0, 2**12 - 1),
    "14 bits in 16": lambda pixels: _spread(pixels, 0, 2**14 - 1),
    "16 bits": lambda pixels: _spread(pixels, 0, 2**16 - 1),
    f"a camera's {CAMERA[0]}…{CAMERA[1]}": lambda pixels: _spread(pixels, *CAMERA),
}


@dataclass(frozen=True)
class Example:
    """A test picture with its truth (H, W). `is_gray` tells pictures of one channel."""

    image: Pixels
    truth: Pixels

    @property
    def is_gray(self) -> bool:
        return self.image.ndim == 2


def main() -> None:
    """Measure, print, and keep the result."""
    run = begin(__doc__)
    flags = ("--request-timeout-seconds", str(PATIENCE_SECONDS), "--max-upload-bytes", "500000000")
    found: dict[str, Any] = {"images": source()}
    with running(segserve("ours", *flags), photographs(1)[0]) as server:
        found["engine"] = server.engine()
        if frames := list(_examples("camvid", run))[::EVERY]:
            found["frames"] = _frames(server, frames)
        if cells := list(_examples("dsb2018", run)):
            found["depths"] = _depths(server, cells)
    found["cost"] = [
        _cost(run, name, size, kind)
        for name, size in list(MEGAPIXELS.items())[: 1 if run.quick else None]
        for kind in _FILES
    ]
    run.write("cameras", found)


def _examples(data_set: str, run: Run) -> Iterator[Example]:
    """All test pictures of a set; none where it is not there."""
    files = sorted((DATA / data_set / "images" / "test").glob("*"))
    if not files:
        print(f"{DATA / data_set} is not there: its table is left out")
    for file in files[:: max(1, len(files) // 5) if run.quick else 1]:
        with Image.open(file) as image, Image.open(_mask_of(file)) as mask:
            pixels = np.asarray(image.convert("L" if _is_gray(image) else "RGB"))
            yield Example(pixels, np.asarray(mask))


def _mask_of(image: Path) -> Path:
    return image.parents[2] / "masks" / image.parent.name / f"{image.stem}.png"


def _is_gray(image: Image.Image) -> bool:
    """Whether all channels are equal, but for what JPEG does to them."""
    channels = np.asarray(image.convert("RGB")).astype(int)
    return bool(np.ptp(channels, axis=-1).max() <= 8)


# How large a picture is


def _frames(server: Running, examples: list[Example]) -> list[dict[str, Any]]:
    rows = [_frame_row(server, examples, long_side) for long_side in LONG_SIDES]
    rows.append(_frame_row(server, examples, LONG_SIDES[-1], noise=NOISE))
    step = max(1, len(examples) // NATIVE_PICTURES)
    rows.append(_frame_row(server, examples[::step], LONG_SIDES[-1], scale="native"))
    return rows


def _frame_row(
    server: Running,
    examples: list[Example],
    long_side: int,
    scale: str = "auto",
    noise: float = 0.0,
) -> dict[str, Any]:
    """Scores of pictures enlarged to `long_side` and sent as JPEG."""
    matrix, seconds, sizes = ConfusionMatrix(11), list[float](), list[int]()
    for example in tqdm(examples, desc=f"{long_side}, {scale}", unit="picture"):
        body = _jpeg(_enlarged(example.image, long_side, noise))
        began = time.perf_counter()
        class_map = _class_map(server, body, f"scale={scale}")
        seconds.append(time.perf_counter() - began)
        sizes.append(len(body))
        matrix.add(example.truth, _sampled(class_map, example.truth.shape))
    return {
        "long_side": long_side,
        "scale": scale,
        "noise": noise,
        "pictures": len(examples),
        "mean_iou": matrix.scores().mean_iou,
        "seconds": statistics.median(seconds),
        "megabytes": statistics.mean(sizes) / 1e6,
    }


def _enlarged(image: Pixels, long_side: int, noise: float) -> Image.Image:
    height, width = image.shape[:2]
    ratio = long_side / max(height, width)
    size = round(width * ratio), round(height * ratio)
    enlarged = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    return _noisy(enlarged, noise) if noise else enlarged


def _noisy(image: Image.Image, noise: float) -> Image.Image:
    """With grain, in tiles that are alike."""
    tile = np.random.default_rng(SEED).normal(0, noise, (NOISE_SIDE, NOISE_SIDE, 3))
    grain = np.rint(tile).astype(np.int16)
    pixels = np.asarray(image).astype(np.int16)
    for top in range(0, pixels.shape[0], NOISE_SIDE):
        for left in range(0, pixels.shape[1], NOISE_SIDE):
            part = pixels[top : top + NOISE_SIDE, left : left + NOISE_SIDE]
            part += grain[: part.shape[0], : part.shape[1]]
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _sampled(class_map: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The class in the middle of each pixel of the truth."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(int)
        for wanted, given in zip(shape, class_map.shape, strict=True)
    )
    return class_map[np.ix_(rows, columns)]


# How deep its samples are


def _depths(server: Running, examples: list[Example]) -> dict[str, list[dict[str, Any]]]:
    """Scores by how samples are stored, of the gray pictures and of those in color."""
    return {
        name: [_depth_row(server, chosen, how) for how in DEPTHS]
        for name in ("gray", "color")
        if (chosen := [one for one in examples if one.is_gray == (name == "gray")])
    }


def _depth_row(server: Running, examples: list[Example], how: str) -> dict[str, Any]:
    matrix, equal = ConfusionMatrix(2), list[float]()
    for example in tqdm(examples, desc=how, unit="picture"):
        plain = _class_map(server, _png(example.image), "model=nuclei")
        class_map = _class_map(server, _png(DEPTHS[how](example.image)), "model=nuclei")
        equal.append(float(np.mean(plain == class_map)))
        matrix.add(example.truth, class_map)
    scores = matrix.scores()
    return {
        "stored": how,
        "pictures": len(examples),
        "nucleus_iou": float(scores.class_iou[1]),
        "mean_iou": scores.mean_iou,
        "equal_to_8_bits": statistics.mean(equal),
    }


def _spread(pixels: Pixels, low: int, high: int) -> Deep:
    """0…255 as `low`…`high`."""
    spread: NDArray[np.uint16] = np.rint(low + pixels * ((high - low) / 255)).astype(np.uint16)
    return spread


# What a large photograph costs


def _saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return _saved(image, "JPEG", quality=quality)


_FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda image: _jpeg(image, 93),
    "JPEG, progressive": lambda image: _saved(image, "JPEG", quality=93, progressive=True),
    "WebP": lambda image: _saved(image, "WEBP", quality=80, method=0),
    "PNG": lambda image: _saved(image, "PNG", compress_level=1),
    "TIFF": lambda image: _saved(image, "TIFF"),
}


def _cost(run: Run, name: str, size: tuple[int, int], kind: str) -> dict[str, Any]:
    """CPU of all the server's threads and wall clock from body to PNG, and memory above idle.

    A server of its own for each, whose memory nothing else has grown.
    """
    with Image.open(io.BytesIO(photographs(1)[0])) as small:
        photo = small.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    body = _FILES[kind](_noisy(photo, NOISE))
    del photo
    flags = ("--request-timeout-seconds", str(PATIENCE_SECONDS), "--max-upload-bytes", "500000000")
    with running(segserve("ours", *flags), photographs(1)[0]) as server:
        idle = server.resident_bytes()
        with server.watching_memory(0.005) as seen:
            answer = _answer(server, body, "")
        cpu, wall = list[float](), list[float]()
        for _ in range(run.rounds(7)):
            cpu_began, began = _cpu_seconds(server), time.perf_counter()
            _answer(server, body, "")
            cpu.append(_cpu_seconds(server) - cpu_began)
            wall.append(time.perf_counter() - began)
    return {
        "size": name,
        "type": kind,
        "megabytes": len(body) / 1e6,
        "cpu_seconds": statistics.mean(cpu),
        "seconds": statistics.median(wall),
        "peak_above_idle_megabytes": (max(seen) - idle) / 1e6,
        "body_and_answer_megabytes": (len(body) + len(answer)) / 1e6,
    }


def _cpu_seconds(server: Running) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in server.processes())


def _class_map(server: Running, body: bytes, query: str) -> Pixels:
    with Image.open(io.BytesIO(_answer(server, body, query))) as mask:
        return np.asarray(mask)


def _answer(server: Running, body: bytes, query: str) -> bytes:
    reply = fetch(server.port, request_of(body, f"/segment?{query}"), PATIENCE_SECONDS)
    if reply.status != 200:
        raise SystemExit(f"{query}: {reply.status} {reply.body[:500]!r}")
    return reply.body


def _png(pixels: Deep) -> bytes:
    """8 or 16 bits, gray or color, of which Pillow does not write all."""
    bands = np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)
    profile = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    with MemoryFile() as file:
        with file.open(driver="PNG", dtype=bands.dtype, **profile) as dataset:
            dataset.write(bands)
        return bytes(file.getbuffer())


if __name__ == "__main__":
    main()
