"""`geotiff`: a Cloud Optimized GeoTIFF of class ids, with palette, names, nodata and overviews."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from service.domain.disk import refuse_full_disk
from service.domain.gdal_blocks import BLOCKS, CACHE_BYTES
from service.domain.source import SourceInfo, Window
from service.outputs.geo.mosaic import (
    BLOCK,
    Legend,
    Part,
    created_part,
    mosaic_text,
    opened_mosaic,
    read_window,
    write_mosaic,
    write_part,
)
from service.outputs.geo.stored import chunks

if TYPE_CHECKING:
    import rasterio

_CHUNK = 4096  # a side that all overviews divide
_BAND_PIXELS = 2**18
# Half the time of level 6, GDAL's own, for a map that is a tenth larger.
_LEVEL = 5


def write_cog(
    target: Path,
    folder: Path,
    mosaic: Path,
    info: SourceInfo,
    legend: Legend | None,
    stored: Window | None = None,
) -> None:
    """Write the raster `mosaic` to `target`, with overviews of the most frequent class of four.

    `folder` takes what is needed meanwhile: about a third of the map. Memory is that of a chunk.
    Where all is void but what is `stored`, the file is sparse: it has no blocks there.
    """
    with opened_mosaic(mosaic) as dataset:
        size = int(dataset.height), int(dataset.width)
        sizes = list(_sizes(*size))
        levels = [folder / name for name in _level_names(sizes)]
        _write_overviews(levels, sizes, dataset, legend, stored)
    whole = folder / "whole.vrt"
    write_mosaic(whole, size, [Part(mosaic, 0, size[0])], info, legend, levels, stored)
    _copy_to_cog(whole, target, has_levels=bool(levels), is_sparse=stored is not None)
    for level in levels:
        level.unlink()


def cog_bytes(class_map: NDArray[np.uint8], info: SourceInfo, legend: Legend) -> bytes:
    """The same of a map (H, W) in memory, without a file on any disk."""
    from rasterio.io import MemoryFile

    folder, (height, width) = uuid.uuid4().hex, class_map.shape
    with ExitStack() as files:

        def created(name: str, content: bytes | None = None) -> MemoryFile:
            return files.enter_context(MemoryFile(content, dirname=folder, filename=name))

        part, sizes = created("classes.tif"), list(_sizes(height, width))
        with created_part(Path(part.name), width, height, legend.void) as dataset:
            write_part(dataset, class_map, 0, 0)
        levels = [Path(created(name).name) for name in _level_names(sizes)]
        with opened_mosaic(Path(part.name)) as dataset:
            _write_overviews(levels, sizes, dataset, legend, None)
        parts = [Part(Path(part.name), 0, height)]
        text = mosaic_text((height, width), parts, info, legend, levels)
        whole, target = created("whole.vrt", text.encode()), created("whole.tif")
        _copy_to_cog(Path(whole.name), Path(target.name), has_levels=bool(levels), is_sparse=False)
        target.seek(0)
        content: bytes = target.read()
        return content


def _copy_to_cog(whole: Path, target: Path, *, has_levels: bool, is_sparse: bool) -> None:
    import rasterio
    import rasterio.shutil

    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES, GDAL_PAM_ENABLED="NO"), BLOCKS.reading():
        rasterio.shutil.copy(
            whole,
            target,
            driver="COG",
            compress="DEFLATE",
            level=_LEVEL,
            blocksize=BLOCK,
            overviews="FORCE_USE_EXISTING" if has_levels else "NONE",
            overview_compress="DEFLATE",
            bigtiff="IF_SAFER",
            sparse_ok=is_sparse,
            num_threads="ALL_CPUS",
        )
    refuse_full_disk(target)


def side_path(map_path: Path) -> Path:
    """Where the side file of a map lies."""
    return Path(f"{map_path}.aux.xml")


def side_file(legend: Legend) -> str:
    """What `<name>.tif.aux.xml` says, where GDAL and QGIS look for the names of classes."""
    names = list(legend.names)
    if legend.void is not None:
        names += [""] * (legend.void - len(names)) + ["no data"]
    categories = "".join(f"<Category>{escape(name)}</Category>" for name in names)
    fields = (("Value", 0, 5), ("Class", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))
    heads = "".join(
        f'<FieldDefn index="{place}"><Name>{name}</Name><Type>{kind}</Type><Usage>{usage}</Usage>'
        "</FieldDefn>"
        for place, (name, kind, usage) in enumerate(fields)
    )
    rows = "".join(
        f'<Row index="{value}"><F>{value}</F><F>{escape(name)}</F>'
        + "".join(f"<F>{part}</F>" for part in legend.colors[value].tolist())
        + "</Row>"
        for value, name in enumerate(legend.names)
    )
    return (
        '<PAMDataset><PAMRasterBand band="1">'
        f"<CategoryNames>{categories}</CategoryNames>"
        f'<GDALRasterAttributeTable tableType="thematic">{heads}{rows}</GDALRasterAttributeTable>'
        "</PAMRasterBand></PAMDataset>\n"
    )


def _level_names(sizes: Sequence[tuple[int, int]]) -> list[str]:
    return [f"overview-{2 ** (place + 1)}.tif" for place in range(len(sizes))]


def _write_overviews(
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]],
    dataset: "rasterio.DatasetReader",
    legend: Legend | None,
    stored: Window | None,
) -> None:
    void = None if legend is None else legend.void
    with ExitStack() as stack:
        files = [
            stack.enter_context(created_part(path, size[1], size[0], void))
            for path, size in zip(paths, sizes, strict=True)
        ]
        for part in chunks((dataset.height, dataset.width), _CHUNK, stored):
            _write_levels(files, read_window(dataset, part), part.top, part.left, legend)


def _write_levels(
    files: "list[rasterio.io.DatasetWriter]",
    values: NDArray[np.uint8],
    top: int,
    left: int,
    legend: Legend | None,
) -> None:
    """The overviews of a chunk. What is void as a whole is not written, and so is void."""
    void = None if legend is None else legend.void
    if void is not None and int(values[0, 0]) == void and bool((values == void).all()):
        return
    for place, file in enumerate(files):
        values = halved(values, void) if legend is not None else halved_means(values)
        step = 2 ** (place + 1)
        write_part(file, values, top // step, left // step)


def _sizes(height: int, width: int) -> Iterator[tuple[int, int]]:
    """Of each overview, until one block holds all."""
    while max(height, width) > BLOCK:
        height, width = -(-height // 2), -(-width // 2)
        yield height, width


def halved(values: NDArray[np.uint8], void: int | None) -> NDArray[np.uint8]:
    """The most frequent class (ceil(H / 2), ceil(W / 2)) of each four pixels (H, W), the first of
    several; `void` only where all four are.
    """
    return _in_bands(values, lambda rows: _halved(rows, void))


def _halved(values: NDArray[np.uint8], void: int | None) -> NDArray[np.uint8]:
    a, b, c, d = quarters = _quarters(values)
    is_second, is_first = (b == c) | (b == d), (a == b) | (a == c) | (a == d)
    result = _chosen((c == d) & ~(is_first | is_second), c, a)
    result = _chosen(is_second & ~is_first, b, result)
    if void is None or not (values == void).any():
        return result
    voids = [part == void for part in quarters]
    mixed = np.logical_or.reduce(voids) & ~np.logical_and.reduce(voids)
    if mixed.any():
        some = np.stack([part[mixed] for part in quarters], axis=-1)
        votes = (some[:, :, np.newaxis] == some[:, np.newaxis, :]).sum(axis=-1)
        votes[some == void] = 0
        result[mixed] = some[np.arange(len(some)), votes.argmax(axis=-1)]
    return result


def halved_means(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mean of each four pixels."""
    return _in_bands(values, _halved_means)


def _halved_means(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    total = sum(part.astype(np.uint16) for part in _quarters(values))
    return ((np.asarray(total) + 2) // 4).astype(np.uint8)


def _in_bands(
    values: NDArray[np.uint8], halve: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    """A few rows at a time, so that all that is made of them stays in the core's own cache."""
    height, width = values.shape
    result = np.empty((-(-height // 2), -(-width // 2)), np.uint8)
    rows = max(1, _BAND_PIXELS // (2 * width))
    for top in range(0, len(result), rows):
        result[top : top + rows] = halve(values[2 * top : 2 * (top + rows)])
    return result


def _chosen(
    where: NDArray[np.bool_], values: NDArray[np.uint8], others: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """What `np.where` gives, by bits and so several times as fast."""
    chosen: NDArray[np.uint8] = others ^ ((others ^ values) & np.negative(where.view(np.uint8)))
    return chosen


def _quarters(values: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    height, width = values.shape
    if height % 2 or width % 2:
        values = np.pad(values, ((0, height % 2), (0, width % 2)), mode="edge")
    parts = (values[row::2, column::2] for row in (0, 1) for column in (0, 1))
    return [np.ascontiguousarray(part) for part in parts]
