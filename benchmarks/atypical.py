"""Whether `X-Atypical` tells pictures that a model was not made for: CamVid's val and test as they
are, test by night, in fog, turned, negative, and pictures of nuclei, all sent to `street`.

    segserve serve &
    python -m benchmarks.atypical --camvid /data/camvid --nuclei /data/dsb2018

Needs a model whose contract has a `reference`. The table is in docs/confidence.md.
"""

import argparse
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png")


def by_night(pixels: Pixels) -> Pixels:
    """A third of the light, shadows deeper."""
    dark: Pixels = np.rint(255 * (pixels / 255) ** 2 * 0.35).astype(np.uint8)
    return dark


def in_fog(pixels: Pixels) -> Pixels:
    """Two thirds of each pixel are a light gray."""
    pale: Pixels = np.rint(0.35 * pixels + 0.65 * 200).astype(np.uint8)
    return pale


SHIFTS: dict[str, Callable[[Pixels], Pixels]] = {
    "night": by_night,
    "fog": in_fog,
    "turned by 90°": lambda pixels: np.rot90(pixels),
    "turned by 180°": lambda pixels: pixels[::-1, ::-1],
    "negative": lambda pixels: 255 - pixels,
}


def pictures(folder: Path, every: int) -> list[Path]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return found[::every]


def png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=1)
    return file.getvalue()


class Asker:
    def __init__(self, server: str, model: str) -> None:
        self._client = httpx.Client(base_url=server, timeout=120)
        self._model = model
        self.confidences: list[tuple[float, float]] = []  # of the header, of all pixels

    def score(self, body: bytes) -> float:
        query = {"model": self._model}
        response = self._client.post("/segment", params=query, content=body)
        response.raise_for_status()
        return float(response.headers["X-Atypical"])

    def compare_confidence(self, body: bytes) -> None:
        """What the header says beside the mean of the confidence map."""
        query = {"model": self._model}
        told = self._client.post("/segment", params=query, content=body).headers["X-Confidence"]
        whole = self._client.post(
            "/segment", params={**query, "format": "confidence"}, content=body
        )
        exact = np.asarray(Image.open(io.BytesIO(whole.content))).mean() / 255
        self.confidences.append((float(told), float(exact)))


def auroc(usual: Iterable[float], other: Iterable[float]) -> float:
    """How often one of the others scores higher than a usual one; ties count half."""
    a, b = np.asarray(list(usual)), np.asarray(list(other))
    return float((np.sign(b[:, np.newaxis] - a) / 2 + 0.5).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="street")
    parser.add_argument("--camvid", type=Path, required=True)
    parser.add_argument("--nuclei", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1, help="take every n-th picture")
    parsed = parser.parse_args()
    asker = Asker(parsed.server, parsed.model)
    test = pictures(parsed.camvid / "images" / "test", parsed.every)
    val = pictures(parsed.camvid / "images" / "val", parsed.every)
    nuclei = pictures(parsed.nuclei / "images" / "test", parsed.every)
    scores = {
        "val": [asker.score(path.read_bytes()) for path in val],
        "test": [asker.score(path.read_bytes()) for path in test],
    }
    for name, change in SHIFTS.items():
        scores[name] = [
            asker.score(png(change(np.asarray(Image.open(path).convert("RGB"))))) for path in test
        ]
    scores["nuclei"] = [asker.score(path.read_bytes()) for path in nuclei]
    print("| pictures | number | median score | above 1 | AUROC against test |")
    print("|---|---|---|---|---|")
    for name, found in scores.items():
        told = "–" if name in ("val", "test") else f"{auroc(scores['test'], found):.3f}"
        flagged = np.mean(np.asarray(found) > 1)
        print(f"| {name} | {len(found)} | {np.median(found):.2f} | {flagged:.0%} | {told} |")
    for path in val[:: max(1, len(val) // 20)]:
        asker.compare_confidence(path.read_bytes())
    off = [abs(told - exact) for told, exact in asker.confidences]
    print(
        f"\nX-Confidence and the mean of all pixels differ by {np.mean(off):.4f} on average, "
        f"{max(off):.4f} at most."
    )


if __name__ == "__main__":
    main()
