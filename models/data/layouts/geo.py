"""GeoTIFFs with labels that lie on the ground: one GeoPackage or GeoJSON of polygons, or rasters of
class ids whose grids need not be the pictures'."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import array_bounds

from models.data.dataset import VOID, ClassList, DatasetError, Sample
from models.data.files import files_below
from models.data.layouts.annotated import Label, classes_of, split_of
from models.data.layouts.class_files import folder_classes, read_class_list
from models.data.layouts.class_ids import ClassIds
from models.data.layouts.found import are_named_in_pairs, is_named_as_mask
from models.data.layouts.ground_labels import (
    LabelRaster,
    RasterMask,
    VectorLabels,
    VectorMask,
    partial_overlaps,
    placed_on,
    rasters_on,
    read_label_raster,
    touch,
)
from models.data.layouts.layout import ParsedLayout
from models.data.layouts.vector_files import SUFFIXES, VectorFile, is_ground_vector, read_vector
from models.data.names import counted
from models.data.options import LayoutOptions
from models.data.scenes import SUFFIXES as TIFF_SUFFIXES
from models.data.scenes import Scene, Window, read_scene, windows_of

_TOOL = "a GIS"


def parse_geo(folder: Path, options: LayoutOptions) -> ParsedLayout | None:
    """GeoTIFFs with one file of polygons, or with label rasters that are no pairs with them by
    their names; pairs are as other layouts have them.

    Raises DatasetError where the labels may be meant in several ways.
    """
    tiffs = [path for path in files_below(folder) if path.suffix.lower() in TIFF_SUFFIXES]
    if not tiffs:
        return None
    vectors = [path for path in files_below(folder) if path.suffix.lower() in SUFFIXES]
    vectors = [path for path in vectors if is_ground_vector(path)]
    pictures = [path for path in tiffs if vectors or not is_named_as_mask(path, folder)]
    scenes = [scene for path in pictures if (scene := _scene(path)) is not None]
    if not scenes or len(scenes) < len(pictures):
        return None
    if vectors:
        return _of_vectors(folder, options, scenes, vectors)
    masks = [path for path in tiffs if is_named_as_mask(path, folder)]
    rasters = [raster for path in masks if (raster := read_label_raster(path)) is not None]
    if not rasters or len(rasters) < len(masks) or are_named_in_pairs(pictures, masks, folder):
        return None
    return _of_rasters(folder, options, scenes, rasters)


def _scene(path: Path) -> Scene | None:
    try:
        return read_scene(path)
    except ValueError as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error


# ---- polygons


def _of_vectors(
    folder: Path, options: LayoutOptions, scenes: Sequence[Scene], vectors: Sequence[Path]
) -> ParsedLayout:
    if len(vectors) > 1:
        raise DatasetError(
            f"{folder} has {len(vectors)} files of polygons, such as {vectors[0].name} and "
            f"{vectors[1].name}, which may be versions of one or parts of a whole; leave the one "
            "that is right, or merge them"
        )
    file = read_vector(vectors[0])
    if not file.geometries:
        raise DatasetError(f"{file.path} has no polygon; labels are polygons with a class")
    known = _known_classes(folder)
    names = file.names(options.label_field, [c.name for c in known.classes] if known else [])
    classes = classes_of(folder, [Label(name) for name in sorted({*names})], _TOOL, options, names)
    class_list = with_ignore(classes.class_list)
    found = ParsedLayout(class_list, issues=list(classes.issues))
    ids = ClassIds(class_list, names, options.unlabelled)
    class_ids = [ids.id_of(name) for name in names]
    if unknown := sorted({n for n, i in zip(names, class_ids, strict=True) if i is None}):
        raise DatasetError(
            f"{file.path} has polygons of {', '.join(map(repr, unknown[:6]))}, which classes.json "
            "does not list; add them there"
        )
    labels = VectorLabels(
        file.path, file.crs, np.array(file.geometries, np.object_), np.array(class_ids, np.int64)
    )
    _tell_of_polygons(found, file, labels)
    out = _Outside()
    for scene in scenes:
        placed = labels.in_crs(_crs(scene, labels))
        for window in windows_of(scene):
            if touch(placed.bounds, _bounds(scene, window)):
                mask = VectorMask(file.path, scene, window, labels, ids.rest)
                found.add(split_of(scene.path, folder), Sample(scene.path, mask, window=window))
            else:
                out.add(scene, window)
    out.tell(found, file.path)
    return found


def _known_classes(folder: Path) -> ClassList | None:
    path = folder / "classes.json"
    return read_class_list(path).class_list if path.is_file() else None


def _crs(scene: Scene, labels: VectorLabels) -> CRS:
    if scene.crs is None:
        raise DatasetError(
            f"{scene.path} says no CRS, so that nothing tells where {labels.path.name} lies on it; "
            "assign one, such as with gdal_edit.py -a_srs EPSG:32633"
        )
    return scene.crs


def _tell_of_polygons(found: ParsedLayout, file: VectorFile, labels: VectorLabels) -> None:
    if file.others:
        found.warning(
            "left out",
            f"{file.path}: {counted(file.others, 'feature')} of no area (lines, points, nothing)",
        )
    if count := partial_overlaps(labels):
        found.warning(
            "overlapping polygons",
            f"{file.path}: {counted(count, 'pair')} of polygons of different classes cover a part "
            "of each other; the smaller lies on top",
        )


# ---- rasters


def _of_rasters(
    folder: Path, options: LayoutOptions, scenes: Sequence[Scene], rasters: Sequence[LabelRaster]
) -> ParsedLayout:
    classes = folder_classes(folder, options)
    found = ParsedLayout(with_ignore(classes.class_list), issues=list(classes.issues))
    for raster in rasters:
        _require_one_meaning(raster, scenes[0], found.class_list)
    out = _Outside()
    for scene in scenes:
        placed = placed_on(rasters, scene)
        for window in windows_of(scene):
            own = tuple(rasters_on(placed, scene, window))
            if own:
                mask = RasterMask(own[0].path, scene, window, own, classes.encoding)
                found.add(split_of(scene.path, folder), Sample(scene.path, mask, window=window))
            else:
                out.add(scene, window)
    out.tell(found, rasters[0].path)
    return found


def _require_one_meaning(raster: LabelRaster, scene: Scene, class_list: ClassList) -> None:
    if (raster.crs is None) != (scene.crs is None):
        without = raster.path if raster.crs is None else scene.path
        raise DatasetError(
            f"{without} says no CRS, and what belongs to it does; assign one, such as with "
            "gdal_edit.py -a_srs EPSG:32633"
        )
    if raster.no_data in [c.id for c in class_list.classes]:
        raise DatasetError(
            f"{raster.path} says in its header that {raster.no_data:g} is no data (GDAL_NODATA), "
            "which may be nothing or that class; write 255 where nothing is, or take no data out "
            "of the header (gdal_edit.py -unsetnodata)"
        )


# ---- both


class _Outside:
    """Parts of scenes that no label reaches."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, scene: Scene, window: Window) -> None:
        self._parts.append(f"{scene.path.name} {window.name}")

    def tell(self, found: ParsedLayout, labels: Path) -> None:
        """Raises DatasetError where that is all."""
        if not found.samples:
            raise DatasetError(
                f"{labels} lies beside every picture, such as {self._parts[0]}; one of them has "
                "the wrong CRS, or is of another place"
            )
        if self._parts:
            found.warning(
                "beyond the labels",
                f"{labels}: {counted(len(self._parts), 'part')} of the pictures, such as "
                f"{self._parts[0]}, lie beyond all labels and are left out",
            )


def with_ignore(class_list: ClassList) -> ClassList:
    """The list with a value for what has no picture or no label."""
    if class_list.ignore is not None:
        return class_list
    return class_list.model_copy(update={"ignore": VOID})


def _bounds(scene: Scene, window: Window) -> tuple[float, float, float, float]:
    left, bottom, right, top = array_bounds(window.height, window.width, scene.on_ground(window))
    return float(left), float(bottom), float(right), float(top)
