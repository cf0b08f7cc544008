"""A function for CVAT's automatic annotation that asks segserve: its masks, or polygons where CVAT
asks for those. Made for `cvat-cli task auto-annotate` and for agents:

    cvat-cli task auto-annotate 12 --function-file segserve_cvat.py
        -p url=str:http://localhost:8000 -p model=str:street --allow-unmatched-labels

It runs in cvat-cli's interpreter, and uses nothing but that and the standard library. Labels are
matched by name, as CVAT does it; the class called background is left out.
"""

import io
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

TIMEOUT_SECONDS = 120
TOLERANCE = 1.0  # pixels by which polygons are simplified
MIN_AREA = 16  # pixels of the smallest polygon

Point = tuple[float, float]


def create(
    url: str = "http://localhost:8000", model: str = "", key: str = "", classes: str = ""
) -> "Segmentation":
    """The function. `model` is the server's default one if not given, `classes` keeps some of its
    classes ("car,person"), `key` is an API key. Raises RuntimeError where the server has no such
    model."""
    return Segmentation(url.rstrip("/"), model, key, classes)


class Segmentation:
    """What cvat-sdk calls a detection function: `spec`, and `detect` for each picture."""

    def __init__(self, url: str, model: str, key: str, classes: str) -> None:
        import cvat_sdk.auto_annotation as cvataa

        self._cvataa = cvataa
        self._url = url
        self._key = key
        given = {"model": model, "classes": classes}
        self._query = {name: value for name, value in given.items() if value}
        known = _classes_of(self._asked("/models"), model)
        kept = [name.strip() for name in classes.split(",")] if classes else list(known)
        self._ids = {name: class_id for name, class_id in known.items() if name in kept}
        self.spec = cvataa.DetectionFunctionSpec(
            labels=[cvataa.label_spec(name, key, type="mask") for name, key in self._ids.items()]
        )

    def detect(self, context: Any, image: Any) -> list[Any]:
        """A shape for each class of a PIL image, or for each connected region of one."""
        if context.conf_threshold is not None:
            raise RuntimeError("segserve gives shapes no confidence; leave --conf-threshold out")
        file = io.BytesIO()
        image.convert("RGB").save(file, "PNG")
        wanted = set(self._ids.values())
        if context.conv_mask_to_poly:
            more = {"format": "polygons", "tolerance": TOLERANCE, "min_area": MIN_AREA}
            features = self._segmented(file.getvalue(), more)["features"]
            return [
                self._cvataa.polygon(feature["properties"]["id"], flat_ring(feature["geometry"]))
                for feature in features
                if feature["properties"]["id"] in wanted
            ]
        answer = self._segmented(file.getvalue(), {"format": "rle"})
        runs = list(zip(answer["rle"]["values"], answer["rle"]["lengths"], strict=True))
        held = sorted(wanted & {value for value, _ in runs})
        return [self._cvataa.mask(one, mask_points(runs, one, answer["width"])) for one in held]

    def _segmented(self, file: bytes, more: dict[str, Any]) -> Any:
        query = urllib.parse.urlencode({**self._query, **more})
        return self._asked(f"/segment?{query}", file)

    def _asked(self, path: str, body: bytes | None = None) -> Any:
        headers = {"X-API-Key": self._key} if self._key else {}
        if body is not None:
            headers["Content-Type"] = "image/png"
        request = urllib.request.Request(self._url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["detail"]
            except (ValueError, KeyError, TypeError):
                text = text[:300]
            raise RuntimeError(f"segserve answered {error.code}: {text}") from None
        except OSError as error:
            raise RuntimeError(f"segserve at {self._url} cannot be asked: {error}") from None


def _classes_of(document: Any, model: str) -> dict[str, int]:
    """The ids of a model's classes, but for its background. Raises RuntimeError."""
    name, _, version = (model or str(document["default_model"])).partition("/")
    versions = [
        entry
        for entry in document["models"]
        if entry["name"] == name and entry["contract"] and version in ("", str(entry["version"]))
    ]
    if not versions:
        there_are = ", ".join(f"{one['name']}/{one['version']}" for one in document["models"])
        raise RuntimeError(f"the server has no model {model!r} that is ready; it has {there_are}")
    contract = max(versions, key=lambda entry: entry["version"])["contract"]
    background = contract.get("background")
    return {one["name"]: one["id"] for one in contract["classes"] if one["id"] != background}


def mask_points(runs: Sequence[tuple[int, int]], value: int, width: int) -> list[int]:
    """One value of a class map as CVAT's mask: the lengths of runs of zeros and ones in turn, row
    by row in the box of its pixels, then the box (left, top, right, bottom), its last pixels
    included. `runs` are (value, length), row by row through a picture of that width."""
    spans = []  # of one row each: row, first column, column after the last
    place = 0
    for own, length in runs:
        start, place = place, place + length
        while own == value and start < place:
            row, column = divmod(start, width)
            end = min(width, column + place - start)
            spans.append((row, column, end))
            start += end - column
    left, right = min(span[1] for span in spans), max(span[2] for span in spans)
    top, bottom = spans[0][0], spans[-1][0]
    counts = [0]  # of an odd number the last counts zeros, of an even one ones
    at = 0
    for row, first, end in spans:
        start = (row - top) * (right - left) + first - left
        if gap := start - at:
            if len(counts) % 2:
                counts[-1] += gap
            else:
                counts.append(gap)
        if len(counts) % 2:
            counts.append(end - first)
        else:
            counts[-1] += end - first
        at = start + end - first
    rest = (bottom - top + 1) * (right - left) - at
    return [*counts, *([rest] if rest else []), left, top, right - 1, bottom]


def flat_ring(geometry: Any) -> list[float]:
    """A polygon's rings as one: a seam leads to each hole and back, for CVAT's have no holes."""
    rings = geometry["coordinates"]
    outline, *holes = ([(float(x), float(y)) for x, y in ring[:-1]] for ring in rings)
    for hole in holes:
        place, start = min(
            ((i, j) for i in range(len(outline)) for j in range(len(hole))),
            key=lambda pair: math.dist(outline[pair[0]], hole[pair[1]]),
        )
        loop = [*hole[start:], *hole[:start], hole[start]]
        outline = [*outline[: place + 1], *loop, *outline[place:]]
    return [value for point in outline for value in point]
