"""`segserve compare`: two versions on the same pictures.

Start reading here: `compare_folder`.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from models.contract import atomic
from service.concurrency import as_completed
from service.domain.comparison import Agreement
from service.domain.errors import ServiceError
from service.predict.errors import PredictError
from service.predict.loaded import LoadedModel
from service.predict.model import PinnedModel
from service.predict.progress import Progress
from service.review.compare_page import shown_pair, write_page
from service.review.compared import Compared, Pair
from service.review.folder import images_below
from service.review.maps import maps_of
from service.review.page import Figure


@dataclass(frozen=True)
class CompareJob:
    """Compare on the images below `folder`; `out` is the page, with the JSON beside it. The `count`
    pictures on which the versions differ most are shown.
    """

    folder: Path
    out: Path
    count: int

    @property
    def json(self) -> Path:
        return self.out.with_suffix(".json")


def compare_folder(job: CompareJob, first: PinnedModel, second: PinnedModel) -> Compared:
    """Run both, and write page and JSON. Raises PredictError and OSError."""
    names = tuple(one.name for one in first.contract.classes)
    others = tuple(one.name for one in second.contract.classes)
    if names != others:
        raise PredictError(
            f"{first.id} has the classes {', '.join(names)}, and {second.id} has "
            f"{', '.join(others)}; versions of the same classes can be compared."
        )
    paths = images_below(job.folder)
    if not paths:
        raise PredictError(f"{job.folder} holds no images.")
    job.out.parent.mkdir(parents=True, exist_ok=True)
    compared = Compared(names)
    figures = asyncio.run(_run(job, first, second, paths, compared))
    atomic.write_text(job.json, json.dumps(_document(job, first, second, compared), indent=2))
    write_page(job.out, job.folder, first, second, compared, figures)
    return compared


async def _run(
    job: CompareJob,
    first: PinnedModel,
    second: PinnedModel,
    paths: Sequence[Path],
    compared: Compared,
) -> list[Figure]:
    models = LoadedModel(first), LoadedModel(second)
    try:
        for model in models:
            await model.load()
        work = [partial(_compare, path, models, job.folder, compared) for path in paths]
        with Progress(len(work)) as progress:
            async with aclosing(as_completed(work, min(m.at_once for m in models))) as outcomes:
                async for _ in outcomes:
                    progress.advance()
        compared.pairs.sort(key=lambda pair: (pair.agreement.equal_share, pair.image))
        return [
            await shown_pair(job.folder / pair.image, pair, models)
            for pair in compared.pairs[: job.count]
        ]
    finally:
        for model in models:
            await model.close()


async def _compare(
    path: Path, models: tuple[LoadedModel, LoadedModel], folder: Path, compared: Compared
) -> None:
    try:
        body = await asyncio.to_thread(path.read_bytes)
        first, second = [await maps_of(model, body) for model in models]
        classes = len(compared.names)
        agree = partial(Agreement.of, first.class_map, second.class_map, classes)
        agreement = await asyncio.to_thread(agree)
    except ServiceError as error:
        compared.failures.append((path, str(error)))
    except OSError as error:
        compared.failures.append((path, f"{error.strerror}"))
    else:
        image = path.relative_to(folder).as_posix()
        compared.pairs.append(Pair(image, agreement, (first.confidence, second.confidence)))


def _document(
    job: CompareJob, first: PinnedModel, second: PinnedModel, compared: Compared
) -> dict[str, Any]:
    agreement = compared.agreement
    return {
        "first": {"model": first.id, "digest": first.contract.digest},
        "second": {"model": second.id, "digest": second.contract.digest},
        "folder": str(job.folder),
        "pictures": len(compared.pairs),
        "failures": [{"image": str(path), "detail": why} for path, why in compared.failures],
        **_scores(agreement, compared.confidences),
        "classes": [
            {
                "name": name,
                "iou": None if iou is None else round(iou, 6),
                "first_share": round(float(one), 6),
                "second_share": round(float(other), 6),
            }
            for name, iou, one, other in zip(
                compared.names,
                agreement.class_iou,
                agreement.first_shares,
                agreement.second_shares,
                strict=True,
            )
        ],
        "images": [
            {"image": pair.image, **_scores(pair.agreement, pair.confidences)}
            for pair in compared.pairs
        ],
    }


def _scores(agreement: Agreement, confidences: tuple[float, float]) -> dict[str, Any]:
    return {
        "equal_share": round(agreement.equal_share, 6),
        "mean_iou": round(agreement.mean_iou, 6),
        "first_confidence": round(confidences[0], 6),
        "second_confidence": round(confidences[1], 6),
    }
