"""The formats an answer can have: a new one is a file beside these and a row here.

`Accept` gets the first of those that share a media type.
"""

from collections import ChainMap
from collections.abc import Mapping

from service.outputs.coco import COCO
from service.outputs.confidence import CONFIDENCE
from service.outputs.cvat import CVAT
from service.outputs.geo.answers import GEOJSON, GEOTIFF, GPKG
from service.outputs.labelstudio_tasks import LABELSTUDIO
from service.outputs.masks import MASKS
from service.outputs.npz import NPZ
from service.outputs.output import Encoded, Output, OutputOptions
from service.outputs.overlay import OVERLAY
from service.outputs.png import PNG
from service.outputs.polygons import POLYGONS
from service.outputs.qupath import QUPATH
from service.outputs.rle import RLE
from service.outputs.supervisely import SUPERVISELY
from service.outputs.ultralytics import ULTRALYTICS
from service.outputs.uncertainty import UNCERTAINTY

__all__ = ["ANSWERS", "OUTPUTS", "Encoded", "Output", "OutputOptions"]

_TOOLS = (LABELSTUDIO, CVAT, QUPATH, SUPERVISELY, ULTRALYTICS)

OUTPUTS: dict[str, Output] = {
    f.name: f
    for f in (PNG, OVERLAY, RLE, COCO, POLYGONS, CONFIDENCE, UNCERTAINTY, NPZ, MASKS, *_TOOLS)
}

# What a request for one file can be answered with: those of any picture, and of a raster alone.
# A view of both tables: a row that is added to one is an answer too.
ANSWERS: Mapping[str, Output] = ChainMap({f.name: f for f in (GEOTIFF, GEOJSON, GPKG)}, OUTPUTS)
