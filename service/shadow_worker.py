"""The process that runs a shadow's version: `python -m service.shadow_worker`.

The server starts it, tells it the settings and then pictures, each with the class map that the
first version gave, and is told how the second one agrees.
"""

import asyncio
import sys
from functools import partial
from typing import BinaryIO

import numpy as np

from service.background import end_with, go_first, step_back, take_stdout
from service.domain.comparison import Agreement
from service.domain.errors import ServiceError
from service.outputs.output import OutputOptions
from service.predict.errors import PredictError
from service.predict.loaded import LoadedModel
from service.predict.model import pin_model
from service.protocols.telemetry.logging import configure_logging
from service.review.maps import maps_of
from service.settings import Settings
from service.shadow.messages import Line, hear, say

PATIENCE = 5


def main() -> None:
    wire, orders = take_stdout(), sys.stdin.buffer
    end_with(orders)
    told = hear(orders)
    if told is None:
        return
    line, _ = told
    if line["steps_back"]:
        step_back()
    go_first()
    settings = Settings.model_validate(line["settings"])
    style = "json" if settings.log_format == "auto" else settings.log_format
    configure_logging(style, settings.log_level)
    # one stream: its results are not waited for, and memory is the server's
    quiet: Line = {"streams": 1, "image_workers": 1, "max_batch_images": 1}
    # beside a busy server it loads slowly, which is no fault of the model
    quiet["load_timeout_seconds"] = min(86_400.0, PATIENCE * settings.load_timeout_seconds)
    asyncio.run(_serve(settings.model_copy(update=quiet), line["model"], orders, wire))


async def _serve(settings: Settings, model_id: str, orders: BinaryIO, wire: BinaryIO) -> None:
    try:
        pinned = pin_model(settings, model_id)
        model = LoadedModel(pinned)
        await model.load()
    except PredictError as error:
        say(wire, {"fault": str(error)})
        return
    names = [one.name for one in pinned.contract.classes]
    say(wire, {"classes": names})
    try:
        while (told := await asyncio.to_thread(partial(hear, orders))) is not None:
            line, (picture, class_map) = told
            answer = await _compared(model, line, picture, class_map, len(names))
            say(wire, answer)
    except BrokenPipeError:
        pass  # the server has gone
    finally:
        await model.close()


async def _compared(
    model: LoadedModel, line: Line, picture: bytes, class_map: bytes, classes: int
) -> Line:
    first = np.frombuffer(class_map, np.uint8).reshape(line["height"], line["width"])
    try:
        second = await maps_of(model, picture, OutputOptions.model_validate(line["options"]))
    except ServiceError as error:
        return {"fault": str(error)}
    if second.class_map.shape != first.shape:
        return {"fault": "the versions' maps have other sizes"}
    agreement = Agreement.of(first, second.class_map, classes)
    return {"counts": agreement.counts.tolist(), "confidence": second.confidence}


if __name__ == "__main__":
    main()
