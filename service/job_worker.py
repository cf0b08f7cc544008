"""The process that does a server's jobs: `python -m service.job_worker`.

The server starts it, tells it the settings and then jobs, each as a line of JSON, and reads lines
of JSON from it. It takes what the machine has left beside the server's requests.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from models.contract import Contract, atomic
from models.contract.intensity import IntensityWindow
from service.background import go_first, step_back, take_stdout
from service.catalogue.registry import UnknownModelError
from service.domain.disk import is_of_a_full_disk
from service.domain.errors import ImageTooLargeError, ServiceError
from service.jobs.errors import JobFolderFullError, JobFolderUnusableError
from service.jobs.folder import UPLOAD
from service.jobs.job import Result, ResultFile, Wish
from service.maps.formats import MAP_FORMATS, MapFormat, map_formats
from service.maps.job import predict_raster
from service.maps.options import MapOptions
from service.maps.overview import write_overview
from service.outputs import OUTPUTS
from service.outputs.geo.areas import ClassArea
from service.outputs.geo.cog import side_path
from service.predict.errors import PredictError
from service.predict.loaded import LoadedModel
from service.predict.model import pin_model
from service.protocols.problems import INTERNAL, INTERNAL_DETAIL, make_problem, problem_of
from service.protocols.telemetry.logging import configure_logging
from service.settings import Settings

Event = dict[str, Any]

RESULT = "result"
# What GDAL and QGIS read the names of classes from, where it lies beside the map under its name.
SIDE_FILE = "aux.xml"
_SIDE = MapFormat("application/xml", ".classes.tif.aux.xml")

# What is known of a map whose files are there: it is not made anew for its overview.
_MADE = "made.json"

ALIVE_SECONDS = 2.0

# Beside a busy server it gets a little of the machine and is slow, which is no fault of an engine.
PATIENCE = 5


log = logging.getLogger(__name__)


class Worker:
    """Does jobs one after the other, with the model of the last one kept."""

    def __init__(self, settings: Settings, say: Callable[[Event], None]) -> None:
        self._settings = settings
        self._say = say
        self._id = ""
        self._model: LoadedModel | None = None

    async def do(self, order: Event) -> Event:
        """The last event of a job."""
        folder = Path(order["folder"])
        try:
            result = await self._result(folder, Wish.model_validate(order["wish"]))
        except ServiceError as error:
            problem = problem_of(error)
        except OSError as error:
            log.error("the files of the job cannot be written", exc_info=error)
            is_full = is_of_a_full_disk(error, folder)
            problem = problem_of(
                JobFolderFullError.within() if is_full else JobFolderUnusableError.now()
            )
        except Exception as error:  # noqa: BLE001 - it is told of in the log, and to the caller
            problem_of(error)
            problem = make_problem(INTERNAL, INTERNAL_DETAIL)
        else:
            return {"event": "done", "result": result.model_dump()}
        return {
            "event": "failed",
            "problem": {**problem.model_dump(), "request_id": order["request_id"]},
        }

    async def close(self) -> None:
        if self._model is not None:
            model, self._model = self._model, None
            await model.close()

    @property
    def is_stuck(self) -> bool:
        """Whether the engine is at one batch for longer than it may be."""
        model = self._model
        return model is not None and model.stuck_seconds > self._settings.stuck_after_seconds

    async def _result(self, folder: Path, wish: Wish) -> Result:
        formats = map_formats(wish.format)
        if formats is not None:
            return await self._map(folder, wish, formats)
        output = OUTPUTS[wish.format]
        options = output.options.model_validate(wish.options)
        model = await self._loaded(wish.model)
        body = await asyncio.to_thread(self._read, folder / UPLOAD)
        answer = await model.segment(body, output, options, wish.file_name, self._tell)
        del body
        encoded = answer.encoded

        def write() -> None:
            with atomic.replacing(folder / RESULT, mode=0o600) as path, path.open("wb") as file:
                file.writelines(encoded.chunks)

        await asyncio.to_thread(write)
        facts: dict[str, Any] = {
            "width": answer.width,
            "height": answer.height,
            "page": answer.page,
            "pages": answer.pages,
            "scale": round(answer.scale, 6),
            "tiles": answer.tiles,
            "blended": answer.blended,
        }
        if answer.window is not None:
            facts["intensity"] = list(answer.window)
        file = ResultFile(
            file=RESULT,
            bytes=encoded.size,
            media_type=encoded.media_type,
            extension=encoded.extension,
        )
        return Result(files={wish.format: file}, facts=facts)

    async def _map(self, folder: Path, wish: Wish, formats: list[str]) -> Result:
        options = MapOptions.model_validate(wish.options)
        model = await self._loaded(wish.model)
        targets = {name: folder / f"{RESULT}{MAP_FORMATS[name].extension}" for name in formats}
        facts = await asyncio.to_thread(_read_made, folder)
        if facts is None:
            facts = await self._made(folder, wish, targets, options, model)
            await asyncio.to_thread(_write_made, folder, facts)
        overview = None
        if "geotiff" in targets:
            picture = folder / "overview.png"
            await asyncio.to_thread(
                write_overview,
                folder / UPLOAD,
                targets["geotiff"],
                picture,
                model.contract,
                options,
                IntensityWindow(*facts["intensity"]) if "intensity" in facts else None,
            )
            overview = _file(picture, MapFormat("image/png", ".png"))
        files = {name: _file(target, MAP_FORMATS[name]) for name, target in targets.items()}
        if "geotiff" in targets:
            files[SIDE_FILE] = _file(side_path(targets["geotiff"]), _SIDE)
        return Result(files=files, facts=facts, overview=overview)

    async def _made(
        self,
        folder: Path,
        wish: Wish,
        targets: Mapping[str, Path],
        options: MapOptions,
        model: LoadedModel,
    ) -> dict[str, Any]:
        """Make the files of a map. Gives what is known of it."""
        summary = await predict_raster(
            model.inference,
            wish.model,
            folder / UPLOAD,
            targets,
            options,
            work=folder / "work",
            progress=lambda progress: self._tell(progress.done, progress.total),
        )
        facts: dict[str, Any] = {
            "width": summary.width,
            "height": summary.height,
            "scale": round(summary.scale, 6),
            "tiles": summary.tiles,
            "rows": summary.rows,
            "resumed_rows": summary.resumed_rows,
            "blended": summary.blended,
            "crs": summary.info.reference,
            "transform": summary.info.transform,
            "notes": list(summary.notes),
            "classes": _shares(summary.areas, model.contract),
        }
        if summary.window is not None:
            facts["intensity"] = list(summary.window)
        return facts

    def _tell(self, done: int, total: int) -> None:
        self._say({"event": "progress", "done": done, "total": total})

    def _read(self, path: Path) -> bytes:
        size, limit = path.stat().st_size, self._settings.max_batch_upload_bytes
        if size > limit:
            raise ImageTooLargeError(
                f"The file has {size} bytes. A file of its kind is read whole, and the limit of "
                f"one is {limit}. Send it compressed, or as a GeoTIFF, which is read in parts."
            )
        return path.read_bytes()

    async def _loaded(self, model_id: str) -> LoadedModel:
        if self._model is not None and self._id == model_id:
            return self._model
        await self.close()
        try:
            model = LoadedModel(pin_model(self._settings, model_id))
            self._model, self._id = model, model_id
            await model.load()
        except PredictError as error:
            await self.close()
            raise UnknownModelError(
                f"{model_id}, which was there when the job was accepted, cannot be used any more: "
                f"{error}"
            ) from None
        return model


def _file(path: Path, form: MapFormat) -> ResultFile:
    return ResultFile(
        file=path.name,
        bytes=path.stat().st_size,
        media_type=form.media_type,
        extension=form.extension,
    )


def _read_made(folder: Path) -> dict[str, Any] | None:
    path = folder / _MADE
    if not path.exists():
        return None
    facts: dict[str, Any] = orjson.loads(path.read_bytes())
    return facts


def _write_made(folder: Path, facts: Mapping[str, Any]) -> None:
    with atomic.replacing(folder / _MADE, mode=0o600) as path:
        path.write_bytes(orjson.dumps(facts))


def _shares(areas: Sequence[ClassArea], contract: Contract) -> list[dict[str, Any]]:
    """The classes that a map has, the most frequent first, each with its share of all that is no
    void.
    """
    colors = {one.id: one.color for one in contract.classes}
    total = sum(area.pixels for area in areas)
    return [
        {
            **area.as_json(),
            "color": colors[area.class_id],
            "share": round(area.pixels / total, 6),
        }
        for area in sorted(areas, key=lambda area: -area.pixels)
        if area.pixels
    ]


def main() -> None:
    wire = take_stdout()
    settings = Settings.model_validate(orjson.loads(sys.stdin.buffer.readline())["settings"])
    if settings.job_priority == "idle":
        step_back()
    go_first()
    style = "json" if settings.log_format == "auto" else settings.log_format
    configure_logging(style, settings.log_level)
    patient = {
        "stuck_after_seconds": min(86_400.0, PATIENCE * settings.stuck_after_seconds),
        "load_timeout_seconds": min(86_400.0, PATIENCE * settings.load_timeout_seconds),
    }
    asyncio.run(_serve(settings.model_copy(update=patient), wire))


async def _serve(settings: Settings, wire: BinaryIO) -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[Event | None] = asyncio.Queue()

    def say(event: Event) -> None:
        wire.write(orjson.dumps(event) + b"\n")
        wire.flush()

    def read() -> None:
        for line in sys.stdin.buffer:
            idle.clear()
            loop.call_soon_threadsafe(orders.put_nowait, orjson.loads(line))
        if not idle.is_set():
            os._exit(1)  # the server is gone, and another may do this very job by now
        loop.call_soon_threadsafe(orders.put_nowait, None)

    idle = threading.Event()
    idle.set()
    worker = Worker(settings, say)
    threading.Thread(target=read, daemon=True).start()
    alive = asyncio.create_task(_say_alive(worker, say))
    while (order := await orders.get()) is not None:
        event = await worker.do(order)
        idle.set()
        say(event)
    alive.cancel()
    await worker.close()


async def _say_alive(worker: Worker, say: Callable[[Event], None]) -> None:
    while True:
        await asyncio.sleep(ALIVE_SECONDS)
        if not worker.is_stuck:
            say({"event": "alive"})


if __name__ == "__main__":
    main()
