"""The contact sheet of a ranking: its first pictures, and why each stands where it does."""

import asyncio
from contextlib import suppress
from pathlib import Path

from models.contract import atomic
from service.domain.errors import ServiceError
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.review.page import Figure, View, gallery, legend, page
from service.review.rank import Ranking, RankJob, Row
from service.review.thumbnails import thumbnails

MAX_SHOWN = 200  # 40 KB each


def write_sheet(job: RankJob, ranking: Ranking, pinned: PinnedModel) -> Path:
    """Write it beside the CSV, and give its path. Raises PredictError and OSError."""
    path = job.out.with_suffix(".html")
    shown = [row for row in ranking.rows if row.ranked.novelty is not None][:MAX_SHOWN]
    figures = asyncio.run(_figures(job, shown, pinned))
    lead = (
        f"The first {len(shown)} of {len(ranking.rows)} pictures of "
        f"{job.folder.resolve().name}, by {pinned.id}. "
        "Next comes the picture that is furthest from those before it, times 1 + uncertainty + "
        f"rarity by their places among all; how far they are is told by {ranking.seen_by}."
    )
    parts = [legend(pinned.contract), gallery(figures)]
    atomic.write_text(path, page("What to label next", lead, parts, width="380px"))
    return path


async def _figures(job: RankJob, rows: list[Row], pinned: PinnedModel) -> list[Figure]:
    model = LoadedModel(pinned)
    figures = []
    try:
        await model.load()
        for row in rows:
            with suppress(OSError, ServiceError):  # it was there a moment ago
                figures.append(await _figure(row, job.folder / row.image, model))
    finally:
        await model.close()
    return figures


async def _figure(row: Row, path: Path, model: LoadedModel) -> Figure:
    views = await thumbnails(model, await asyncio.to_thread(path.read_bytes))
    novelty = row.ranked.novelty or 0.0
    return Figure(
        [View(views.picture, row.image), View(views.overlay, f"{row.image}, segmented")],
        f"{row.rank}. {row.image}",
        [
            f"unsure {row.uncertainty:.1%} · novelty {novelty:.2f} · rarity {row.rarity:.2f}",
            f"its rarest: {row.rarest}, {row.share:.1%} of its pixels",
        ],
    )
