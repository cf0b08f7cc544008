"""A class map on the disk: rows of tiles in files of their own, read as one raster."""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from models.contract import Contract
from service.domain.classes import palette, void_id
from service.domain.disk import refuse_full_disk
from service.domain.gdal_blocks import BLOCKS, CACHE_BYTES
from service.domain.source import SourceInfo, Window

if TYPE_CHECKING:
    import rasterio
    from rasterio.vrt import WarpedVRT

BLOCK = 512


@dataclass(frozen=True)
class Part:
    """One file, and the first of the map's rows that it holds."""

    path: Path
    top: int
    height: int


@dataclass(frozen=True)
class Legend:
    """What the values of a map mean: `names` and `colors` (RGB) by value, and which is void."""

    names: Sequence[str]
    colors: NDArray[np.uint8]
    void: int | None
    tags: dict[str, str]

    @classmethod
    def of(cls, contract: Contract, model_id: str) -> "Legend":
        by_id = {str(one.id): one.name for one in contract.classes}
        said = json.dumps(by_id, ensure_ascii=False)
        tags = {"SEGSERVE_MODEL": model_id, "SEGSERVE_CLASSES": said}
        return cls(list(by_id.values()), palette(contract), void_id(contract), tags)


def part_options(width: int, height: int, void: int | None) -> dict[str, object]:
    """With which a part is created, by the GTiff driver. Blocks that are not written are void."""
    return {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "width": width,
        "height": height,
        "nodata": void,
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "compress": "zstd",
        "zstd_level": 1,
        "sparse_ok": True,
        "bigtiff": "IF_SAFER",
    }


@contextmanager
def created_part(
    path: Path, width: int, height: int, void: int | None
) -> Iterator["rasterio.io.DatasetWriter"]:
    """A new part, open to write for the time of the block. Where it lies the mosaic says, so that
    it has no georeference of its own is no matter for a warning. Raises OSError, also where the
    disk is full when the last blocks are written, of which GDAL says nothing.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    dataset = rasterio.open(path, "w", **part_options(width, height, void))
    try:
        yield dataset
    finally:
        with BLOCKS.writing():
            dataset.close()
    refuse_full_disk(path)


def write_part(
    dataset: "rasterio.io.DatasetWriter", values: NDArray[np.uint8], top: int, left: int
) -> None:
    """Values (h, w) from the row `top` and the column `left` of a part on. Raises OSError."""
    window = (top, top + values.shape[0]), (left, left + values.shape[1])
    with BLOCKS.writing():
        dataset.write(values, 1, window=window)


def read_window(dataset: "rasterio.DatasetReader | WarpedVRT", part: Window) -> NDArray[np.uint8]:
    """The values (h, w) of a part of an open mosaic, or of one that is warped. Raises OSError."""
    window = (part.top, part.top + part.height), (part.left, part.left + part.width)
    with BLOCKS.reading():
        values: NDArray[np.uint8] = dataset.read(1, window=window)
    return values


def write_mosaic(
    path: Path,
    size: tuple[int, int],
    parts: Sequence[Part],
    info: SourceInfo,
    legend: Legend | None,
    overviews: Sequence[Path] = (),
    stored: Window | None = None,
) -> None:
    """Write the virtual raster `path` (.vrt), see `mosaic_text`."""
    text = mosaic_text(size, parts, info, legend, overviews, stored)
    path.write_text(text, encoding="utf-8")


def mosaic_text(
    size: tuple[int, int],
    parts: Sequence[Part],
    info: SourceInfo,
    legend: Legend | None,
    overviews: Sequence[Path] = (),
    stored: Window | None = None,
) -> str:
    """What a virtual raster of (height, width) over parts beside it says.

    Without a legend its values are shares of 255, such as a confidence. Beyond what is `stored` it
    has no source, which GDAL knows to be void without reading it.
    """
    height, width = size
    held = Window(0, 0, height, width) if stored is None else stored
    sources = "".join(_source(part, width, held) for part in parts)
    levels = "".join(
        f'<Overview><SourceFilename relativeToVRT="1">{escape(level.name)}</SourceFilename>'
        "<SourceBand>1</SourceBand></Overview>"
        for level in overviews
    )
    return (
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{_ground(info)}'
        f'<VRTRasterBand dataType="Byte" band="1" blockXSize="{BLOCK}" blockYSize="{BLOCK}">'
        f"{'<ColorInterp>Gray</ColorInterp>' if legend is None else _meaning(legend)}"
        f"{sources}{levels}</VRTRasterBand>{_tags(info, legend)}</VRTDataset>"
    )


@contextmanager
def opened_mosaic(path: Path) -> Iterator["rasterio.DatasetReader"]:
    """Any of our own files, for the time of the block, GDAL's cache bounded."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    with rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES), rasterio.open(path) as dataset:
        yield dataset


def _source(part: Part, width: int, held: Window) -> str:
    """What is `held` of a part."""
    top, bottom = max(part.top, held.top), min(part.top + part.height, held.top + held.height)
    if bottom <= top or not held.width:
        return ""
    size = f'xSize="{held.width}" ySize="{bottom - top}"'
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="1">{escape(part.path.name)}</SourceFilename>'
        "<SourceBand>1</SourceBand>"
        f'<SourceProperties RasterXSize="{width}" RasterYSize="{part.height}" DataType="Byte" '
        f'BlockXSize="{BLOCK}" BlockYSize="{BLOCK}"/>'
        f'<SrcRect xOff="{held.left}" yOff="{top - part.top}" {size}/>'
        f'<DstRect xOff="{held.left}" yOff="{top}" {size}/>'
        "</SimpleSource>"
    )


def _ground(info: SourceInfo) -> str:
    if info.transform is None:
        return ""
    a, b, c, d, e, f = info.transform
    place = ", ".join(map(repr, (c, a, b, f, d, e)))
    crs = "" if info.reference is None else f"<SRS>{escape(info.reference)}</SRS>"
    return f"{crs}<GeoTransform>{place}</GeoTransform>"


def _meaning(legend: Legend) -> str:
    void = "" if legend.void is None else f"<NoDataValue>{legend.void}</NoDataValue>"
    colors = np.zeros((256, 4), np.uint8)
    colors[:, 3] = 255
    colors[: len(legend.colors), :3] = legend.colors
    if legend.void is not None:
        colors[legend.void, 3] = 0
    entries = "".join(
        f'<Entry c1="{red}" c2="{green}" c3="{blue}" c4="{alpha}"/>'
        for red, green, blue, alpha in colors.tolist()
    )
    return f"{void}<ColorInterp>Palette</ColorInterp><ColorTable>{entries}</ColorTable>"


def _tags(info: SourceInfo, legend: Legend | None) -> str:
    tags = dict(info.attributes) | (legend.tags if legend is not None else {})
    items = "".join(f"<MDI key={quoteattr(key)}>{escape(text)}</MDI>" for key, text in tags.items())
    return f"<Metadata>{items}</Metadata>" if items else ""
