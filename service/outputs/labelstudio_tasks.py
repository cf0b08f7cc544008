"""`labelstudio`: a task of Label Studio's with its prediction, as its import takes it.

    [{"data": {"image": "/data/local-files/?d=photo.jpg"},
      "predictions": [{"model_version": "street/1", "score": 0.93, "result": […]}]}]

Of a folder one list has the tasks of all pictures, and the labels stand in a labeling configuration
beside it.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Literal
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import orjson
from pydantic import Field

from models.contract import Contract
from service.domain.classes import kept_ids
from service.domain.segmentation import Need, Segmentation
from service.outputs.coco import UNNAMED
from service.outputs.labelstudio import Control, Kind, OutlineLimits, write_prediction
from service.outputs.outlines import OutlineOptions
from service.outputs.output import Output
from service.outputs.polygons import MAX_REGIONS
from service.outputs.project import PARTS, Member, Project, drawn_classes

TASKS, CONFIG = "labelstudio.json", "labelstudio.xml"
_LABEL_TAG, _IMAGE_TAG = "tag", "image"
_KINDS: Final[dict[str, tuple[Kind, str]]] = {
    "brush": ("brushlabels", "BrushLabels"),
    "bitmask": ("bitmasklabels", "BitmaskLabels"),
    "polygon": ("polygonlabels", "PolygonLabels"),
}


class LabelStudioOptions(OutlineOptions):
    shapes: Literal["brush", "bitmask", "polygon"] = Field(
        default="brush",
        description=(
            "What regions are: one mask a class (`brush`, `bitmask`), or one polygon a connected "
            "region, with a seam to each hole."
        ),
        examples=["polygon"],
    )
    image_root: str = Field(
        default="/data/local-files/?d=",
        description=(
            "What stands before a picture's name in its task, so that Label Studio finds it: its "
            "local storage, or an address such as https://images.example.org/street/."
        ),
        examples=["https://images.example.org/street/"],
    )

    @property
    def format_need(self) -> Need:
        return "confidence"


def encode(segmentation: Segmentation, options: LabelStudioOptions) -> Iterator[bytes]:
    contract = segmentation.model.contract
    kept = kept_ids(contract, options.classes)
    labels = {c.name: frozenset({c.id}) for c in drawn_classes(contract) if c.id in kept}
    control = Control(_KINDS[options.shapes][0], _LABEL_TAG, _IMAGE_TAG, labels)
    limits = OutlineLimits(options.tolerance, options.min_area, MAX_REGIONS)
    image = options.image_root + quote(segmentation.source.file_name or UNNAMED)
    yield b'[{"data":' + orjson.dumps({"image": image}) + b',"predictions":['
    yield from write_prediction(segmentation, control, limits)
    yield b"]}]"


def _write_tasks(
    _contract: Contract, _options: LabelStudioOptions, members: Iterable[Member]
) -> Iterator[bytes]:
    """One list of all tasks."""
    before = b"["
    for member in members:
        yield before + member.read()[1:-1]
        before = b",\n"
    yield b"]\n"


def _write_config(
    contract: Contract, options: LabelStudioOptions, _members: Iterable[Member]
) -> Iterator[bytes]:
    tag = _KINDS[options.shapes][1]
    kept = kept_ids(contract, options.classes)
    labels = "".join(
        f"    <Label value={quoteattr(one.name)} background={quoteattr(one.color)}/>\n"
        for one in drawn_classes(contract)
        if one.id in kept
    )
    yield (
        "<View>\n"
        f'  <Image name="{_IMAGE_TAG}" value="${_IMAGE_TAG}"/>\n'
        f'  <{tag} name="{_LABEL_TAG}" toName="{_IMAGE_TAG}">\n{labels}  </{tag}>\n'
        "</View>\n"
    ).encode()


LABELSTUDIO = Output(
    name="labelstudio",
    title="Label Studio",
    extensions={"application/json": ".json"},
    options=LabelStudioOptions,
    description=(
        "Label Studio's JSON: a task with a prediction, which its import takes; brushes, bitmasks "
        "or polygons."
    ),
    encode=encode,
    project=Project({TASKS: _write_tasks, CONFIG: _write_config}, folder=PARTS),
)
