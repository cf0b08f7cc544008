"""The formats an answer can have. `Accept` gets the first of those that share a media type."""

from service.pipeline.formats.coco import COCO
from service.pipeline.formats.confidence import CONFIDENCE
from service.pipeline.formats.format import Encoded, Format, FormatOptions, Segmentation
from service.pipeline.formats.npz import NPZ
from service.pipeline.formats.overlay import OVERLAY
from service.pipeline.formats.png import PNG
from service.pipeline.formats.polygons import POLYGONS
from service.pipeline.formats.rle import RLE

__all__ = ["FORMATS", "Encoded", "Format", "FormatOptions", "Segmentation"]

FORMATS: dict[str, Format] = {
    f.name: f for f in (PNG, OVERLAY, RLE, COCO, POLYGONS, CONFIDENCE, NPZ)
}
