"""What `segserve compare` shows."""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.contract import atomic
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.review.compared import Compared, Pair
from service.review.maps import maps_of
from service.review.page import Figure, View, gallery, heading, legend, page, table
from service.review.thumbnails import jpeg, thumbnails

_DIFFERENT = np.array((230, 30, 60), np.uint8)


async def shown_pair(path: Path, pair: Pair, models: tuple[LoadedModel, LoadedModel]) -> Figure:
    """A picture, by both versions, and where they differ. Raises ServiceError and OSError."""
    body = await asyncio.to_thread(path.read_bytes)
    first, second = [await thumbnails(model, body) for model in models]
    maps = [(await maps_of(model, body)).class_map for model in models]
    difference = _difference(first.picture, maps[0] != maps[1])
    return Figure(
        [
            View(first.picture, pair.image),
            View(first.overlay, "the first version"),
            View(second.overlay, "the second version"),
            View(difference, "where they differ"),
        ],
        pair.image,
        [
            f"equal on {pair.agreement.equal_share:.1%} · mIoU {pair.agreement.mean_iou:.3f} · "
            + "confidence {:.3f} and {:.3f}".format(*pair.confidences)
        ],
    )


def _difference(picture: bytes, differs: np.ndarray) -> bytes:
    """The picture (JPEG), dark, with the pixels that differ (H, W) in red."""
    small = Image.open(io.BytesIO(picture)).convert("L").convert("RGB")
    pixels = np.asarray(small) // 2
    there = Image.fromarray(differs).resize(small.size, Image.Resampling.NEAREST)
    pixels[np.asarray(there)] = _DIFFERENT
    return jpeg(Image.fromarray(pixels))


def write_page(
    out: Path,
    folder: Path,
    first: PinnedModel,
    second: PinnedModel,
    compared: Compared,
    figures: Sequence[Figure],
) -> None:
    """Raises OSError."""
    agreement, sure = compared.agreement, compared.confidences
    lead = (
        f"{len(compared.pairs)} pictures of {folder.resolve().name}: {first.id} and {second.id} "
        f"say the same on {agreement.equal_share:.2%} of the pixels; mIoU of one against the other "
        f"{agreement.mean_iou:.3f}; mean confidence {sure[0]:.3f} and {sure[1]:.3f}. Which of them "
        "is right, masks alone can say: segtrain evaluate."
    )
    shares = zip(
        compared.names,
        agreement.class_iou,
        agreement.first_shares,
        agreement.second_shares,
        strict=True,
    )
    rows = [
        (name, "–" if iou is None else f"{iou:.3f}", f"{one:.2%}", f"{other:.2%}")
        for name, iou, one, other in shares
    ]
    parts = [
        legend(first.contract),
        heading("Classes"),
        table(("class", "IoU", f"share by {first.id}", f"share by {second.id}"), rows),
        heading("Where they differ most"),
        gallery(figures),
    ]
    title = f"{first.id} and {second.id}"
    atomic.write_text(out, page(title, lead, parts, width="560px"))
