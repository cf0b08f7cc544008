"""QuPath's GeoJSON, a file an image and of its name: objects with a classification, in pixels of
the image at its full size. Of overlapping ones the smaller is on top, as a nucleus on its
tissue."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.data.dataset import DatasetError
from models.data.files import files_below
from models.data.layouts.annotated import (
    FAULTY,
    AnnotatedPicture,
    Annotations,
    Label,
    Shape,
    as_layout,
    split_of,
)
from models.data.layouts.geometry import Polygon, ring
from models.data.layouts.image_index import ImageIndex
from models.data.layouts.json_files import load_json, mentions
from models.data.layouts.layout import (
    ENTRY_FAULTS,
    ParsedLayout,
    fault_text,
    images_below,
    json_object,
)
from models.data.names import tidy
from models.data.options import LayoutOptions

_TOOL = "QuPath"
_NO_AREA = "objects that cover no pixels (lines, points, others), left out: {count}"
_NO_CLASS = "objects without a classification, left out: {count}"


def parse_qupath(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """Read every file of objects. Raises DatasetError where the classes cannot be known."""
    files = [
        path
        for path in files_below(folder)
        if path.suffix.lower() in (".geojson", ".json") and mentions(path, "Feature", "geometry")
        if mentions(path, "objectType") or mentions(path, "classification")
    ]
    if not files:
        return None
    reader = _Reader(folder, Annotations(), ImageIndex(images_below(folder)), {})
    for path in files:
        reader.read(path)
    labels = [Label(name, color) for name, color in sorted(reader.colors.items())]
    reader.annotations.labels = labels
    return as_layout(reader.annotations, folder, options, _TOOL, small_on_top=True)


class _Reader:
    """Adds the objects of files to `annotations`, and the colours of their classes to `colors`."""

    def __init__(
        self,
        folder: Path,
        annotations: Annotations,
        index: ImageIndex,
        colors: dict[str, str | None],
    ) -> None:
        self.annotations = annotations
        self.colors = colors
        self._folder = folder
        self._index = index

    def read(self, path: Path) -> None:
        try:
            document = load_json(path)
        except DatasetError as error:
            self.annotations.error(FAULTY, str(error))
            return
        features = document.get("features") if isinstance(document, dict) else document
        if not isinstance(features, list):
            self.annotations.error(FAULTY, f"{path} has no list of features; export it again")
            return
        match = self._index.of_path(path.relative_to(self._folder).with_suffix("").as_posix())
        if not match.images:  # slide.tif.geojson
            match = self._index.named(path.with_suffix("").name)
        if match.only is None:
            several = " and ".join(map(str, match.images))
            self.annotations.error(
                "two images" if several else "no image",
                f"{path} may be of {several}; take out what is not meant"
                if several
                else f"{path} is of an image that is not there; name it as its image",
            )
            return
        shapes, sound = [], True
        for number, entry in enumerate(features):
            try:
                shape = self._shape(number, json_object(entry))
            except ENTRY_FAULTS as error:
                sound = False
                self.annotations.error(
                    FAULTY,
                    f"{path}: features[{number}] is not as QuPath writes it ({fault_text(error)})",
                )
                continue
            if shape is not None:
                shapes.append(shape)
        if sound:
            split = split_of(match.only, self._folder)
            self.annotations.pictures.append(
                AnnotatedPicture(path, match.only, None, tuple(shapes), split)
            )

    def _shape(self, number: int, feature: Mapping[str, Any]) -> Shape | None:
        """None where it has no class or no area, which is counted. Raises ENTRY_FAULTS."""
        properties, geometry = json_object(feature["properties"]), json_object(feature["geometry"])
        kind = str(geometry["type"])
        if kind not in ("Polygon", "MultiPolygon"):
            self.annotations.leave_out(_NO_AREA)
            return None
        classification = properties.get("classification")
        if not classification:
            self.annotations.leave_out(_NO_CLASS)
            return None
        name = _name(json_object(classification))
        self.colors.setdefault(name, _color(classification))
        polygons = geometry["coordinates"] if kind == "MultiPolygon" else [geometry["coordinates"]]
        rings = tuple(ring(corners) for polygon in polygons for corners in polygon)
        if not rings:
            raise ValueError("its polygon has no rings")
        return Shape(name, f"features[{number}], a {name!r},", Polygon(rings))


def _name(classification: Mapping[str, Any]) -> str:
    """The class, of which newer versions write the parts."""
    names = classification.get("names")
    name = ": ".join(map(str, names)) if isinstance(names, list) else classification["name"]
    return tidy(str(name))


def _color(classification: Mapping[str, Any]) -> str | None:
    """#rrggbb from three numbers, or from one that holds them, as older versions write it."""
    color, packed = classification.get("color"), classification.get("colorRGB")
    if isinstance(color, list) and len(color) == 3 and all(type(v) is int for v in color):
        packed = color[0] << 16 | color[1] << 8 | color[2]
    return f"#{packed & 0xFFFFFF:06x}" if isinstance(packed, int) else None
