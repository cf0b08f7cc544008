"""`cvat`: CVAT for images 1.1, an XML file with the shapes of one picture; of a folder one file
with those of all.

A mask is one a class: the lengths of runs of zeros and ones in turn, row by row in the box of its
pixels. Polygons are one a connected region, with a seam to each hole, for CVAT's have none.
"""

import re
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.contract import Contract
from service.domain.classes import is_one_of, kept_ids
from service.domain.segmentation import Segmentation
from service.outputs.coco import UNNAMED
from service.outputs.outlines import OutlineOptions, light_rings, without_holes
from service.outputs.output import Output, OverlapWriting
from service.outputs.polygons import refuse_noise, regions_of
from service.outputs.project import PARTS, Member, Project, drawn_classes
from service.outputs.runs import find_runs

_HEAD_END, _TAIL = b"  </meta>\n", b"</annotations>\n"
_IMAGE = b'  <image id="0"'
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNKNOWN = "\ufffd"


class CvatOptions(OutlineOptions):
    overlap: ClassVar[OverlapWriting] = "each"

    shapes: Literal["mask", "polygon"] = Field(
        default="mask",
        description="What shapes are: one mask a class, or one polygon a connected region.",
        examples=["polygon"],
    )


def encode(segmentation: Segmentation, options: CvatOptions) -> Iterator[bytes]:
    contract = segmentation.model.contract
    height, width = segmentation.class_map.shape
    yield _head(contract, options)
    name = _attribute(segmentation.source.file_name or UNNAMED)
    yield _IMAGE + f' name={name} width="{width}" height="{height}">\n'.encode()
    kept = kept_ids(contract, options.classes)
    names = {c.id: c.name for c in drawn_classes(contract) if c.id in kept}
    if options.shapes == "mask":
        for ids, layer in segmentation.layers(frozenset(names)):
            yield from _masks(layer, {i: name for i, name in names.items() if i in ids})
    else:
        yield from _polygons(segmentation, names, options)
    yield b"  </image>\n" + _TAIL


def _head(contract: Contract, options: CvatOptions) -> bytes:
    kept = kept_ids(contract, options.classes)
    labels = "".join(
        f"        <label><name>{escape(_NOT_XML.sub(_UNKNOWN, one.name))}</name>"
        f"<color>{one.color}</color><type>{options.shapes}</type><attributes></attributes></label>\n"
        for one in drawn_classes(contract)
        if one.id in kept
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
        f"  <meta>\n    <task>\n      <labels>\n{labels}      </labels>\n    </task>\n"
    ).encode() + _HEAD_END


def _attribute(text: str) -> str:
    """In quotes, without what XML cannot hold."""
    return quoteattr(_NOT_XML.sub(_UNKNOWN, text))


def _masks(class_map: NDArray[np.uint8], names: dict[int, str]) -> Iterator[bytes]:
    for class_id, name in names.items():
        mask = is_one_of(class_map, frozenset({class_id}))
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            top, left = int(rows[0]), int(columns[0])
            box = mask[top : rows[-1] + 1, left : columns[-1] + 1]
            runs = find_runs(np.ascontiguousarray(box).reshape(-1).view(np.uint8))
            lengths = ([0] if runs.values[0] else []) + runs.lengths.tolist()
            yield (
                f'    <mask label={_attribute(name)} source="auto" occluded="0" '
                f'rle="{", ".join(map(str, lengths))}" left="{left}" top="{top}" '
                f'width="{box.shape[1]}" height="{box.shape[0]}" z_order="0">\n    </mask>\n'
            ).encode()


def _polygons(
    segmentation: Segmentation, names: dict[int, str], options: CvatOptions
) -> Iterator[bytes]:
    drawn = frozenset(names)
    refuse_noise(layer for _, layer in segmentation.layers(drawn))
    regions = (
        region
        for ids, layer in segmentation.layers(drawn)
        for region in regions_of(layer, ids, options.min_area)
    )
    for class_id, _, rings in regions:
        corners = without_holes(light_rings(rings, options.tolerance))
        points = ";".join(f"{x:.2f},{y:.2f}" for x, y in corners.tolist())
        yield (
            f'    <polygon label={_attribute(names[class_id])} source="auto" occluded="0" '
            f'points="{points}" z_order="0">\n    </polygon>\n'
        ).encode()


def _join(contract: Contract, options: CvatOptions, members: Iterable[Member]) -> Iterator[bytes]:
    """One file of all images, numbered in their order."""
    yield _head(contract, options)
    for number, member in enumerate(members):
        answer = member.read()
        begin = answer.index(_HEAD_END) + len(_HEAD_END) + len(_IMAGE)
        yield f'  <image id="{number}"'.encode() + answer[begin : -len(_TAIL)]
    yield _TAIL


CVAT = Output(
    name="cvat",
    title="CVAT",
    extensions={"application/xml": ".xml"},
    options=CvatOptions,
    description="CVAT for images 1.1 (XML): masks or polygons that a task of CVAT's imports.",
    encode=encode,
    project=Project({"annotations.xml": _join}, folder=PARTS),
)
