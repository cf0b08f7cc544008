"""A picture of a network: one box a stage, one row a resolution, so that a U looks like a U."""

from itertools import pairwise

import keras
from PIL import Image, ImageDraw, ImageFont

from models.architectures.outline import Link, Stage, stages

COLUMN, ROW = 178, 128  # pixels from box to box
BOX_WIDTH, LINE, MARGIN = 136, 17, 40
HEADLINE, END = 44, 44  # above the boxes; of the arrows in and out
INK, PALE = "#1f2933", "#7b8794"
FILLS = {"encoder": "#dbeafe", "decoder": "#dcfce7"}
LINKS = {"down": "#2563eb", "up": "#16a34a", "skip": "#64748b", "indices": "#c2410c"}

Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def draw_network(network: keras.Model, title: str) -> Image.Image:
    """Draw the encoder's stages going down, the decoder's going up, and what skips across (RGB)."""
    found, links = stages(network)
    rows = sorted({stage.stride for stage in found})
    boxes = {
        (stage.stride, stage.ups): _box(stage, column, rows.index(stage.stride))
        for column, stage in enumerate(found)
    }
    width = int(max(right for _, _, right, _ in boxes.values()) + MARGIN + END)
    height = int(max(bottom for _, _, _, bottom in boxes.values()) + MARGIN)
    picture = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(picture)
    _write(pen, (MARGIN, 14), title, INK, 17)
    for link in links:
        _draw_link(pen, link, boxes[link.start], boxes[link.end])
    for stage in found:
        _draw_stage(pen, stage, boxes[stage.stride, stage.ups])
    first, last = found[0], found[-1]
    _draw_ends(pen, network, boxes[first.stride, first.ups], boxes[last.stride, last.ups])
    return picture


def _box(stage: Stage, column: int, row: int) -> Box:
    left, top = MARGIN + END + column * COLUMN, HEADLINE + 28 + row * ROW
    return left, top, left + BOX_WIDTH, top + LINE * (1 + max(len(stage.convolutions()), 1)) + 14


def _draw_stage(pen: ImageDraw.ImageDraw, stage: Stage, box: Box) -> None:
    fill = FILLS["decoder" if stage.ups else "encoder"]
    pen.rounded_rectangle(box, 8, fill, INK)
    left, top = box[0] + 10, box[1] + 6
    size = "full size" if stage.stride == 1 else f"1/{stage.stride}"
    _write(pen, (left, top), size, INK, 14)
    for number, line in enumerate(stage.convolutions(), start=1):
        _write(pen, (left, top + 1 + number * LINE), line, INK)


def _draw_link(
    pen: ImageDraw.ImageDraw,
    link: Link,
    start: Box,
    end: Box,
) -> None:
    color = LINKS[link.kind]
    if link.kind in ("skip", "indices"):
        level = start[1] + (14 if link.kind == "skip" else 32)
        _arrow(pen, [(start[2], level), (end[0], level)], color, dashed=link.kind == "indices")
        _write(pen, (start[2] + 12, level - 16), link.label, color)
        return
    middle_of_start, middle_of_end = (start[0] + start[2]) / 2, (end[0] + end[2]) / 2
    if link.kind == "down":
        level = end[1] + 14
        _arrow(pen, [(middle_of_start, start[3]), (middle_of_start, level), (end[0], level)], color)
        _write(pen, (middle_of_start - 6, level), link.label, color, anchor="rm")
        return
    level = start[1] + 14
    _arrow(pen, [(start[2], level), (middle_of_end, level), (middle_of_end, end[3])], color)
    _write(pen, (middle_of_end + 6, level), link.label, color, anchor="lm")


def _draw_ends(pen: ImageDraw.ImageDraw, network: keras.Model, first: Box, last: Box) -> None:
    colors = {1: "gray", 3: "RGB"}[network.input_shape[-1]]
    _write(pen, (first[0] - END, first[1] - 18), f"{colors} image", PALE)
    _arrow(pen, [(first[0] - END, first[1] + 14), (first[0], first[1] + 14)], INK)
    _arrow(pen, [(last[2], last[1] + 14), (last[2] + END, last[1] + 14)], INK)
    logits = f"logits of {network.output_shape[-1]} classes"
    _write(pen, (last[2] + END, last[1] - 18), logits, PALE, anchor="ra")


def _write(
    pen: ImageDraw.ImageDraw,
    place: Point,
    text: str,
    color: str,
    size: int = 12,
    anchor: str = "la",
) -> None:
    # Pillow's own font has no ×.
    pen.text(place, text.replace("×", "x"), color, ImageFont.load_default(size), anchor=anchor)


def _arrow(
    pen: ImageDraw.ImageDraw, points: list[Point], color: str, *, dashed: bool = False
) -> None:
    for (x0, y0), (x1, y1) in pairwise(points):
        if dashed:
            for dash in range(int(x0), int(x1), 10):
                pen.line([(dash, y0), (min(dash + 5, x1), y1)], color, 2)
        else:
            pen.line([(x0, y0), (x1, y1)], color, 2)
    (x0, y0), (x, y) = points[-2:]
    along = ((x > x0) - (x < x0), (y > y0) - (y < y0))
    across = (-along[1], along[0])
    wings = [
        (x - 9 * along[0] + side * across[0], y - 9 * along[1] + side * across[1])
        for side in (-5, 5)
    ]
    pen.polygon([(x, y), *wings], color)
